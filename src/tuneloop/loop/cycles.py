"""`loop.cycles`."""

from __future__ import annotations

from tuneloop.arguments import checked_methods
from tuneloop.loop.part import Part
from tuneloop.retraining import cycles
from tuneloop.retraining.cycles import Cycle


@checked_methods
class Cycles(Part):
    """Cycles that a worker runs; `loop.run` does one here and now."""

    def ask(self, *, reason: str = "started by hand") -> Cycle:
        """Ask the worker for a cycle; it begins as soon as a worker has a hand free.

        Raises:
            BusyError: one is under way.
        """
        return cycles.ask(self._project, reason=reason, actor=self._project.actor)

    def show(self, reference: str = "latest") -> Cycle:
        """A cycle by id, its beginning, or `latest`: its steps, and what came of it.

        Raises:
            UsageError: none, or more than one, is meant.
        """
        return cycles.find(self._project.workspace, self._project.model.name, reference)

    def listing(self) -> list[Cycle]:
        """All cycles, the newest first."""
        return cycles.listing(self._project.workspace, self._project.model.name)

    def cancel(self, reference: str = "latest") -> Cycle:
        """End a cycle; what it has made is kept, and a rollout that it began goes on.

        Raises:
            UsageError: there is no such cycle, or it is over.
        """
        project = self._project
        return cycles.cancel(project.workspace, project.model.name, reference, actor=project.actor)
