"""The rule of approvals: what people did to a bundle, and what its model file requires, give where
the bundle stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tuneloop.hashing import digest_json, short
from tuneloop.modelfile import ApprovalRule, Role

Kind = Literal["evaluation", "deploy"]
Event = Literal["requested", "approved", "rejected", "withdrawn", "readmitted"]
NO_VERDICT: tuple[Event, ...] = ("requested", "readmitted")
"""What says neither yes nor no to a report."""
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
    elsewhere: Sequence[Entry] = (),
) -> Standing:
    """A person's last word counts; one rejection outweighs all approvals.

    `entries` are the events of one bundle, the oldest first; `seen_digest` is of what there is to
    see of it now, `authors` are those who made it the candidate. `elsewhere` are the events of the
    bundles that behave as it does: their rejections count, their approvals are of other reports.
    """
    here = [entry for entry in entries if entry.kind == kind]
    rejections = rejections_in(here)
    the_same = rejections_in([entry for entry in elsewhere if entry.kind == kind])
    objections, counting = [], []
    for entry in _last_words(here):
        if entry.event == "approved" and rule is not None:
            objection = _objection(entry, rule, seen_digest, authors)
            objections += [objection] if objection else []
            counting += [] if objection else [entry.person]
    missing = max(0, rule.count - len(counting)) if rule is not None else 0
    if rejections or the_same:
        said = [rejected(entry) for entry in rejections]
        said += [rejected(entry, elsewhere=True) for entry in the_same]
        reason = "; ".join(said)
    elif rule is None:
        reason = "no approval is required"
    elif missing:
        needed = f"{missing} more approval{'s' if missing > 1 else ''} by {one_of(rule)}"
        reason = "; but ".join([f"it needs {needed}", *objections])
    else:
        reason = f"approved by {', '.join(sorted(counting))}"
    return Standing(
        kind=kind,
        granted=not rejections and not the_same and not missing,
        missing=missing,
        approved_by=tuple(sorted(counting)),
        rejected_by=tuple(sorted({entry.person for entry in (*rejections, *the_same)})),
        reason=reason,
    )


def rejections_in(entries: Sequence[Entry]) -> list[Entry]:
    """The rejections that nobody has taken back; `entries` are the oldest first."""
    return [entry for entry in _last_words(entries) if entry.event == "rejected"]


def rejected(entry: Entry, *, elsewhere: bool = False) -> str:
    """A rejection in words; `elsewhere`: to somebody who asks about a bundle that is alike."""
    what = f"{short(entry.bundle)}, which behaves the same" if elsewhere else "it"
    return f"{entry.person} rejected {what}: {entry.reason}"


def _last_words(entries: Sequence[Entry]) -> list[Entry]:
    """What each person said last about each bundle, of each kind."""
    last = {
        (entry.bundle, entry.kind, entry.person): entry
        for entry in entries
        if entry.event not in NO_VERDICT
    }
    return list(last.values())


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
