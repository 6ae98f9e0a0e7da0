"""What changed between two versions of a suite: cases added, removed, changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.amounts import many
from tuneloop.evaluation.suites import Case, Suite
from tuneloop.hashing import digest_json

_PARTS: Mapping[str, Callable[[Case], object]] = {
    "prompt": lambda case: case.prompt,
    "answer": lambda case: case.expected,
    "phrases": lambda case: (case.must_contain, case.must_not_contain),
    "tags": lambda case: case.slices,
}


@dataclass(frozen=True, kw_only=True)
class ChangedCase:
    """One case in both versions."""

    before: Case
    after: Case
    parts: tuple[str, ...]
    """what of it is another: prompt, answer, phrases, tags"""


@dataclass(frozen=True, kw_only=True)
class SuiteDiff:
    """What one version has and another has not."""

    suite: str
    before: str
    """a frozen version, or the file"""
    after: str
    added: tuple[Case, ...]
    removed: tuple[Case, ...]
    changed: tuple[ChangedCase, ...]
    same: int
    """cases that are in both as they are"""

    @property
    def differs(self) -> bool:
        """Whether a single case is another."""
        return bool(self.added or self.removed or self.changed)

    @property
    def says(self) -> str:
        """The counts in words, e.g. `2 cases added, 12 changed`; empty where nothing differs."""
        counts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        told = [(len(cases), word) for word, cases in counts.items() if cases]
        if not told:
            return ""
        (number, first), *others = told
        return ", ".join([f"{many(number, 'case')} {first}", *(f"{n} {w}" for n, w in others)])

    def as_row(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "suite": self.suite,
            "before": self.before,
            "after": self.after,
            "added": [case_row(case) for case in self.added],
            "removed": [case_row(case) for case in self.removed],
            "changed": [
                {
                    "id": change.after.id,
                    "parts": list(change.parts),
                    "before": case_row(change.before),
                    "after": case_row(change.after),
                }
                for change in self.changed
            ],
            "same": self.same,
        }


def case_row(case: Case) -> dict[str, Any]:
    """A case for people and scripts, as a JSON value."""
    return {
        "id": case.id,
        "question": case.question,
        "messages": [dict(message) for message in case.messages],
        **({"tools": [dict(tool) for tool in case.tools]} if case.tools else {}),
        "expected": case.expected,
        "out_of_scope": case.out_of_scope,
        "tags": dict(case.slices),
        "must_contain": list(case.must_contain),
        "must_not_contain": list(case.must_not_contain),
    }


def diff(before: Suite, after: Suite, *, names: tuple[str, str]) -> SuiteDiff:
    """Compare two versions that were read with one task; `names` are what they are called.

    A case is the same one where it has the same id, else where it asks the same: a row without an
    id of its own gets another one with another answer.
    """
    left = {case.id: case for case in before.cases}
    pairs: list[tuple[Case, Case]] = []
    unpaired = []
    for case in after.cases:
        earlier = left.pop(case.id, None)
        if earlier is None:
            unpaired.append(case)
        else:
            pairs.append((earlier, case))
    asking = {asks(case): case.id for case in left.values()}
    added = []
    for case in unpaired:
        known = asking.pop(asks(case), None)
        if known is None:
            added.append(case)
        else:
            pairs.append((left.pop(known), case))
    changed = [
        ChangedCase(before=earlier, after=later, parts=parts)
        for earlier, later in pairs
        if (parts := _other_parts(earlier, later))
    ]
    return SuiteDiff(
        suite=after.name,
        before=names[0],
        after=names[1],
        added=tuple(added),
        removed=tuple(left.values()),
        changed=tuple(changed),
        same=len(pairs) - len(changed),
    )


def asks(case: Case) -> str:
    """The identity of what a case asks, whatever it expects."""
    return digest_json([list(map(dict, case.messages)), list(map(dict, case.tools))])


def same_prompt(cases: Sequence[Case], case: Case) -> Case | None:
    """The one of these cases that has its id or asks the same, if there is one."""
    asked = asks(case)
    return next((other for other in cases if other.id == case.id or asks(other) == asked), None)


def _other_parts(before: Case, after: Case) -> tuple[str, ...]:
    return tuple(name for name, part in _PARTS.items() if part(before) != part(after))
