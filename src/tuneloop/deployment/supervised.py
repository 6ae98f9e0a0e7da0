"""Model servers, the rollout controller and other programs as the supervisor starts them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from tuneloop.deployment.backends import llamacpp
from tuneloop.deployment.backends.llamacpp import LlamaSettings
from tuneloop.deployment.supervisor import ProcessSpec

CONTROLLER = "rollout controller"


def controller(root: Path, *, log: Path) -> ProcessSpec:
    """What decides about the rollouts of the workspace in `root`."""
    return program(CONTROLLER, module="tuneloop.deployment.controller_process", root=root, log=log)


def program(name: str, *, module: str, root: Path, log: Path) -> ProcessSpec:
    """A module that works on the workspace in `root` until its standard input closes."""
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", module, "--workspace", str(root)),
        log=log,
        ready=lambda: True,
    )


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
