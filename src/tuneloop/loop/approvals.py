"""`loop.approvals`."""

from __future__ import annotations

from typing import Literal

from tuneloop.arguments import checked_methods
from tuneloop.deployment import admission
from tuneloop.deployment.admission import Refusal
from tuneloop.loop.part import Part
from tuneloop.registry import approvals
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.standing import Entry, Standing


@checked_methods
class Approvals(Part):
    """People say yes or no to a bundle; the model file says under `approvals` what is required.

    `bundle` is one, or what `loop.bundle` understands. `kind` is `deploy`, or `evaluation` for the
    sign-off of its report.
    """

    def give(
        self,
        bundle: Bundle | str = "candidate",
        *,
        comment: str | None = None,
        kind: Literal["deploy", "evaluation"] = "deploy",
    ) -> Standing:
        """Approve a bundle, for its report as it is now.

        Raises:
            NotAllowedError: the role of whoever acts does not count here.
            UsageError: they made the candidate themselves, or nobody is declared who could approve.
        """
        return approvals.decide(
            self._project.workspace,
            self._project.model,
            self._meant(bundle),
            kind,
            "approved",
            actor=self._project.actor,
            reason=comment or "",
        )

    def reject(
        self,
        bundle: Bundle | str = "candidate",
        *,
        reason: str,
        kind: Literal["deploy", "evaluation"] = "deploy",
    ) -> Standing:
        """Reject a bundle: it is not deployed until that is withdrawn; a rollout of it ends.

        Raises:
            NotAllowedError: the role of whoever acts does not count here.
            UsageError: they made the candidate themselves, or nobody is declared who could approve.
        """
        return approvals.decide(
            self._project.workspace,
            self._project.model,
            self._meant(bundle),
            kind,
            "rejected",
            actor=self._project.actor,
            reason=reason,
        )

    def withdraw(
        self,
        bundle: Bundle | str = "candidate",
        *,
        reason: str | None = None,
        kind: Literal["deploy", "evaluation"] = "deploy",
        of: str | None = None,
    ) -> Standing:
        """Take an approval or a rejection back; both stay in the history.

        `of`: whose decision, by default one's own; others' only as administrator.

        Raises:
            NotAllowedError: it is somebody else's.
            UsageError: there is no decision to take back.
        """
        return approvals.withdraw(
            self._project.workspace,
            self._project.model,
            self._meant(bundle),
            kind,
            actor=self._project.actor,
            reason=reason or "",
            of=of,
        )

    def readmit(self, bundle: Bundle | str = "candidate", *, reason: str) -> tuple[Refusal, ...]:
        """Let what was rolled back, or taken back by its rollout, be tried again.

        It holds for every bundle that behaves the same; gives what is undone by it.

        Raises:
            NotAllowedError: people are declared, and the actor may not deploy.
            UsageError: nothing of that kind keeps it out, or it is without a reason.
        """
        return admission.readmit(
            self._project.workspace,
            self._meant(bundle),
            actor=self._project.actor,
            reason=reason,
        )

    def standing(
        self,
        bundle: Bundle | str = "candidate",
        *,
        kind: Literal["deploy", "evaluation"] = "deploy",
    ) -> Standing:
        """Whether a bundle has what the model file requires, and what it still needs.

        Raises:
            UsageError: no bundle, or more than one, is meant.
        """
        project = self._project
        return approvals.granted(project.workspace, project.model, self._meant(bundle), kind)

    def listing(self, *, bundle: Bundle | str | None = None) -> list[Entry]:
        """Requests and decisions of this model, or of one bundle, the oldest first.

        Raises:
            UsageError: no bundle, or more than one, is meant.
        """
        return approvals.history(
            self._project.workspace,
            model=self._project.model.name,
            bundle=self._meant(bundle).id if bundle else None,
        )

    def _meant(self, bundle: Bundle | str) -> Bundle:
        return self._project.bundle(bundle) if isinstance(bundle, str) else bundle
