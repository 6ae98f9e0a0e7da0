"""Any OpenAI-compatible server that somebody else runs: an address, a name, a key.

Nothing is started or loaded here, and no file can be looked at there. What can be known is whether
the server lists the name, and what it answers.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.deployment.backends.base import (
    Capability,
    Proof,
    ServerHandle,
    address_in,
    get,
    listed,
)
from tuneloop.errors import DeploymentError
from tuneloop.hashing import short
from tuneloop.modelfile import Problem

if TYPE_CHECKING:
    from tuneloop.modelfile import EndpointSettings

NAME = "openai"
_LOOK_SECONDS = 5.0
_LISTED_IN_MESSAGES = 5


@dataclass(frozen=True, kw_only=True)
class ExternalServer:
    """A model at an address; starting it means looking whether it is there."""

    base_url: str
    """With the version: `https://models.example.com/v1`."""
    served_name: str
    api_key_env: str | None = None
    """Name of the environment variable with the key."""

    def start(self) -> ServerHandle:
        """The server, if it lists the model.

        Raises:
            DeploymentError: the key is missing, or the model is not there.
        """
        if problem := self.problem():
            raise DeploymentError(
                problem,
                remedy="Load the model there under that name, and check the address (it ends "
                "with /v1 for most servers) and the key.",
            )
        return self._handle

    def problem(self) -> str:
        """Why the model cannot be asked now, in a sentence; empty where it can.

        Raises:
            DeploymentError: its key is not in the environment.
        """
        key = self._handle.api_key
        headers = {"authorization": f"Bearer {key}"} if key else {}
        url = f"{self._handle.base_url}/models"
        try:
            status, body = get(url, timeout_seconds=_LOOK_SECONDS, headers=headers)
        except (OSError, http.client.HTTPException) as e:
            return f"{self.base_url} does not answer GET /models: {e or type(e).__name__}."
        if status != 200:
            return f"{self.base_url} does not answer GET /models with 200, but with {status}."
        names = listed(body)
        if self.served_name in names:
            return ""
        others = ", ".join(names[:_LISTED_IN_MESSAGES]) or "none"
        return f"{self.base_url} lists no model {self.served_name!r} (it lists: {others})."

    def is_healthy(self) -> bool:
        """Whether it lists the model."""
        return not self.problem()

    def stop(self) -> None:
        """Nothing: it is not ours."""

    def __enter__(self) -> ServerHandle:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _handle(self) -> ServerHandle:
        return ServerHandle(
            base_url=self.base_url.rstrip("/"),
            served_name=self.served_name,
            api_key_env=self.api_key_env,
        )


class OpenAICompatible:
    """Somebody else's server: vLLM, SGLang, LM Studio, a `llama-server`, a hosted fine-tune.

    What it offers is what the API defines; whether a server keeps to it, the evaluation shows.
    """

    name = NAME
    loads = None
    offers = frozenset({Capability.GRAMMAR, Capability.EMBEDDINGS})
    proof = Proof.ANSWERS
    anew: Mapping[str, Any] = {}

    def version(self) -> str:
        """Nobody says what runs behind an address."""
        return "unknown"

    def problems(self, endpoint: EndpointSettings) -> Iterator[Problem]:
        """Where is it, and who samples?"""
        if endpoint.dry:
            yield Problem(
                at=("endpoint", "dry"),
                message=f"{self.name} samples as whoever runs the server has set it up.",
                remedy="Remove endpoint.dry, and set the sampler there if it has one.",
            )
        if endpoint.server is None:
            yield Problem(
                at=("endpoint", "backend"),
                message=f"{self.name} needs to know where the server is.",
                remedy="Add endpoint.server with base_url and model.",
            )

    def settings(self, endpoint: EndpointSettings) -> dict[str, Any]:
        """Address and name pattern; threads and context are its owner's business."""
        server = endpoint.server
        return {
            "backend": self.name,
            "server": None if server is None else server.as_address(server.model),
            "parallel_requests": endpoint.parallel_requests,
        }

    def conditions(self, endpoint: EndpointSettings, *, digest: str) -> dict[str, Any]:
        """Where the file is served, under which name, and how many are asked at a time."""
        server = endpoint.server
        if server is None:
            raise DeploymentError(
                "The model file says backend: openai and not where the server is.",
                remedy="Add endpoint.server with base_url and model.",
            )
        return {
            "address": server.as_address(server.model.replace("{file}", short(digest))),
            "parallel_requests": endpoint.parallel_requests,
            "offers": sorted(self.offers),
        }

    def concurrency(self, serving: Mapping[str, Any]) -> int:
        """What its owner allows, as the model file says."""
        return int(serving["parallel_requests"])

    def server(
        self, serving: Mapping[str, Any], *, model: Path, served_name: str, log: Path
    ) -> ExternalServer:
        """The one at the address; the file stays here, and the log is its owner's."""
        address = address_in(serving)
        if address is None:
            raise DeploymentError("This bundle does not say where it is served.")
        return ExternalServer(
            base_url=address.base_url,
            served_name=address.served_name,
            api_key_env=address.api_key_env,
        )


OPENAI_COMPATIBLE = OpenAICompatible()
