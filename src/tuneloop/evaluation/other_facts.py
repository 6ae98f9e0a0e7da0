"""Which facts an answer states otherwise than its reference: another price, another date.

Facts are those that review tells of an edit (`prose.changes`). What only one of both texts states
may still be right: an answer may say more than its reference, or less. Where each states something
of one kind that the other does not have, such as `29 €` and `39 €`, one of them is wrong, or they
speak of different things: somebody has to look.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tuneloop.prose.changes import facts_only_in, named


@dataclass(frozen=True, kw_only=True)
class OtherFacts:
    """An answer against its reference."""

    lacking: tuple[str, ...]
    """facts of the reference that the answer does not have"""
    added: tuple[str, ...]
    """facts of the answer that the reference does not have"""
    replaced: int
    """how many of both stand against one of the same kind"""

    def as_json(self) -> dict[str, Any]:
        """In a report."""
        return {"lacking": list(self.lacking), "added": list(self.added)}


NONE = OtherFacts(lacking=(), added=(), replaced=0)


def other_facts(answer: str, reference: str) -> OtherFacts:
    """What the two texts do not both state."""
    if answer == reference:
        return NONE
    lacking, added = facts_only_in(reference, answer), facts_only_in(answer, reference)
    kinds = Counter(fact.kind for fact in lacking) & Counter(fact.kind for fact in added)
    return OtherFacts(
        lacking=tuple(fact.text for fact in lacking),
        added=tuple(fact.text for fact in added),
        replaced=kinds.total(),
    )


def facts_told(facts: dict[str, Any]) -> str:
    """`- 29 €, + 39 €` of the facts in a report: what the reference says, what the answer says."""
    return named(facts["lacking"], facts["added"])
