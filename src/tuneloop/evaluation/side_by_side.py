"""Two answers to each case of an evaluation, put beside each other without saying whose they are.

Which of them stands first, and which pair comes first, is drawn once: from the evaluation's random
id and the case. So the order is the same for everybody, today and tomorrow, on a screen and in a
sheet, and whoever chooses among the first fifty chooses among the same fifty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tuneloop.errors import UsageError
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.hashing import digest_json

Side = Literal["candidate", "reference"]
REFERENCES = ("production", "base")
"""Whom a candidate is compared with, where nobody says it: the first that was asked."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One case with the candidate's answer and the other one's."""

    id: str
    """names this pair alone, and says nothing about whose answers they are"""
    case: str
    messages: tuple[Mapping[str, Any], ...]
    """what the candidate read"""
    expected: str | None
    group: str
    """of cases that are not independent; "": it stands alone"""
    candidate: str
    reference: str
    first: Side
    """whose answer is shown as A"""

    @property
    def shown(self) -> tuple[str, str]:
        """The texts of A and B."""
        texts = (self.candidate, self.reference)
        return texts if self.first == "candidate" else texts[::-1]

    @property
    def identical(self) -> bool:
        """Both said the same, so that there is nothing to choose."""
        return self.candidate.strip() == self.reference.strip()

    @property
    def cluster(self) -> tuple[str, str]:
        """What it is drawn together with."""
        return ("group", self.group) if self.group else ("alone", self.case)


def reference_in(rows: Iterable[Mapping[str, Any]], wanted: str | None, evaluation: str) -> str:
    """Whom the candidate's answers can be compared with; `wanted`, or production, or the base.

    Raises:
        UsageError: nobody else was asked, or not the one that is wanted.
    """
    asked = {row["target"] for row in rows} - {CANDIDATE}
    chosen = wanted or next((label for label in REFERENCES if label in asked), None)
    if chosen in asked:
        return str(chosen)
    who = (wanted or "nobody else").capitalize()
    others = f"It asked {', '.join(sorted(asked))}: say --with. " if asked else ""
    raise UsageError(
        f"{who} was {'not ' if wanted else ''}asked in evaluation {evaluation}: there is nothing "
        "to compare.",
        remedy=f"{others}`tuneloop run` asks the base and what is in production.",
    )


def pairs(rows: Sequence[Mapping[str, Any]], reference: str, *, evaluation: str) -> list[Pair]:
    """The cases of the main suite that both answered, in the order in which they were drawn.

    `rows` are those of `record.read_answers`; the main suite comes first in them.
    """
    mine, theirs = _answered(rows, CANDIDATE), _answered(rows, reference)
    paired = [
        _pair(row, theirs[case]["answer"]["text"], digest_json([evaluation, reference, case]))
        for case, row in mine.items()
        if case in theirs
    ]
    return sorted(paired, key=lambda pair: pair.id)


def _pair(row: Mapping[str, Any], reference: str, drawn: str) -> Pair:
    return Pair(
        id=f"p{drawn[:15]}",  # a spreadsheet takes 12e34 for a number
        case=row["case"],
        messages=tuple(row["messages"]),
        expected=row["expected"],
        group=row.get("group", ""),
        candidate=row["answer"]["text"],
        reference=reference,
        # Not a digit of the id, which is shown.
        first="candidate" if int(drawn[-1], 16) % 2 else "reference",
    )


def _answered(rows: Sequence[Mapping[str, Any]], target: str) -> dict[str, Mapping[str, Any]]:
    return {
        row["case"]: row
        for row in rows
        if row["target"] == target
        and row["suite"] == rows[0]["suite"]
        and row["answer"]["error"] is None
    }
