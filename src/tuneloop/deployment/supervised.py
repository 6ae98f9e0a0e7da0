"""The rollout controller and other programs as the supervisor starts them."""

from __future__ import annotations

import sys
from pathlib import Path

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
