"""What every kind of model server says of itself, and what it is asked to do."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from tuneloop.deployment.observation import Observation, Prompt
from tuneloop.errors import DeploymentError
from tuneloop.foreign_text import fits_header
from tuneloop.registry.manifest import Serving

if TYPE_CHECKING:
    from tuneloop.deployment.supervisor import ProcessSpec
    from tuneloop.modelfile import EndpointSettings, Problem
    from tuneloop.progress import Progress


class Capability(StrEnum):
    """What a server may offer beside answering chats."""

    TOKENISE = "tokenise"
    """Says which token ids a prompt becomes behind its own chat template."""
    LOG_PROBABILITIES = "log-probabilities"
    """Says how likely each generated token was, and the likeliest others."""
    GRAMMAR = "grammar"
    """Keeps an answer to a JSON Schema (`response_format`)."""
    EMBEDDINGS = "embeddings"
    FORGET = "forget"
    """Can be asked to read a prompt from its first token, as if it had never seen it."""


class Proof(StrEnum):
    """How one knows that the weights of a bundle are those that answer."""

    FILE = "file"
    """The file whose digest is in the manifest is read here and loaded by a process of ours."""
    ANSWERS = "answers"
    """Somebody else loaded it: all that can be compared is what is answered."""


_MOST_BYTES = 1_000_000
"""Of what is read of an answer to a look."""


@dataclass(frozen=True, kw_only=True)
class ServerHandle:
    """A model server that answers."""

    base_url: str
    """As OpenAI clients write it, with `/v1`."""
    served_name: str
    """The model name to ask for."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key, where one is needed."""

    @property
    def api_key(self) -> str | None:
        """The key itself, from the environment; None where none is needed.

        Raises:
            DeploymentError: it is not there, or cannot be sent.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env)
        if not key:
            raise DeploymentError(
                f"The key of {self.base_url} is expected in ${self.api_key_env}, which is not set.",
                remedy=f"Set it where the command, worker or `tuneloop up` runs: "
                f"export {self.api_key_env}=…",
            )
        if not fits_header(key):  # Whoever sent it would tell the key in an error.
            raise DeploymentError(
                f"${self.api_key_env}, the key of {self.base_url}, holds what cannot be sent.",
                remedy="Set it to the key alone: no line end, no character beyond ASCII.",
            )
        return key


class Server(Protocol):
    """One model that can be served; also a context manager that starts and stops it."""

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


class Backend(Protocol):
    """One kind of model server.

    `serving` is everywhere the part of a bundle's manifest that says how the bundle is served, or
    what that part is going to be: `conditions` are among its fields.
    """

    @property
    def name(self) -> str:
        """What a model file and a manifest call it."""

    @property
    def loads(self) -> str | None:
        """Form of the file that it loads from this disk, e.g. `gguf`; None: its owner loads it."""

    @property
    def offers(self) -> frozenset[Capability]:
        """What it can do beside answering chats."""

    @property
    def proof(self) -> Proof:
        """How one knows that the tuned weights are in effect."""

    @property
    def anew(self) -> Mapping[str, Any]:
        """Fields of a request whose prompt is read from its first token; empty: it cannot be
        asked to forget."""

    def version(self) -> str:
        """What runs, as far as it is known here: part of what decides an answer."""

    def problems(self, endpoint: EndpointSettings) -> Iterator[Problem]:
        """What the model file's `endpoint` section lacks, or says in vain, with this backend."""

    def settings(self, endpoint: EndpointSettings) -> dict[str, Any]:
        """The settings that decide how a bundle is run."""

    def conditions(self, endpoint: EndpointSettings, *, digest: str) -> dict[str, Any]:
        """What decides, beside sampling and version, how and how fast a file with this SHA-256
        answers."""

    def concurrency(self, serving: Mapping[str, Any]) -> int:
        """How many requests it works on at a time."""

    def server(
        self, serving: Mapping[str, Any], *, model: Path, served_name: str, log: Path
    ) -> Server:
        """The server of one file.

        Whoever runs it elsewhere has named it: `served_name` is for those that are started here.
        """


class ManagedBackend(Backend, Protocol):
    """A backend whose servers are processes of ours, which `tuneloop up` keeps running."""

    def process(
        self, serving: Mapping[str, Any], *, model: Path, served_name: str, port: int, log: Path
    ) -> ProcessSpec:
        """The process that answers at `local_url(port)`.

        Raises:
            DeploymentError: `model` cannot be loaded.
            UsageError: the executable that is asked for does not exist.
        """


class ObservingBackend(Backend, Protocol):
    """A backend that offers `TOKENISE` and `LOG_PROBABILITIES`: parity reads files through it."""

    def servers_at_once(self, serving: Mapping[str, Any]) -> int:
        """How many of its servers this machine runs without one slowing the other."""

    def observe(
        self, base_url: str, prompts: Sequence[Prompt], *, positions: int, progress: Progress
    ) -> list[Observation]:
        """What the server at `base_url` does with each prompt, greedily, `positions` tokens far.

        Raises:
            DeploymentError: it does not answer.
        """


def local_url(port: int) -> str:
    """Where a server of ours with this port answers OpenAI clients."""
    return f"http://127.0.0.1:{port}/v1"


def address_in(serving: Mapping[str, Any]) -> ServerHandle | None:
    """Where a bundle is served by somebody else; None: a process of ours does it."""
    address = serving.get("address")
    if address is None:
        return None
    return ServerHandle(
        base_url=address["base_url"],
        served_name=address["model"],
        api_key_env=address.get("api_key_env"),
    )


def proof_of(serving: Serving) -> dict[str, Any]:
    """How it is known that a bundle's weights are those that answer, as its manifest says."""
    if serving.proof:
        return dict(serving.proof)
    ours = address_in(serving.conditions) is None
    return {"by": Proof.FILE.value if ours else "nothing"}


def proof_sentence(serving: Serving) -> str:
    """`proof_of` in words; empty where nothing is left to wish for."""
    address, proof = address_in(serving.conditions), proof_of(serving)
    if proof["by"] == Proof.FILE or address is None:
        return ""
    if "compared" not in proof:
        return (
            f"{address.base_url} is run by somebody else, and nothing says that "
            f"{address.served_name} has this bundle's weights"
        )
    return (
        f"{address.base_url} is run by somebody else: that {address.served_name} has this bundle's "
        f"weights is shown by its answers alone, {proof['agreed']} of {proof['compared']} as the "
        "exported file answers here"
    )


def answers(url: str, *, timeout_seconds: float = 2.0) -> bool:
    """Whether a GET of `url` gives 200."""
    try:
        return get(url, timeout_seconds=timeout_seconds)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def get(
    url: str, *, timeout_seconds: float, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of a GET.

    The time is for all of it: a server that sends a byte a second holds nobody up for ever.

    Raises:
        OSError, http.client.HTTPException: nothing, or no HTTP, came back, or too much of it.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_seconds)
    late = threading.Event()
    connection.connect()
    stream = connection.sock  # The connection forgets it where the server closes at the end.

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        connection.request("GET", parts.path or "/", headers=dict(headers or {}))
        response = connection.getresponse()
        body = response.read(_MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as e:
        if late.is_set():
            raise TimeoutError(f"no whole answer in {timeout_seconds:g} s") from e
        raise
    finally:
        timer.cancel()
        connection.close()
    if late.is_set():
        raise TimeoutError(f"no whole answer in {timeout_seconds:g} s")
    if len(body) > _MOST_BYTES:
        raise http.client.HTTPException(f"an answer of more than {_MOST_BYTES:,} bytes")
    return response.status, body
