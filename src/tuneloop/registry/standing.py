"""The rule of approvals: what people did to a bundle, and what its model file requires, give where
the bundle stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tuneloop.hashing import digest_json
from tuneloop.modelfile import ApprovalRule, Role

Kind = Literal["evaluation", "deploy"]
Event = Literal["requested", "approved", "rejected", "withdrawn"]
KINDS: tuple[Kind, ...] = ("evaluation", "deploy")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an approval is about: the report of a bundle's latest evaluation."""

    evaluation: str
    """Its id."""
    report: str
    """Digest of the report."""
    gates: str
    """Digest of the gates that it was held against."""
    verdict: str
    comparison: Mapping[str, Any]
    """With production, empty where there was none."""
    weakened: tuple[str, ...] = ()
    """What was asked for less than by default or than of production, a sentence each."""

    @property
    def digest(self) -> str:
        """Of all that."""
        return digest_json(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """In JSON form; what is not weakened says nothing of it, as in earlier releases."""
        fields = dict(vars(self))
        weakened = fields.pop("weakened")
        return {**fields, "weakened": list(weakened)} if weakened else fields


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event in the history of a bundle's approvals."""

    model: str
    bundle: str
    kind: Kind
    event: Event
    person: str
    """Of a withdrawal: whose decision was withdrawn."""
    roles: tuple[Role, ...]
    """That the person had at that moment."""
    reason: str
    seen: Mapping[str, Any]
    seen_digest: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether a bundle has what the model file requires."""

    kind: Kind
    granted: bool
    missing: int
    """Approvals that are still needed."""
    approved_by: tuple[str, ...]
    """Whose approvals count."""
    rejected_by: tuple[str, ...]
    reason: str
    """For people."""


def standing_of(
    kind: Kind,
    rule: ApprovalRule | None,
    entries: Sequence[Entry],
    *,
    seen_digest: str = "",
    authors: frozenset[str] = frozenset(),
) -> Standing:
    """A person's last word counts; one rejection outweighs all approvals.

    `entries` are the events of one bundle, the oldest first; `seen_digest` is of what there is to
    see of it now, `authors` are those who made it the candidate.
    """
    last = {
        entry.person: entry
        for entry in entries
        if entry.kind == kind and entry.event != "requested"
    }
    rejections = [entry for entry in last.values() if entry.event == "rejected"]
    objections, counting = [], []
    for entry in last.values():
        if entry.event == "approved" and rule is not None:
            objection = _objection(entry, rule, seen_digest, authors)
            objections += [objection] if objection else []
            counting += [] if objection else [entry.person]
    missing = max(0, rule.count - len(counting)) if rule is not None else 0
    if rejections:
        reason = "; ".join(f"{entry.person} rejected it: {entry.reason}" for entry in rejections)
    elif rule is None:
        reason = "no approval is required"
    elif missing:
        needed = f"{missing} more approval{'s' if missing > 1 else ''} by {one_of(rule)}"
        reason = "; but ".join([f"it needs {needed}", *objections])
    else:
        reason = f"approved by {', '.join(sorted(counting))}"
    return Standing(
        kind=kind,
        granted=not rejections and not missing,
        missing=missing,
        approved_by=tuple(sorted(counting)),
        rejected_by=tuple(sorted(entry.person for entry in rejections)),
        reason=reason,
    )


def _objection(
    entry: Entry, rule: ApprovalRule, seen_digest: str, authors: frozenset[str]
) -> str | None:
    """Why an approval does not count, None where it does."""
    if not set(entry.roles) & set(rule.roles):
        return f"{entry.person} was no {one_of(rule)} when approving it"
    if entry.seen_digest != seen_digest:
        return f"{entry.person} approved another report, of {entry.at:%Y-%m-%d %H:%M}"
    if rule.not_author and entry.person in authors:
        return f"{entry.person} made the candidate"
    return None


def one_of(rule: ApprovalRule) -> str:
    """The roles whose approval counts."""
    return " or ".join(rule.roles)
