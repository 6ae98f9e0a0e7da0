"""The processes of tuneloop as the supervisor starts them: the gateway and the model servers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tuneloop.deployment.backends import llamacpp
from tuneloop.deployment.backends.base import answers
from tuneloop.deployment.backends.llamacpp import LlamaSettings
from tuneloop.deployment.supervisor import ProcessSpec
from tuneloop.gateway import server as gateway


def model_server(
    *, name: str, model: Path, served_name: str, port: int, log: Path, settings: LlamaSettings
) -> ProcessSpec:
    """A llama.cpp server for the GGUF file `model`; it answers at `llamacpp.base_url(port)`.

    Raises:
        DeploymentError: `model` is no GGUF file.
        UsageError: the executable that `settings` names does not exist.
    """
    llamacpp.check_gguf(model)
    command = llamacpp.command(model, served_name=served_name, port=port, settings=settings)
    return ProcessSpec(
        name=name,
        command=tuple(command),
        log=log,
        ready=partial(llamacpp.is_ready, port),
        explain=llamacpp.failure_reason,
        ready_within_seconds=settings.startup_timeout_seconds,
        grace_seconds=settings.stop_grace_seconds,
    )


def gateway_process(
    *, routes: Path, spool: Path, port: int, log: Path, host: str = "127.0.0.1"
) -> ProcessSpec:
    """The gateway; ready when it answers, with or without routes."""
    command = gateway.command(routes=routes, spool=spool, host=host, port=port)
    return ProcessSpec(
        name="gateway",
        command=(*command, "--until-stdin-closes"),
        log=log,
        ready=partial(answers, f"http://{_reachable(host)}:{port}/healthz"),
        grace_seconds=10.0,
    )


def _reachable(host: str) -> str:
    """Where to reach a server that listens on all addresses."""
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host
