"""The route snapshot: everything that the gateway knows, in one small file.

The registry moves routes in the records store and publishes the result here; every gateway
process watches the file. Nothing but this file connects the two, so the gateway keeps serving
when the database, the worker and the web page are gone (G5).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tuneloop.errors import StoreError

KEY_PREFIX = "tl"


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle that an endpoint sends requests to."""

    bundle: str
    weight: float = 1.0
    """Relative share of the conversations; 0 keeps the arm named and idle."""


class CaptureRule(msgspec.Struct, frozen=True, kw_only=True):
    """What of an endpoint's traffic is kept."""

    enabled: bool = True
    required: bool = False
    """Answer 503 rather than serve what cannot be captured."""
    share: float = 1.0
    """Of the conversations, whole ones; the others are counted as sampled out."""
    redact: bool = False
    """Replace personal data by its kind before anything is written."""
    logprobs_share: float = 0.0
    """Of the captured requests, those whose server is asked for log-probabilities."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long a client is kept waiting, in seconds."""

    first_token: float = 120.0
    """From the request to the first token of a stream."""
    silence: float = 120.0
    """Between two pieces of a stream."""
    total: float = 600.0
    """From the request to the end of its answer."""


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that gets a copy of the traffic; no client ever sees its answers."""

    bundle: str
    share: float = 1.0
    """Of the conversations."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the requests for one name go."""

    arms: tuple[Arm, ...]
    """The order matters: growing the last arm moves conversations to it and nowhere else."""
    salt: str = ""
    """Divides the conversations anew: else the same ones would be canaries in every rollout."""
    previous: str | None = None
    """The bundle that a rollback returns to; kept warm."""
    failover: bool = True
    """Whether `previous` answers when the chosen bundle's server cannot."""
    shadow: Shadow | None = None
    capture: CaptureRule = CaptureRule()
    timeouts: Timeouts = Timeouts()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What the holder of an API key may do.

    A key reads `tl_NAME_SECRET`: NAME finds it and may be shown, SECRET is 256 random bits.
    """

    digest: str
    """SHA-256 of the whole key, hex. A key is 256 random bits: a slow hash would add nothing."""
    owner: str
    """Whose key it is: interactions belong to owners, who may have several keys."""
    endpoints: tuple[str, ...] = ()
    """Endpoints that it opens; empty: all."""
    feedback_for_all: bool = False
    """May give feedback on every owner's interactions with its endpoints."""
    requests_per_minute: float | None = None
    concurrent_requests: int | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the server of one bundle and what to send along."""

    base_url: str
    """As OpenAI clients write it, with the version: `http://127.0.0.1:8081/v1`."""
    served_name: str
    """The model name that the server knows; unique to the bundle."""
    system: str | None = None
    """Put before the messages of a request that has no system or developer message."""
    sampling: dict[str, Any] = {}
    """Request fields with the values used where the request leaves them out."""
    control_tokens: tuple[str, ...] = ()
    """What the base reads as more than words: broken up where it stands in a message."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the server's key; never the key."""


class RouteSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All routes at one moment."""

    version: int
    """Grows by one with every change."""
    endpoints: dict[str, Endpoint] = {}
    bundles: dict[str, Target] = {}
    keys: dict[str, Key] | None = None
    """By the key's public name; None: the gateway is open to all who can reach it."""
    secret: str = ""
    """Proves that an interaction id was issued here; hex."""


def key_name(text: str) -> str | None:
    """The name in the text of an API key, None where it is no key."""
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX else None


def problems(snapshot: RouteSnapshot) -> list[str]:
    """Why a snapshot cannot be served; empty when it can."""
    messages = []
    for name, endpoint in snapshot.endpoints.items():
        if not any(arm.weight > 0 for arm in endpoint.arms):
            messages.append(f"Endpoint {name!r}: expected an arm with a weight above 0, got none.")
        if any(not 0 <= arm.weight < float("inf") for arm in endpoint.arms):
            messages.append(
                f"Endpoint {name!r}: expected weights of 0 or more, got a negative one."
            )
        named = {arm.bundle for arm in endpoint.arms}
        named |= {endpoint.shadow.bundle} if endpoint.shadow else set()
        messages += [
            f"Endpoint {name!r}: bundle {bundle!r} has no target."
            for bundle in sorted(named - snapshot.bundles.keys())
        ]
    return messages


def encode(snapshot: RouteSnapshot) -> bytes:
    """The snapshot as JSON, indented: people read this file when something is wrong.

    Raises:
        StoreError: when the snapshot could not be served.
    """
    _refuse_problems(snapshot)
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=2) + b"\n"


def decode(data: bytes) -> RouteSnapshot:
    """The snapshot in `data`; fields of a newer tuneloop are ignored.

    Raises:
        StoreError: when it is not a snapshot or could not be served.
    """
    try:
        snapshot = msgspec.json.decode(data, type=RouteSnapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise StoreError(f"The routes are unreadable: {e}.", remedy=_REPUBLISH) from e
    _refuse_problems(snapshot)
    return snapshot


def publish(snapshot: RouteSnapshot, path: Path) -> None:
    """Write the file whole or not at all, so that no reader ever sees half of it.

    Raises:
        StoreError: when the snapshot could not be served or the disk refuses.
    """
    data = encode(snapshot)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as e:
        raise StoreError(f"Cannot write the routes to {path}: {e.strerror}.") from e


def read(path: Path) -> RouteSnapshot | None:
    """The published snapshot, or None when nothing was published yet.

    Raises:
        StoreError: when the file is there and cannot be used.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise StoreError(f"Cannot read the routes in {path}: {e.strerror}.") from e
    return decode(data)


_REPUBLISH = "Run `tuneloop up` to publish the routes again."


def _refuse_problems(snapshot: RouteSnapshot) -> None:
    if messages := problems(snapshot):
        raise StoreError("The routes cannot be served: " + " ".join(messages), remedy=_REPUBLISH)


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
