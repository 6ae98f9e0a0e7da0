"""A desk whose cycles are killed, and the moments at which that happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from tiny_desk import EXAMPLE, make_desk
from tuneloop.loop import Loop
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.retraining import cycles

Reached = Callable[["Desk"], bool]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A moment in a cycle at which the worker is killed."""

    name: str
    reached: Reached
    step: str = ""
    """At its boundary: the step whose effect has just been seen."""


def said(words: str) -> Reached:
    """The cycle's log announces it."""
    return lambda desk: words in desk.new_log()


def recorded(step: str) -> Reached:
    """The cycle's row has the step."""
    return lambda desk: step in desk.cycle().steps


def has_checkpoint(desk: Desk) -> bool:
    """An epoch of the training is safe."""
    return any(desk.work.glob("training/*/checkpoints/*/trainer_state.json"))


def has_answers(desk: Desk) -> bool:
    """The candidate has answered some of its cases."""
    files = desk.work.glob("answers/*/*.jsonl")
    now = [f for f in files if f.parent.name != "references" and f not in desk.old_answers]
    return any(file.read_text().count("\n") > 5 for file in now)


FIRST = (
    Point(name="inside prepare", reached=said("Looking for contradictions")),
    Point(
        name="prepare made", reached=lambda d: len(d.loop.dataset_versions()) == 1, step="prepare"
    ),
    Point(name="after prepare", reached=recorded("prepare")),
    Point(name="inside training", reached=has_checkpoint),
    Point(
        name="trained",
        reached=lambda d: d.loop.training_runs()[0].status == "finished",
        step="train",
    ),
    Point(name="after train", reached=recorded("train")),
    Point(name="inside export: merge", reached=said("Merging the trained weights")),
    Point(name="inside export: convert", reached=said("Converting to GGUF")),
    Point(name="inside export: parity", reached=said("Parity")),
    Point(name="after export", reached=recorded("export")),
    Point(name="inside evaluation", reached=has_answers),
    Point(name="evaluated", reached=lambda d: d.bundles() == 1, step="evaluate"),
    Point(name="after evaluate", reached=recorded("evaluate")),
    Point(name="inside deploy", reached=said("Deploying")),
    Point(name="deployed", reached=lambda d: d.in_production() == 1, step="deploy"),
)
SECOND = (
    Point(name="after evaluate, of the second", reached=recorded("evaluate")),
    Point(name="inside rollout", reached=said("Rolling out")),
    Point(name="rollout begun", reached=lambda d: bool(d.loop.rollouts()), step="rollout"),
    Point(name="waiting for the rollout", reached=lambda d: d.cycle().status == "waiting"),
)


class Desk:
    """The folder that the cycles work on."""

    def __init__(self, folder: Path) -> None:
        path = make_desk(folder)
        settings = yaml.safe_load(path.read_text())
        settings["data"]["sources"] = ["month-*.jsonl"]
        settings["training"]["epochs"] = 2
        settings["rollout"] = {"automatic": True, "shadow": False, "steps": [0.5]}
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        self.folder = folder
        self.loop = Loop.open(path)
        self.work = folder / ".tuneloop" / "work"
        self.old_answers: set[Path] = set()
        self._log = folder / ".tuneloop" / "logs" / f"cycle-{self.loop.model.name}.log"
        self._read = 0

    def cycle(self) -> cycles.Cycle:
        return cycles.find(self.loop.workspace, self.loop.model.name)

    def bundles(self) -> int:
        return len(bundles.listing(self.loop.workspace, model=self.loop.model.name))

    def in_production(self) -> int:
        return sum(m.name == "production" for m in self.moves())

    def moves(self) -> list[aliases.Move]:
        return aliases.history(self.loop.workspace, self.loop.model.name)

    def new_log(self) -> str:
        """What cycles have said since the last kill."""
        return self._log.read_text()[self._read :] if self._log.exists() else ""

    def mark(self) -> None:
        self._read = len(self._log.read_text()) if self._log.exists() else 0

    def add_rows(self) -> None:
        """What a month brings: rows that the next cycle is about."""
        (self.folder / "month-2.jsonl").write_text((EXAMPLE / "month-2.jsonl").read_text())

    def close(self) -> None:
        """Let go of the stores."""
        self.loop.close()
