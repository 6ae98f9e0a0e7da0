"""The gateway as an RSGI application: the whole path of a request is `Gateway.chat`.

read → parse → route → relay → keep → last byte
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tuneloop.gateway.capture import Capture, Exchange
from tuneloop.gateway.errors import ApiError
from tuneloop.gateway.feedback import parse_feedback
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.relay import relay
from tuneloop.gateway.requests import parse_chat
from tuneloop.gateway.routing import resolve, unknown_model
from tuneloop.gateway.rsgi import HTTPProtocol, Scope
from tuneloop.gateway.settings import GatewaySettings
from tuneloop.gateway.upstream import Upstream
from tuneloop.gateway.watch import RouteWatch

_log = logging.getLogger(__name__)

_MODELS = "/v1/models/"


Handler = Callable[[Scope, HTTPProtocol], Awaitable[None]]


class Gateway:
    """One process's gateway; granian calls it for every request."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._routes = RouteWatch(settings.routes)
        self._metrics = Metrics()
        self._capture = Capture(settings.spool, self._metrics, limits=settings.spool_limits)
        self._table: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/feedback"): self.feedback,
            ("GET", "/v1/models"): self.models,
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("GET", "/metrics"): self.metrics,
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream = Upstream(silence_timeout_seconds=self._settings.silence_timeout_seconds)
        self._following = loop.create_task(
            self._routes.follow(every_seconds=self._settings.routes_check_seconds)
        )

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._following.cancel()
        self._capture.close()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        try:
            await self._handler(scope)(scope, protocol)
        except ApiError as e:
            self._metrics.refused[e.code] += 1
            _send(protocol, e.status, e.body())
        except Exception:  # noqa: BLE001  a fault of ours must not leave a client waiting
            _log.exception("%s %s failed", scope.method, scope.path)
            self._metrics.refused["internal_error"] += 1
            error = ApiError(500, "internal_error", "The gateway failed.", kind="server_error")
            _send(protocol, error.status, error.body())

    def _handler(self, scope: Scope) -> Handler:
        handler = self._table.get((scope.method, scope.path))
        if handler is not None:
            return handler
        if scope.method == "GET" and scope.path.startswith(_MODELS):
            return self.model
        if any(path == scope.path for _, path in self._table):
            raise ApiError(405, "method_not_allowed", f"{scope.path} does not take {scope.method}.")
        raise ApiError(404, "unknown_url", f"There is nothing at {scope.method} {scope.path}.")

    async def chat(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """POST /v1/chat/completions."""
        call = parse_chat(await self._body(scope, protocol), scope.headers)
        route = resolve(self._routes.current(), call.endpoint, call.conversation)
        exchange = Exchange(call, route)
        send_last = await relay(exchange, self._upstream, protocol)
        self._capture.keep(exchange)
        await send_last()

    async def feedback(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """POST /v1/feedback."""
        feedback = parse_feedback(await self._body(scope, protocol))
        self._capture.keep_feedback(feedback)
        _send_json(protocol, {"object": "feedback", "id": feedback.id})

    async def models(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /v1/models."""
        names = sorted(self._routes.current().endpoints)
        _send_json(protocol, {"object": "list", "data": [_model(name) for name in names]})

    async def model(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """GET /v1/models/{model}."""
        snapshot, name = self._routes.current(), scope.path.removeprefix(_MODELS)
        if name not in snapshot.endpoints:
            raise unknown_model(snapshot, name)
        _send_json(protocol, _model(name))

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
        text = self._metrics.render(
            {
                "tuneloop_routes_version": loaded.version if loaded else 0,
                "tuneloop_routes_stale": self._routes.stale,
                "tuneloop_spool_sync_errors": self._capture.sync_errors,
            }
        )
        protocol.response_str(200, [("content-type", "text/plain; version=0.0.4")], text)

    async def _body(self, scope: Scope, protocol: HTTPProtocol) -> bytes:
        """The request's body, never more of it than the limit."""
        limit = self._settings.body_bytes
        length = scope.headers.get("content-length")
        if length is not None and int(length) <= limit:
            return await protocol()
        pieces, size = [], 0
        if length is None:
            async for piece in protocol:
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    break
            else:
                return b"".join(pieces)
        raise ApiError(413, "request_too_large", f"Expected a body of at most {limit} bytes.")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tuneloop"}


def _send_json(protocol: HTTPProtocol, value: Any) -> None:
    _send(protocol, 200, msgspec.json.encode(value))


def _send(protocol: HTTPProtocol, status: int, body: bytes) -> None:
    protocol.response_bytes(status, [("content-type", "application/json")], body)
