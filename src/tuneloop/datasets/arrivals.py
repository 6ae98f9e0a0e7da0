"""What a new or changed file would bring into the next version, held against the last: pure rules.

Rows are told apart by what is asked and what is answered. What near-duplicates and contradictions
would still take away is known only when a version is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tuneloop.datasets.example import Example
from tuneloop.datasets.imported import Imported
from tuneloop.datasets.importing import ERASED
from tuneloop.datasets.left_out import LeftOut
from tuneloop.datasets.validation import Check, compare_rows, lost_keys

MOSTLY = 0.5
"""Where more of the rows do not fit it is another kind of file, and for a person to look at."""
_LINES = 20
_SHOWN_REASONS = 3
_WHY = {
    "output_breaks_schema": "do not fit the schema",
    "output_breaks_pattern": "do not fit the pattern",
    "unknown_form": "in no known form",
}
_SHOWN_CHANGES = 2

Fit = Literal["fits", "does not fit", "nothing new", "cannot be read"]


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Rows that would be left out for one reason."""

    reason: str
    """Code, as in the quarantine of a version."""
    rows: int
    lines: tuple[int, ...]
    """The first of them."""
    detail: str
    """What is wrong with the first one."""

    def __str__(self) -> str:
        return f"{self.rows:,} {self.why} (first line {self.lines[0]})"

    @property
    def why(self) -> str:
        """The reason in words."""
        return _WHY.get(self.reason, f"left out: {self.reason.replace('_', ' ')}")


@dataclass(frozen=True, kw_only=True)
class Last:
    """The rows of the last version, as far as a row that comes is held against them."""

    kept: Sequence[Example]
    answers: Mapping[str, frozenset[str]]
    """Input key → the answers that it was ever read with, left-out rows included."""

    @classmethod
    def of(cls, kept: Sequence[Example], left_out: Iterable[Example]) -> Last:
        """Those of a version: its rows, and those that it left out and could read."""
        answers: dict[str, set[str]] = {}
        for example in (*kept, *left_out):
            answers.setdefault(example.input_key, set()).add(example.answer)
        return cls(kept=kept, answers={key: frozenset(said) for key, said in answers.items()})


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What one file would bring."""

    rows: int = 0
    answers: int = 0
    """To learn in them: a conversation may hold several, a row that does not fit counts as one."""
    usable: int = 0
    """Answers that fit, whether they are known or not."""
    new: tuple[str, ...] = ()
    """Input keys that the last version does not know."""
    corrected: tuple[str, ...] = ()
    """Input keys that it knows, with another answer, which this file has replaced."""
    conflicting: int = 0
    """Questions that it knows with another answer, which is still there: other wordings of it, or
    contradictions."""
    gone: int = 0
    """Rows of the last version that came from this file and are not in it any more."""
    misfits: tuple[Misfit, ...] = ()
    """The most frequent first."""
    checks: tuple[Check, ...] = ()
    """The usable rows held against the last version's: missing values, shift."""
    lost: tuple[str, ...] = ()
    """Keys that answers had and have no more: another schema, though it is not declared."""
    error: str = ""
    """Why the file as a whole cannot be read."""

    @property
    def fit(self) -> Fit:
        """What is to be thought of it."""
        if self.error:
            return "cannot be read"
        if self.lost or self.unfit > MOSTLY * self.answers:
            return "does not fit"
        brings = self.new or self.corrected or self.conflicting or self.gone
        return "fits" if brings else "nothing new"

    @property
    def unfit(self) -> int:
        """Rows that do not fit; those that a person asked to erase are none of them."""
        return sum(misfit.rows for misfit in self.misfits if misfit.reason != ERASED)

    @property
    def learnable(self) -> frozenset[str]:
        """Input keys that there is something to learn of."""
        fits = self.fit == "fits"
        return frozenset((*self.new, *self.corrected)) if fits else frozenset()

    def counted(self) -> dict[str, Any]:
        """For people and their programs: keys are counted."""
        counts = {"new": len(self.new), "corrected": len(self.corrected)}
        return {**self.as_row(), **counts, "fit": self.fit, "told": str(self)}

    def as_row(self) -> dict[str, Any]:
        """In JSON form; `of_row` reads it back."""
        return {
            **vars(self),
            "misfits": [vars(misfit) for misfit in self.misfits],
            "checks": [check.as_row() for check in self.checks],
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Arrival:
        """One that `as_row` wrote.

        Raises:
            TypeError, KeyError: an earlier release wrote another form.
        """
        misfits = tuple(
            Misfit(**{**misfit, "lines": tuple(misfit["lines"])}) for misfit in row["misfits"]
        )
        checks = tuple(Check(**check) for check in row["checks"])
        lists = {name: tuple(row[name]) for name in ("new", "corrected", "lost")}
        return cls(**{**row, **lists, "misfits": misfits, "checks": checks})

    def __str__(self) -> str:
        """One sentence with every number."""
        if self.error:
            return self.error
        several = f" with {self.answers:,} answers" if self.answers != self.rows else ""
        parts = [f"{self.rows:,} rows{several}", f"{self.usable:,} usable"]
        parts += [str(misfit) for misfit in self.misfits[:_SHOWN_REASONS]]
        if rest := sum(misfit.rows for misfit in self.misfits[_SHOWN_REASONS:]):
            parts.append(f"{rest:,} left out for other reasons")
        counts = {
            "new": len(self.new),
            "corrected": len(self.corrected),
            "answered otherwise than rows that are there": self.conflicting,
            "gone": self.gone,
        }
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        return f"{', '.join(parts)}; {told or 'nothing new'}{self._changes()}"

    def _changes(self) -> str:
        if self.lost:
            return f"; answers have no more {', '.join(self.lost)}"
        checks = sorted(filter(_changed, self.checks), key=_is_of_lengths)
        changed = [f"{check.name}: {check.detail}" for check in checks]
        more = len(changed) - _SHOWN_CHANGES
        shown = "; ".join(changed[:_SHOWN_CHANGES]) + (f"; {more} more changes" if more > 0 else "")
        if shown:
            return f"; shifted, {shown}"
        return "; no shift" if any(check.verdict == "same" for check in self.checks) else ""


def arrival(imported: Imported, source: str, last: Last) -> Arrival:
    """What the rows of one file, named `source`, would bring.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    sorted_out = _SortedOut()
    examples = imported.examples
    said = {(example.input_key, example.answer) for example in examples}
    replaced = {
        example.input_key
        for example in last.kept
        if example.source == source and (example.input_key, example.answer) not in said
    }
    for example in examples:
        sorted_out.add(example, last.answers.get(example.input_key), replaced)
    return Arrival(
        rows=imported.rows,
        answers=imported.answers,
        usable=len(examples),
        new=tuple(sorted_out.new),
        corrected=tuple(sorted_out.corrected),
        conflicting=len(sorted_out.conflicting),
        gone=len(replaced - set(sorted_out.corrected)),
        misfits=misfits(imported.left_out),
        checks=compare_rows(last.kept, examples) if examples and last.kept else (),
        lost=lost_keys(last.kept, examples) if examples and last.kept else (),
    )


@dataclass(kw_only=True)
class _SortedOut:
    """Input keys in the order in which they came, each once."""

    new: dict[str, None] = field(default_factory=dict)
    corrected: dict[str, None] = field(default_factory=dict)
    conflicting: dict[str, None] = field(default_factory=dict)

    def add(
        self, example: Example, answers: frozenset[str] | None, replaced: Iterable[str]
    ) -> None:
        key = example.input_key
        if answers is None:
            self.new[key] = None
        elif example.answer not in answers:
            (self.corrected if key in replaced else self.conflicting)[key] = None


def misfits(left_out: Sequence[LeftOut]) -> tuple[Misfit, ...]:
    """The rows that do not fit, by reason, the most frequent first."""
    by_reason: dict[str, list[LeftOut]] = {}
    for row in left_out:
        by_reason.setdefault(row.reason, []).append(row)
    return tuple(
        Misfit(
            reason=reason,
            rows=len(rows),
            lines=tuple(row.line for row in rows[:_LINES]),
            detail=rows[0].detail,
        )
        for reason, rows in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _changed(check: Check) -> bool:
    return check.verdict == "changed"


def _is_of_lengths(check: Check) -> bool:
    """What matters less than other answers or missing values."""
    return check.name.startswith("length")
