"""Chooses the client for each model server."""

from __future__ import annotations

from urllib.parse import urlsplit

from tuneloop.gateway.settings import GatewaySettings
from tuneloop.gateway.sweep import Sweep
from tuneloop.gateway.upstream.local import LocalClient
from tuneloop.gateway.upstream.messages import Answer, Client, EventStream, Request
from tuneloop.gateway.upstream.remote import RemoteClient
from tuneloop.registry.routes import Target

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Upstream:
    """Connections to all model servers, kept open between requests."""

    def __init__(
        self,
        sweep: Sweep,
        *,
        connect_timeout_seconds: float = 5.0,
        silence_timeout_seconds: float = GatewaySettings.silence_timeout_seconds,
    ) -> None:
        """`sweep` keeps the time of what is asked on this machine."""
        self._local = LocalClient(
            sweep,
            connect_timeout_seconds=connect_timeout_seconds,
            silence_timeout_seconds=silence_timeout_seconds,
        )
        self._remote = RemoteClient(
            connect_timeout_seconds=connect_timeout_seconds,
            silence_timeout_seconds=silence_timeout_seconds,
        )
        self._clients: dict[str, Client] = {}

    async def ask(self, request: Request) -> Answer:
        """As `Client.ask`."""
        return await self._client(request.target).ask(request)

    def stream(self, request: Request) -> EventStream:
        """As `Client.stream`."""
        return self._client(request.target).stream(request)

    async def close(self) -> None:
        """Close all connections."""
        await self._local.close()
        await self._remote.close()

    def _client(self, target: Target) -> Client:
        client = self._clients.get(target.base_url)
        if client is None:
            where = urlsplit(target.base_url)
            here = where.scheme == "http" and where.hostname in _LOOPBACK
            client = self._clients[target.base_url] = self._local if here else self._remote
        return client
