"""The process that decides about rollouts while one is under way; `tuneloop up` runs it.

python -m tuneloop.deployment.controller_process --workspace DIR
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path

from tuneloop import logs
from tuneloop.deployment import controller, rollouts
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import TuneloopError
from tuneloop.workspace import Workspace

# By name: as a program this module is called __main__.
_log = logging.getLogger("tuneloop.deployment.controller_process")

EVERY_SECONDS = 2.0


def step(workspace: Workspace) -> None:
    """Take every rollout under way one decision further; one that fails does not stop others."""
    with workspace.records.begin() as tx:
        under_way = rollouts.all_active(tx)
    for rollout in under_way:
        try:
            moved = controller.advance(workspace, rollout)
        except TuneloopError as e:
            _log.warning("Rollout %s: %s", rollout.id, e.message, extra=_fields(rollout))
            continue
        if moved.revision != rollout.revision:
            _log.info(
                "Rollout %s: %s, %s. %s",
                moved.id,
                moved.stage,
                moved.status,
                moved.detail,
                extra=_fields(moved),
            )


def _fields(rollout: Rollout) -> dict[str, str]:
    return {"rollout": rollout.id, "endpoint": rollout.endpoint, "bundle": rollout.candidate}


def main(argv: Sequence[str] | None = None) -> int:
    """Decide again and again until standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--every-seconds", type=float, default=EVERY_SECONDS)
    chosen = parser.parse_args(argv)
    logs.configure()
    workspace = Workspace.open(chosen.workspace)
    _log.info("The rollout controller is running.")
    while True:
        try:
            step(workspace)
        except TuneloopError as e:
            _log.warning("%s", e.message)  # the records are away; they may come back
        readable, _, _ = select.select([sys.stdin], [], [], chosen.every_seconds)
        if readable and not os.read(sys.stdin.fileno(), 1024):
            return 0


if __name__ == "__main__":
    sys.exit(main())
