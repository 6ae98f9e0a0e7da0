"""What cycles have done, counted in the stores and the audit log: each should be there once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import psutil

from chaos.cycle_desk import Desk
from tuneloop.deployment import rollouts
from tuneloop.errors import TuneloopError
from tuneloop.evaluation import record as evaluations
from tuneloop.registry import audit
from tuneloop.registry import bundle as bundles

CYCLES = 2
"""That were asked for; the second one ends with a rollout."""


def effects(desk: Desk) -> Mapping[str, tuple[int, int]]:
    """Effect → how often it is found, and how often it should be."""
    loop, name = desk.loop, desk.loop.model.name
    runs, made = loop.training_runs(), bundles.listing(loop.workspace, model=name)
    done = evaluations.find_all(loop.workspace, model=name)
    events = Counter(e.action for e in audit.listing(loop.workspace, name, limit=10_000))
    exports = {bundle.manifest.artifacts.export for bundle in made}
    rolled = loop.rollouts()
    return {
        "dataset versions": (len(loop.dataset_versions()), CYCLES),
        "training runs": (len(runs), CYCLES),
        "finished training runs": (sum(run.status == "finished" for run in runs), CYCLES),
        "exports": (len(exports), CYCLES),
        "evaluations": (len(done), CYCLES),
        "questions answered twice": (sum(answered_twice(desk, one) for one in done), 0),
        "bundles": (len(made), CYCLES),
        "moves of production": (desk.in_production(), CYCLES),
        "rollouts": (len(rolled), 1),
        "finished rollouts": (sum(one.status == "finished" for one in rolled), 1),
        "rollout starts": (starts(desk, rolled), 1),
        "cycles asked for": (events["cycle.ask"], CYCLES),
        "cycles begun": (events["cycle.start"], CYCLES),
        "cycles ended": (events["cycle.finish"], CYCLES),
        "artifacts that are not whole": (broken_artifacts(desk), 0),
        "processes left behind": (len(left_behind(desk)), 0),
    }


def answered_twice(desk: Desk, evaluation: Any) -> int:
    answers = evaluations.read_answers(desk.loop.workspace, evaluation)
    times = Counter((a["target"], a["suite"], a["case"]) for a in answers)
    return sum(n - 1 for n in times.values())


def starts(desk: Desk, rolled: list[rollouts.Rollout]) -> int:
    events = [e for one in rolled for e in rollouts.events(desk.loop.workspace, one.id)]
    return sum(event.event == "start" for event in events)


def broken_artifacts(desk: Desk) -> int:
    store, broken = desk.loop.workspace.artifacts, 0
    for manifest in (desk.folder / ".tuneloop" / "artifacts" / "trees").glob("*.json"):
        try:
            store.verify(manifest.stem)
        except (TuneloopError, OSError) as e:
            print(f"PROBLEM: {manifest.stem}: {e}", file=sys.stderr)
            broken += 1
    return broken


def left_behind(desk: Desk) -> list[str]:
    running = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [line for line in running if str(desk.folder) in line]
