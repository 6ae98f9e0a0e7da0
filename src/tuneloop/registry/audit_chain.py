"""Is the audit log what was written? Names the first event that was changed, removed or moved.

What a chain cannot show by itself is a log that was cut off and whose head was set back, or that
was written anew from some event on by somebody who may write the database. For that, keep a head
elsewhere (`tuneloop audit head`) and ask for it later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tuneloop.hashing import short
from tuneloop.registry import audit
from tuneloop.registry.audit import GENESIS, AuditEvent, Head
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Break:
    """Where the chain is broken first."""

    event: int
    """Id of the event; of a missing one, the id after the last that is there."""
    kind: Literal["changed", "removed", "reordered", "cut off"]
    reason: str
    """For people."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found."""

    events: int
    """How many there are, whole or not."""
    head: Head
    """The last event that is there."""
    broken: Break | None

    @property
    def whole(self) -> bool:
        """Whether every event is as it was written."""
        return self.broken is None


def verify(workspace: Workspace, *, head: str | None = None) -> Verification:
    """Read the whole log; `head` is the digest, or its beginning, of a head kept elsewhere."""
    remembered = audit.head(workspace)
    verification = check(audit.every(workspace), remembered=remembered, kept=head)
    if verification.broken is not None and verification.broken.kind == "removed":
        return replace(
            verification, broken=_told_apart(verification.broken, audit.every(workspace))
        )
    return verification


def check(events: Iterable[AuditEvent], *, remembered: Head, kept: str | None) -> Verification:
    """The rule: every event has its own digest, and the digest of the one before it.

    `remembered` is the head that the store keeps beside the log, `kept` a digest from elsewhere;
    both must be in it. Events after them were written meanwhile.
    """
    last, count, broken = Head(event=0, digest=GENESIS), 0, None
    remembered_found, kept_found = remembered.digest == GENESIS, kept is None
    for event in events:
        count += 1
        broken = broken or _break_at(event, last)
        remembered_found = remembered_found or event.digest == remembered.digest
        kept_found = kept_found or event.digest.startswith(str(kept))
        last = Head(event=event.id, digest=event.digest)
    if broken is None and not remembered_found:
        broken = Break(
            event=last.event + 1,
            kind="cut off",
            reason=f"the log ends with event {last.event}, and {remembered.event} was the last",
        )
    if broken is None and not kept_found:
        broken = Break(
            event=last.event + 1,
            kind="cut off",
            reason=f"no event has the digest {short(str(kept))}: the log was cut off before it, or "
            "written anew",
        )
    return Verification(events=count, head=last, broken=broken)


def _break_at(event: AuditEvent, last: Head) -> Break | None:
    if audit.digest_of(event) != event.digest:
        reason = "its content does not match its digest"
        return Break(event=event.id, kind="changed", reason=reason)
    if event.previous != last.digest:
        return Break(
            event=last.event + 1,
            kind="removed",
            reason=f"event {event.id} does not follow event {last.event}: what was between is gone",
        )
    return None


def _told_apart(removed: Break, events: Iterable[AuditEvent]) -> Break:
    """An event that seems removed may only stand elsewhere."""
    before = GENESIS
    for event in events:
        if event.id < removed.event:
            before = event.digest
        elif event.previous == before:
            reason = f"the event that belongs here has the id {event.id}"
            return Break(event=removed.event, kind="reordered", reason=reason)
    return removed
