"""The gateway as an RSGI application: the whole path of a request is `Gateway.complete`.

identify → read → parse → route → relay → keep → last byte → copy to a candidate, log, span
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from tuneloop.gateway import accounts, openapi, tracing
from tuneloop.gateway.access import Caller, Limiter, allowed, identify
from tuneloop.gateway.breaker import Breaker
from tuneloop.gateway.capture import Capture, Exchange
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.failure_log import FailureLog
from tuneloop.gateway.feedback import check_owner, parse_feedback
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.relay import Relay
from tuneloop.gateway.requests import CHAT, COMPLETION, EMBEDDING, Operation, parse
from tuneloop.gateway.routes_seen import RoutesSeen
from tuneloop.gateway.routing import resolve, unknown_model
from tuneloop.gateway.rsgi import HTTPProtocol, Scope
from tuneloop.gateway.settings import GatewaySettings
from tuneloop.gateway.shadowing import Shadowing
from tuneloop.gateway.shared_counts import SharedCounts
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream import Upstream
from tuneloop.gateway.watch import RouteWatch
from tuneloop.registry.routes import RouteSnapshot

_log = logging.getLogger(__name__)

_MODELS = "/v1/models/"
_COUNTS_SECONDS = 0.5
_CLOSE = ("connection", "close")


Handler = Callable[[Scope, HTTPProtocol], Awaitable[None]]


class Gateway:
    """One process's gateway; granian calls it for every request."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._routes_seen = RoutesSeen(settings.run_folder, settings.name)
        self._routes = RouteWatch(settings.routes, taken=self._routes_seen.note)
        self._metrics = Metrics()
        self._capture = Capture(settings.spool, self._metrics, limits=settings.spool_limits)
        self._counts = SharedCounts(self._metrics, settings.run_folder, settings.name)
        self._accounts = accounts.Accounts(self._metrics, self._capture, settings.name)
        self._stopped = False
        self._headers: list[tuple[str, str]] = []
        """Of every answer."""
        self._breaker = Breaker()
        self._limiter = Limiter(processes=settings.processes)
        self._failures = FailureLog()
        self._spans = tracing.spans(os.environ, process=settings.name)
        self._table: dict[str, tuple[str, Handler]] = {
            "/v1/chat/completions": ("POST", partial(self.complete, CHAT)),
            "/v1/completions": ("POST", partial(self.complete, COMPLETION)),
            "/v1/embeddings": ("POST", partial(self.complete, EMBEDDING)),
            "/v1/feedback": ("POST", self.feedback),
            "/v1/models": ("GET", self.models),
            "/healthz": ("GET", self.healthz),
            "/readyz": ("GET", self.readyz),
            "/metrics": ("GET", self.metrics),
            "/openapi.json": ("GET", self.description),
        }

    def drain(self, *, wanted: bool) -> None:
        """From now on every answer ends its connection: this process is about to stop.

        `wanted`: somebody told it to.
        """
        self._stopped = wanted
        self._headers.append(_CLOSE)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = Sweep(loop)
        upstream = Upstream(
            self._sweep, silence_timeout_seconds=self._settings.silence_timeout_seconds
        )
        self._relay = Relay(upstream, self._breaker, self._sweep)
        self._shadowing = Shadowing(upstream, self._capture, self._metrics)
        self._tasks = [
            loop.create_task(
                self._routes.follow(every_seconds=self._settings.routes_check_seconds)
            ),
            loop.create_task(self._leave_counts()),
            loop.create_task(self._write_accounts()),
        ]

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        for task in self._tasks:
            task.cancel()
        self._sweep.close()
        self._shadowing.close()
        self._accounts.write(stopped=self._stopped)
        self._capture.close()
        self._routes_seen.leave()
        with suppress(OSError):
            self._counts.leave()
        if self._spans is not None:
            self._spans.close()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        try:
            await self._handler(scope)(scope, protocol)
        except ApiError as e:
            self._metrics.refused[e.code] += 1
            # hyper hangs up where a body is left unread, and a client that is not told of it sends
            # its next request into the void.
            closing = [_CLOSE] if e.unread and _has_body(scope) else []
            _send(protocol, e.status, e.body(), [*e.headers, *closing])
        except Exception:  # noqa: BLE001  a fault of ours must not leave a client waiting
            _log.exception("%s %s failed", scope.method, scope.path)
            self._metrics.refused["internal_error"] += 1
            error = ApiError(500, "internal_error", "The gateway failed.", kind="server_error")
            _send(protocol, error.status, error.body())

    def _handler(self, scope: Scope) -> Handler:
        entry = self._table.get(scope.path)
        if entry is None and scope.path.startswith(_MODELS):
            entry = "GET", self.model
        if entry is None:
            message = f"There is nothing at {scope.method} {scope.path}."
            raise ApiError(404, "unknown_url", message, unread=True)
        method, handler = entry
        if scope.method != method:
            raise ApiError(
                405,
                "method_not_allowed",
                f"{scope.path} takes {method}, not {scope.method}.",
                headers=(("allow", method),),
                unread=True,
            )
        return handler

    async def complete(self, operation: Operation, scope: Scope, protocol: HTTPProtocol) -> None:
        """POST /v1/chat/completions, /v1/completions, /v1/embeddings."""
        snapshot = self._routes.current()
        caller = identify(snapshot, scope.headers.get("authorization"))
        self._limiter.enter(caller)
        try:
            body = await self._body(scope, protocol)
            call = parse(operation, body, scope.headers, caller=caller)
            route = resolve(allowed(snapshot, caller), call.endpoint, call.conversation)
            exchange = Exchange(call, route, secret=snapshot.secret, headers=self._headers)
            self._capture.require(exchange)
            end = await self._relay.answer(exchange, protocol)
            refused = self._capture.keep(exchange)
            await (end.send() if refused is None else end.refuse(refused))
            if refused is None:
                self._shadowing.offer(exchange)
            if exchange.error is not None:
                self._failures.note(exchange)
            if self._spans is not None:
                self._spans.record(exchange, scope.headers)
        finally:
            self._limiter.leave(caller)

    async def feedback(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """POST /v1/feedback."""
        snapshot, caller = self._caller(scope)
        feedback = parse_feedback(await self._body(scope, protocol))
        check_owner(feedback, caller, snapshot)
        self._capture.keep_feedback(feedback)
        _send_json(protocol, {"object": "feedback", "id": feedback.id})

    async def models(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /v1/models."""
        snapshot, caller = self._caller(scope)
        names = sorted(allowed(snapshot, caller).endpoints)
        _send_json(protocol, {"object": "list", "data": [_model(name) for name in names]})

    async def model(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /v1/models/{model}."""
        snapshot, caller = self._caller(scope)
        visible, name = allowed(snapshot, caller), scope.path.removeprefix(_MODELS)
        if name not in visible.endpoints:
            raise unknown_model(visible, name)
        _send_json(protocol, _model(name))

    def _caller(self, scope: Scope) -> tuple[RouteSnapshot, Caller]:
        snapshot = self._routes.current()
        return snapshot, identify(snapshot, scope.headers.get("authorization"))

    async def healthz(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /healthz: the process answers."""
        _send_json(protocol, {"status": "ok"})

    async def readyz(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /readyz: the process has routes, if old ones."""
        version = self._routes.current().version
        _send_json(
            protocol,
            {"status": "ok", "routes_version": version, "routes_stale": self._routes.stale},
        )

    async def metrics(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /metrics, for Prometheus."""
        loaded = self._routes.loaded
        text = self._counts.total().render(
            {
                "tuneloop_routes_version": loaded.version if loaded else 0,
                "tuneloop_routes_stale": self._routes.stale,
                "tuneloop_spool_sync_errors": self._capture.sync_errors,
            }
        )
        protocol.response_str(200, [("content-type", "text/plain; version=0.0.4")], text)

    async def description(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /openapi.json: what all of this looks like to a client."""
        _send(protocol, 200, openapi.description())

    async def _leave_counts(self) -> None:
        while True:
            await asyncio.sleep(_COUNTS_SECONDS)
            with suppress(OSError):  # a full disk: the next second may do
                self._counts.leave()

    async def _write_accounts(self) -> None:
        while True:
            await asyncio.sleep(accounts.EVERY_SECONDS)
            self._accounts.write()

    async def _body(self, scope: Scope, protocol: HTTPProtocol) -> bytes:
        """The request's body, never more of it than the limit, and never longer in coming."""
        encoded = "content-encoding" in scope.headers
        if encoded and scope.headers.get("content-encoding", "").lower() != "identity":
            message = "Expected a body without content-encoding."
            raise ApiError(415, "unsupported_encoding", message, unread=True)
        limit = self._settings.body_bytes
        length = scope.headers.get("content-length")
        body: bytes | None = None
        if length is None or int(length) <= limit:
            reading = _Reading()
            self._sweep.add(reading, self._settings.body_seconds, reading.give_up)
            try:
                body = await (protocol() if length is not None else _chunks(protocol, limit))
            except asyncio.CancelledError:
                reading.explain(self._settings.body_seconds)
                raise
            finally:
                self._sweep.discard(reading)
        if body is None:
            message = f"Expected a body of at most {limit} bytes."
            raise ApiError(413, "request_too_large", message, unread=True)
        return body


class _Reading:
    """A body that is being read, and can be given up."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._given_up = False

    def give_up(self) -> None:
        self._given_up = True
        if self._task is not None:
            self._task.cancel()

    def explain(self, seconds: float) -> None:
        """In place of the cancellation, if it was ours."""
        if self._given_up and self._task is not None:
            self._task.uncancel()
            message = f"Expected the whole body within {seconds:g} s."
            raise ApiError(408, "request_timeout", message, unread=True) from None


def _has_body(scope: Scope) -> bool:
    return scope.headers.get("content-length", "0") != "0" or "transfer-encoding" in scope.headers


async def _chunks(protocol: HTTPProtocol, limit: int) -> bytes | None:
    """A body of unknown length; None when it is longer than the limit."""
    pieces, size = [], 0
    async for piece in protocol:
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return None
    return b"".join(pieces)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tuneloop"}


def _send_json(protocol: HTTPProtocol, value: Any) -> None:
    _send(protocol, 200, msgspec.json.encode(value))


def _send(
    protocol: HTTPProtocol, status: int, body: bytes, headers: Sequence[tuple[str, str]] = ()
) -> None:
    protocol.response_bytes(status, [("content-type", "application/json"), *headers], body)
