"""What every model server backend offers."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class ServerHandle:
    """A model server that answers."""

    base_url: str
    """As OpenAI clients write it, with `/v1`."""
    served_name: str
    """The model name to ask for."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key, where one is needed."""


class Backend(Protocol):
    """One way to serve one bundle; also a context manager that starts and stops it."""

    def start(self) -> ServerHandle:
        """Serve, and return when the server is ready.

        Raises:
            DeploymentError: it did not become ready; nothing is left running.
        """

    def is_healthy(self) -> bool:
        """Whether the server answers now."""

    def stop(self) -> None:
        """End it; doing it again changes nothing."""

    def __enter__(self) -> ServerHandle:
        """Start."""

    def __exit__(self, *error: object) -> None:
        """Stop."""


def answers(url: str, *, timeout_seconds: float = 2.0, api_key: str | None = None) -> bool:
    """Whether a GET of `url` gives 200."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_seconds)
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        connection.request("GET", parts.path or "/", headers=headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
