"""What people are told of besides alerts: the rules that make notices of the audit log's events.

Whatever moves production, asks people or ends a cycle writes an event to the audit log, in the
transaction of the change itself. So a notice needs nobody to send it, and a kill loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuneloop.foreign_text import one_line
from tuneloop.hashing import short
from tuneloop.modelfile import EventKind
from tuneloop.registry.audit import AuditEvent

DIGEST_EVERY = timedelta(days=1)
"""Waiting reviews are told at most so often."""
_MOST_CHARACTERS = 1_000


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that happened, for people."""

    kind: EventKind
    title: str
    """What happened, in one line."""
    body: str
    """Why, and what to type next, a line each."""
    actor: str
    """Who did it; empty: nobody in particular."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What waits for review."""

    counts: Mapping[str, int]
    """Kind of item → items that wait."""
    newest: datetime
    """When the last one of them was put in."""
    oldest: datetime


def notice_of(event: AuditEvent) -> Notice | None:
    """What people are told of an event of the audit log; None: nothing.

    Reasons and names are what somebody typed: each is one line, and none can look like ours.
    """
    tell = _TELLERS.get(event.action)
    told = None if tell is None else tell(event)
    if told is None:
        return None
    why = f"why: {one_line(told.why)[:_MOST_CHARACTERS]}" if told.why.strip() else ""
    less = (f"look: {one_line(weaker)[:_MOST_CHARACTERS]}" for weaker in _weakened(event))
    return Notice(
        kind=told.kind,
        title=one_line(told.title),
        body="\n".join(filter(None, [*less, why, f"next: {one_line(told.next)}"])),
        actor=event.actor,
        at=event.at,
    )


def reviews_due(
    queue: Queue, *, told_at: datetime | None, now: datetime, repeat: timedelta
) -> bool:
    """Whether people are told of the reviews that wait: of new ones once a day.

    Of those that they were told of at `told_at` they are reminded after `repeat`.
    """
    if told_at is None:
        return True
    wait = DIGEST_EVERY if queue.newest > told_at else max(DIGEST_EVERY, repeat)
    return now - told_at >= wait


def reviews(queue: Queue, now: datetime) -> Notice:
    """The digest of what waits for review."""
    n = sum(queue.counts.values())
    parts = (f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(queue.counts.items()))
    return Notice(
        kind="reviews",
        title=f"{n} answer{'s wait' if n > 1 else ' waits'} for review",
        body=f"{', '.join(parts)}; the oldest since {queue.oldest:%Y-%m-%d}\nnext: tuneloop review",
        actor="",
        at=now,
    )


@dataclass(frozen=True, kw_only=True)
class _Told:
    kind: EventKind
    title: str
    why: str
    next: str


def _requested(event: AuditEvent) -> _Told:
    bundle, kind = _bundle(event, "bundle"), event.detail.get("kind", "deploy")
    return _Told(
        kind="approvals",
        title=f"bundle {bundle} waits for its {kind} approval",
        why=_text(event, "reason"),
        next=f"tuneloop bundle show {bundle}; then tuneloop approve {bundle} --kind {kind}, or "
        f"tuneloop reject {bundle} --kind {kind} -m WHY",
    )


def _decided(event: AuditEvent) -> _Told:
    bundle, kind = _bundle(event, "bundle"), event.detail.get("kind", "deploy")
    person, what = _text(event, "person"), event.action.removeprefix("approval.")
    title = f"{person} {what} bundle {bundle} ({kind})"
    if what == "withdrawn":
        title = f"the {kind} decision of {person} about bundle {bundle} was withdrawn"
    elif what == "readmitted":
        title = f"{person} lets bundle {bundle} be tried again"
    return _Told(
        kind="refusals" if what == "rejected" else "approvals",
        title=title,
        why=_text(event, "reason"),
        next="tuneloop approvals list",
    )


def _moved(event: AuditEvent) -> _Told | None:
    if event.detail.get("drill"):
        return None
    to, before = _bundle(event, "to"), _bundle(event, "from")
    after = f", after {before}" if before else ""
    if event.detail.get("rollback"):
        return _Told(
            kind="rollbacks",
            title=f"production was rolled back to {to}{after}",
            why=_text(event, "reason"),
            next="tuneloop status; to undo it: tuneloop rollback",
        )
    return _Told(
        kind="deployments",
        title=f"{to} is in production{after}",
        why=_text(event, "reason"),
        next="tuneloop status" + ("; to go back: tuneloop rollback" if before else ""),
    )


def _ended(event: AuditEvent) -> _Told | None:
    """A cycle that failed, whose candidate the gates refused, or that leaves it to a person."""
    cycle, bundle = _text(event, "cycle"), _bundle(event, "bundle")
    named = f"candidate {bundle}" if bundle else "the candidate"
    show = f"tuneloop bundle show {bundle}" if bundle else f"tuneloop cycle show {cycle}"
    kind: EventKind
    if event.detail.get("status") == "failed":
        kind, title = "failures", f"cycle {cycle} failed"
        following = f"tuneloop cycle show {cycle}; tuneloop run goes on where it was"
    elif event.detail.get("candidate") == "refused":
        kind, title, following = "refusals", f"{named} was refused", show
    elif event.detail.get("candidate") == "undecided":
        kind, title = "approvals", f"{named} waits for a person's decision"
        following = f"{show}; then tuneloop deploy {bundle}"
    else:
        return None
    return _Told(kind=kind, title=title, why=_text(event, "outcome"), next=following)


def _rollout(event: AuditEvent) -> _Told:
    bundle, what = _bundle(event, "candidate"), event.action.removeprefix("rollout.")
    titles: Mapping[str, tuple[EventKind, str]] = {
        "start": ("deployments", f"a rollout of {bundle} has begun"),
        "hold": ("deployments", f"the rollout of {bundle} waits for a person"),
        "roll_back": ("rollbacks", f"the rollout of {bundle} was taken back"),
        "abort": ("rollbacks", f"the rollout of {bundle} was ended"),
    }
    kind, title = titles[what]
    why = "" if what == "start" else _text(event, "reason")
    return _Told(kind=kind, title=title, why=why, next="tuneloop rollout status")


def _weakened(event: AuditEvent) -> list[str]:
    """What the bundle was held to less than others, as the event itself or its approver saw it."""
    seen = event.detail.get("seen") or {}
    return [*event.detail.get("weakened", ()), *seen.get("weakened", ())]


def _text(event: AuditEvent, key: str) -> str:
    return str(event.detail.get(key) or "")


def _bundle(event: AuditEvent, key: str) -> str:
    return short(_text(event, key))


_TELLERS: Mapping[str, Callable[[AuditEvent], _Told | None]] = {
    "approval.requested": _requested,
    "approval.approved": _decided,
    "approval.rejected": _decided,
    "approval.withdrawn": _decided,
    "approval.readmitted": _decided,
    "endpoint.move": _moved,
    "cycle.finish": _ended,
    **{f"rollout.{what}": _rollout for what in ("start", "hold", "roll_back", "abort")},
}
