"""Is this data enough, and is it the right kind? Advice, never a refusal (D9)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.modelfile.sections.data import Goal
from tuneloop.task.answer_form import json_object

USUAL_ROWS: Mapping[Goal, tuple[int, int]] = {
    "style": (200, 500),
    "vocabulary": (500, 1_500),
    "task": (1_000, 5_000),
    "new_domain": (2_000, 10_000),
}
"""Examples that usually serve a goal: style or format, domain vocabulary, one task, following
instructions in a new domain (D9)."""
GOAL_WORDS: Mapping[Goal, str] = {
    "style": "style or format",
    "vocabulary": "domain vocabulary",
    "task": "one task",
    "new_domain": "following instructions in a new domain",
}
QUALITY_OVER_VOLUME_ROWS = 10_000
_FEW_PER_LABEL = 10
_IMBALANCE = 10.0
_FACT_SHARE = 0.5
_MIN_ROWS_TO_JUDGE = 20
_LOOKUP_QUESTION = re.compile(
    r"^(who|when|where|what (is|are|was|were)|which|how (many|much|old|long|far|tall))\b",
    re.IGNORECASE,
)
_FACT_CHARACTERS = 120


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One thing worth knowing about the data."""

    code: str
    message: str

    def as_row(self) -> dict[str, Any]:
        """The advice in JSON form."""
        return {"code": self.code, "message": self.message}


def advise(
    examples: Sequence[Example], labels: Mapping[str, Mapping[str, int]], *, goal: Goal | None
) -> list[Advice]:
    """Warnings about `examples`, whose `labels` are field → value → count."""
    return [
        advice
        for advice in (
            _amount(len(examples), goal),
            _synthetic_only(examples),
            *(_balance(field, counts) for field, counts in labels.items()),
            _facts_to_look_up(examples),
        )
        if advice is not None
    ]


def _amount(rows: int, goal: Goal | None) -> Advice | None:
    if rows > QUALITY_OVER_VOLUME_ROWS:
        return Advice(
            code="large_set",
            message=f"{rows:,} rows: beyond {QUALITY_OVER_VOLUME_ROWS:,} better rows help more "
            "than more rows.",
        )
    if goal is not None:
        low, high = USUAL_ROWS[goal]
        if rows < low:
            return Advice(
                code="small_set",
                message=f"{rows:,} rows; for {GOAL_WORDS[goal]} {low:,} to {high:,} are usual.",
            )
        return None
    fitting = [GOAL_WORDS[name] for name, (low, _) in USUAL_ROWS.items() if rows >= low]
    if len(fitting) == len(USUAL_ROWS):
        return None
    enough = f"enough for {', '.join(fitting)}" if fitting else "few for any goal"
    lacking = next(name for name, (low, _) in USUAL_ROWS.items() if rows < low)
    low, high = USUAL_ROWS[lacking]
    return Advice(
        code="small_set",
        message=f"{rows:,} rows are usually {enough}; {GOAL_WORDS[lacking]} takes {low:,} to "
        f"{high:,}.",
    )


def _synthetic_only(examples: Sequence[Example]) -> Advice | None:
    if examples and all(_is_synthetic(example) for example in examples):
        return Advice(
            code="synthetic_only",
            message="Every row is tagged as synthetic: add real ones, or the model learns how its "
            "teacher writes and not what users ask.",
        )
    return None


def _is_synthetic(example: Example) -> bool:
    tags = {key.lower(): value.lower() for key, value in example.tags.items()}
    return tags.get("synthetic") in ("true", "1", "yes") or "synthetic" in (
        tags.get("origin"),
        tags.get("kind"),
        tags.get("provenance"),
    )


def _balance(field: str, counts: Mapping[str, int]) -> Advice | None:
    if len(counts) < 2:
        return None
    (common, most), (rare, least) = _extremes(counts)
    few = [value for value, count in counts.items() if count < _FEW_PER_LABEL]
    if most / least >= _IMBALANCE:
        return Advice(
            code="imbalance",
            message=f"{field}: {common!r} has {most} rows and {rare!r} {least}; the model will "
            "prefer the common one.",
        )
    if few:
        return Advice(
            code="few_per_label",
            message=f"{field}: fewer than {_FEW_PER_LABEL} rows for {', '.join(few[:8])}"
            f"{' and more' if len(few) > 8 else ''}.",
        )
    return None


def _extremes(counts: Mapping[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ordered[0], ordered[-1]


def _facts_to_look_up(examples: Sequence[Example]) -> Advice | None:
    """Short, ever different answers with facts that the question does not hold."""
    if len(examples) < _MIN_ROWS_TO_JUDGE:
        return None
    distinct = len({example.answer for example in examples}) / len(examples)
    if distinct < _FACT_SHARE:
        return None
    facts = sum(map(_asks_for_a_fact, examples)) / len(examples)
    if facts < _FACT_SHARE:
        return None
    return Advice(
        code="facts_to_look_up",
        message=f"{facts:.0%} of the rows ask for a fact and get a short answer of their own: "
        "looking facts up (retrieval) usually fits better than training them in.",
    )


def _asks_for_a_fact(example: Example) -> bool:
    answer = example.completion.strip()
    return (
        len(answer) <= _FACT_CHARACTERS
        and json_object(answer) is None
        and _LOOKUP_QUESTION.match(example.question.strip()) is not None
        and answer.casefold() not in example.question.casefold()
    )
