"""`loop.review`."""

from __future__ import annotations

from typing import Literal

from tuneloop import review
from tuneloop.arguments import checked_methods
from tuneloop.evaluation.record import Evaluation
from tuneloop.loop.part import Part
from tuneloop.online_evaluation import sampling
from tuneloop.online_evaluation.sampling import Sample
from tuneloop.review import ReviewItem, ReviewStats, blind
from tuneloop.review.blind import Desk
from tuneloop.task.kind import is_prose


@checked_methods
class Review(Part):
    """The review queue: what people must look at, and what they decided.

    `reviewer` is who decides, by default whoever acts. Only what a person approved is trained on.
    """

    def waiting(self, *, reviewer: str | None = None) -> list[ReviewItem]:
        """The items that wait for this person, the oldest first; new corrections are among them.

        Open ones, and those that another person judged first.

        Raises:
            BusyError: another process has been moving the captured traffic for a minute.
        """
        review.collect_corrections(self._project)
        project = self._project
        return review.waiting(project.workspace, project.model.name, reviewer or project.actor)

    def listing(
        self,
        *,
        status: Literal["open", "second", "disputed", "skipped", "approved", "rejected"]
        | None = None,
    ) -> list[ReviewItem]:
        """The items with a status, or all, the oldest first."""
        return review.listing(self._project.workspace, self._project.model.name, status=status)

    def decide(
        self,
        item: ReviewItem | str,
        decision: Literal["approved", "rejected", "skipped"],
        *,
        answer: str | None = None,
        anyway: bool = False,
        reviewer: str | None = None,
    ) -> str:
        """Judge an item, or its id; returns its status now, such as `approved` or `second`.

        `answer` is the right one, by default the proposed one; `anyway` approves also one that
        breaks the form that the model file declares. Of an item of status `second` another person
        has judged first; whoever judges a `disputed` one settles it.

        Raises:
            UsageError: there is no such item, or the answer breaks the declared form.
            ConflictError: it is decided, or this person has judged it and another one must.
        """
        project = self._project
        return review.decide(
            project.workspace,
            model=project.model.name,
            item=_id(item),
            decision=decision,
            reviewer=reviewer or project.actor,
            final=answer,
            form=review.declared_form(project.model),
            anyway=anyway,
            prose=is_prose(project.model.task),
        )

    def undo(self, item: ReviewItem | str, *, reviewer: str | None = None) -> str:
        """Take back the last judgement of an item, or its id; returns its status now.

        Raises:
            UsageError: there is no such item, or nobody has judged it.
            ConflictError: a dataset version was made with it.
        """
        project = self._project
        return review.undo(
            project.workspace,
            model=project.model.name,
            item=_id(item),
            reviewer=reviewer or project.actor,
            prose=is_prose(project.model.task),
        )

    def stats(self) -> ReviewStats:
        """Pace, agreement between reviewers, edits, and how long items have been waiting.

        Raises:
            BusyError: another process has been moving the captured traffic for a minute.
        """
        review.collect_corrections(self._project)
        project = self._project
        return review.stats(project.workspace, project.model.name, task=project.model.task)

    def blind(
        self,
        evaluation: Evaluation,
        *,
        reference: Literal["production", "base"] | None = None,
        reviewer: str | None = None,
    ) -> Desk:
        """Two answers to each case of an evaluation, to choose from without knowing whose they are.

        `desk.waiting()` are the pairs that this person has not chosen in, `pair.shown` the texts of
        A and B, `desk.choose({pair.id: "A"})` keeps a choice, `desk.result()` says what all choices
        come to. `reference`: by default production, or the base where nothing was in production.

        Raises:
            EvaluationError: the evaluation is not finished.
            UsageError: nobody else was asked in it, or not this reference.
        """
        project = self._project
        return blind.desk(
            project.workspace,
            evaluation,
            person=reviewer or project.actor,
            reference=reference,
        )

    def sample(self) -> Sample:
        """Put last week's random sample of answers into the queue; decided ones become labels.

        Raises:
            BusyError: another process has been moving the captured traffic for a minute.
        """
        return sampling.queue_sample(self._project, self._project.workspace.now())


def _id(item: ReviewItem | str) -> str:
    return item if isinstance(item, str) else item.id
