"""`loop.audit`."""

from __future__ import annotations

from tuneloop.arguments import checked_methods
from tuneloop.loop.part import Part
from tuneloop.registry import audit, audit_chain
from tuneloop.registry.audit import AuditEvent, Head
from tuneloop.registry.audit_chain import Verification


@checked_methods
class Audit(Part):
    """The audit log: every change of state, each event chained to the one before."""

    def listing(self, *, limit: int = 100, every_model: bool = False) -> list[AuditEvent]:
        """At most `limit` events of this model, or with those of the workspace, the newest first.

        What concerns the whole workspace (people, API keys, erasures) comes with `every_model`.
        """
        model = None if every_model else self._project.model.name
        return audit.listing(self._project.workspace, model, limit=limit)

    def head(self) -> Head:
        """The last event and its digest; kept elsewhere, it proves later that nothing is gone."""
        return audit.head(self._project.workspace)

    def verify(self, *, head: str | None = None) -> Verification:
        """Check every event; `broken` is the first one that was changed, removed or moved.

        `head`: a digest that was the log's end earlier.
        """
        return audit_chain.verify(self._project.workspace, head=head)
