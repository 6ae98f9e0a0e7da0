"""The loop of one model: every stage as a method, and what belongs together as a part.

Each method takes what the one before returned. Nothing is kept in the object that is not in the
stores, so a new process goes on where this one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuneloop import modelfile
from tuneloop.acting import whoever_acts
from tuneloop.arguments import checked_methods
from tuneloop.loop.approvals import Approvals
from tuneloop.loop.audit import Audit
from tuneloop.loop.channels import Channels
from tuneloop.loop.cycles import Cycles
from tuneloop.loop.golden import Golden
from tuneloop.loop.judge import Judge
from tuneloop.loop.keys import Keys
from tuneloop.loop.making import Making
from tuneloop.loop.people import People
from tuneloop.loop.releasing import Releasing
from tuneloop.loop.review import Review
from tuneloop.loop.suites import Suites
from tuneloop.loop.triggers import Triggers
from tuneloop.loop.watching import Watching
from tuneloop.progress import Progress
from tuneloop.project import Project
from tuneloop.setup import check, names
from tuneloop.setup.finding import Finding
from tuneloop.under_way import UnderWay


@checked_methods
class Loop(Making, Releasing, Watching):
    """One model and its workspace, as `tuneloop.open` returns it.

    Every method raises UsageError for an argument that it cannot understand, StoreError where the
    workspace cannot be read or written, and NotAllowedError where the model file declares people
    and whoever acts may not do it. All are a TuneloopError, with what to do in `remedy`.
    """

    @classmethod
    def open(
        cls,
        path: Path | str = modelfile.FILE_NAME,
        *,
        overrides: Sequence[str] = (),
        progress: Progress | None = None,
        actor: str | None = None,
    ) -> Loop:
        """What `tuneloop.open` does.

        Raises:
            UsageError: an argument is of another kind.
            ModelFileError: the file is missing or wrong.
            StoreError: the workspace cannot be used.
        """
        return cls(
            Project.open(
                Path(path), actor=actor or whoever_acts(), overrides=overrides, progress=progress
            )
        )

    def close(self) -> None:
        """Give back what the stores hold open; the loop cannot be used afterwards."""
        self.project.close()

    def under_way(self) -> list[UnderWay]:
        """What processes are doing for this model at this moment."""
        return self.project.under_way()

    def check(self, *, base: bool = False, rows: bool = True) -> None:
        """Refuse a model file that names what is not there: files, columns, metrics, the base.

        Once it was found right it is not looked at again. With `base` it must be known that the
        base can be had; without `rows` sources and their columns may be missing.

        Raises:
            ModelFileError: with all such names at once.
            BaseModelError: `base`, and nobody could be asked for it.
        """
        names.check(self.project, base=base, rows=rows)

    def look_over(self) -> list[Finding]:
        """Everything that can fail later, in seconds: what, found, verdict, remedy.

        Nothing is trained or changed, and nothing is refused.
        """
        return check.look_over(self.project)

    # Parts

    @property
    def review(self) -> Review:
        """The review queue: what people must look at, and what they decided."""
        return Review(self.project)

    @property
    def approvals(self) -> Approvals:
        """People say yes or no to a bundle."""
        return Approvals(self.project)

    @property
    def people(self) -> People:
        """People and their roles."""
        return People(self.project)

    @property
    def keys(self) -> Keys:
        """API keys of the gateway."""
        return Keys(self.project)

    @property
    def audit(self) -> Audit:
        """The audit log."""
        return Audit(self.project)

    @property
    def suites(self) -> Suites:
        """The cases that candidates answer: looked at, added to, frozen, compared."""
        return Suites(self.project)

    @property
    def golden(self) -> Golden:
        """Fixed cases asked on the live endpoint."""
        return Golden(self.project)

    @property
    def judge(self) -> Judge:
        """The language model that scores answers."""
        return Judge(self.project)

    @property
    def channels(self) -> Channels:
        """Where people are told of alerts."""
        return Channels(self.project)

    @property
    def triggers(self) -> Triggers:
        """Whether to retrain, and why."""
        return Triggers(self.project)

    @property
    def cycles(self) -> Cycles:
        """Cycles that a worker runs."""
        return Cycles(self.project)
