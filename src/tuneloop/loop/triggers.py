"""`loop.triggers`."""

from __future__ import annotations

from tuneloop.arguments import checked_methods
from tuneloop.loop.part import Part
from tuneloop.retraining import decisions
from tuneloop.retraining.triggers import RetrainDecision


@checked_methods
class Triggers(Part):
    """Whether to retrain, and why."""

    def check(self) -> RetrainDecision:
        """Decide now, as the worker does every day; nothing is begun, the decision is kept."""
        return decisions.decide(self._project)

    def listing(self, *, limit: int | None = None) -> list[RetrainDecision]:
        """The decisions that were made, each with its numbers, the newest first."""
        return decisions.listing(self._project.workspace, self._project.model.name, limit=limit)
