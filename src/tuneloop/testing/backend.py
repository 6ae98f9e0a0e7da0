"""A backend that starts nothing: its bundles are answered by a server of the test's own.

with ScriptedUpstream(...) as upstream, played(PlayedBackend(base_url=upstream.base_url)):
    ...  # bundles whose manifest says `serving: {"backend": "played"}` are asked there
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.deployment.backends.base import Backend, Capability, Proof, ServerHandle
from tuneloop.deployment.backends.table import BACKENDS

if TYPE_CHECKING:
    from tuneloop.modelfile import EndpointSettings, Problem

NAME = "played"


@dataclass
class PlayedBackend:
    """What a backend says of itself, with every server at `base_url`."""

    base_url: str
    starting: Callable[[str], None] = lambda served_name: None
    """Called before a server is there; raise a DeploymentError to play one that does not start."""
    name: str = NAME
    loads: str | None = "gguf"
    offers: frozenset[Capability] = frozenset()
    proof: Proof = Proof.FILE

    @property
    def anew(self) -> Mapping[str, Any]:
        """It remembers nothing."""
        return {}

    def version(self) -> str:
        """Always the same."""
        return "played"

    def problems(self, endpoint: EndpointSettings) -> Iterator[Problem]:
        """None."""
        return iter(())

    def settings(self, endpoint: EndpointSettings) -> dict[str, Any]:
        """How many at a time."""
        return {"backend": self.name, "parallel_requests": endpoint.parallel_requests}

    def conditions(self, endpoint: EndpointSettings, *, digest: str) -> dict[str, Any]:
        """How many at a time."""
        return {"parallel_requests": endpoint.parallel_requests}

    def concurrency(self, serving: Mapping[str, Any]) -> int:
        """As it says there."""
        return int(serving["parallel_requests"])

    def server(
        self, serving: Mapping[str, Any], *, model: Path, served_name: str, log: Path
    ) -> PlayedServer:
        """One that is there at once."""
        return PlayedServer(self, served_name)


@dataclass
class PlayedServer:
    """A server that somebody else runs at the backend's address."""

    backend: PlayedBackend
    served_name: str

    def start(self) -> ServerHandle:
        """It is there."""
        self.backend.starting(self.served_name)
        return ServerHandle(base_url=self.backend.base_url, served_name=self.served_name)

    def is_healthy(self) -> bool:
        """Always."""
        return True

    def stop(self) -> None:
        """Nothing to stop."""

    def __enter__(self) -> ServerHandle:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


@contextmanager
def played(backend: Backend) -> Iterator[None]:
    """Have a backend in the table for as long as this lasts."""
    BACKENDS[backend.name] = backend
    try:
        yield
    finally:
        del BACKENDS[backend.name]
