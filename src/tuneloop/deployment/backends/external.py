"""Any OpenAI-compatible server that somebody else runs: just an address."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tuneloop.deployment.backends.base import ServerHandle, answers
from tuneloop.errors import DeploymentError


@dataclass(frozen=True, kw_only=True)
class ExternalServer:
    """A server at an address; starting it means looking whether it answers."""

    base_url: str
    """With the version: `https://models.example.com/v1`."""
    served_name: str
    api_key_env: str | None = None
    """Name of the environment variable with the key."""

    def start(self) -> ServerHandle:
        """The server, if it lists its models.

        Raises:
            DeploymentError: it does not answer.
        """
        if self.api_key_env is not None and self.api_key_env not in os.environ:
            raise DeploymentError(
                f"The key of {self.base_url} is expected in ${self.api_key_env}, which is not set.",
                remedy=f"Set it: export {self.api_key_env}=...",
            )
        if not self.is_healthy():
            raise DeploymentError(
                f"{self.base_url} does not answer GET /models with 200.",
                remedy="Check the address (it ends with /v1 for most servers) and the key.",
            )
        return ServerHandle(
            base_url=self.base_url.rstrip("/"),
            served_name=self.served_name,
            api_key_env=self.api_key_env,
        )

    def is_healthy(self) -> bool:
        """Whether it lists its models."""
        key = os.environ.get(self.api_key_env) if self.api_key_env else None
        return answers(f"{self.base_url.rstrip('/')}/models", timeout_seconds=5.0, api_key=key)

    def stop(self) -> None:
        """Nothing: it is not ours."""

    def __enter__(self) -> ServerHandle:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()
