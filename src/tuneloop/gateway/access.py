"""Who asks, what they may ask for, and how much of it (G4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest

import msgspec

from tuneloop.gateway.errors import ApiError
from tuneloop.registry.routes import Key, RouteSnapshot, key_name

_BEARER = "bearer "


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The sender of a request."""

    name: str | None = None
    """The public name of its key; None where the gateway asks for none."""
    owner: str = ""
    key: Key | None = None

    def may_use(self, endpoint: str) -> bool:
        """Whether the endpoint is open to it."""
        return self.key is None or not self.key.endpoints or endpoint in self.key.endpoints


ANYBODY = Caller()


def identify(snapshot: RouteSnapshot, authorization: str | None) -> Caller:
    """The caller behind an `Authorization` header.

    Raises:
        ApiError: 401 when the gateway wants a key and this is none.
    """
    if snapshot.keys is None:
        return ANYBODY
    given = authorization or ""
    text = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
    name = key_name(text)
    key = snapshot.keys.get(name) if name else None
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if name is None or key is None or not compare_digest(digest, key.digest):
        raise ApiError(
            401,
            "invalid_api_key",
            "Expected an API key of this gateway as `Authorization: Bearer tl_…`, got "
            + ("another one." if text else "none."),
            headers=(("www-authenticate", "Bearer"),),
            unread=True,
        )
    return Caller(name=name, owner=key.owner, key=key)


def allowed(snapshot: RouteSnapshot, caller: Caller) -> RouteSnapshot:
    """The routes that the caller may know of; another's endpoint looks like none."""
    if caller.key is None or not caller.key.endpoints:
        return snapshot
    visible = {n: e for n, e in snapshot.endpoints.items() if caller.may_use(n)}
    return msgspec.structs.replace(snapshot, endpoints=visible)


class Limiter:
    """Rate and concurrency of each key in one gateway process."""

    def __init__(self, *, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`processes`: how many share the port; each grants its part of a key's limits."""
        self._processes = processes
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._running: dict[str, int] = {}

    def enter(self, caller: Caller) -> None:
        """Count a request in; `leave` counts it out again.

        Raises:
            ApiError: 429 when it is one too many.
        """
        name, key = caller.name, caller.key
        if name is None or key is None:
            return
        running = self._running.get(name, 0)
        allowed = key.concurrent_requests
        if allowed is not None and running >= max(1, allowed // self._processes):
            raise _too_many(
                f"Expected at most {allowed} requests of this key at a time.", "concurrency", 1.0
            )
        if key.requests_per_minute is not None:
            self._take(name, key.requests_per_minute)
        self._running[name] = running + 1

    def leave(self, caller: Caller) -> None:
        """The request is answered."""
        if caller.name is not None:
            self._running[caller.name] -= 1

    def _take(self, name: str, per_minute: float) -> None:
        now, rate = self._clock(), per_minute / self._processes
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(level=rate, at=now)
        wait_seconds = bucket.take(rate, now)
        if wait_seconds > 0:
            raise _too_many(
                f"Expected at most {per_minute:g} requests a minute of this key.",
                "rate_limit",
                wait_seconds,
            )


class _Bucket(msgspec.Struct):
    """A token bucket that holds a minute's requests (https://www.rfc-editor.org/rfc/rfc2697)."""

    level: float
    at: float

    def take(self, per_minute: float, now: float) -> float:
        """Take one; else the seconds until there is one."""
        capacity = max(1.0, per_minute)
        self.level = min(capacity, self.level + (now - self.at) * per_minute / 60)
        self.at = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) * 60 / per_minute


def _too_many(message: str, what: str, wait_seconds: float) -> ApiError:
    return ApiError(
        429,
        f"{what}_exceeded",
        message,
        kind="requests",
        headers=(("retry-after", str(max(1, round(wait_seconds)))),),
        unread=True,
    )
