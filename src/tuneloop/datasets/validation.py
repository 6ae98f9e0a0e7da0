"""A new dataset version held against the last (D13): schema, missing values, distribution shift.

A verdict needs both an effect that matters and more than chance could do; both versions' rows are
compared as they stand, and rows that are in both make the test careful, not eager.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tuneloop.datasets.example import Example
from tuneloop.datasets.labels import label_counts, labels_of
from tuneloop.datasets.split import Side
from tuneloop.errors import require
from tuneloop.task import origin
from tuneloop.task.answer_form import json_object

MISSING_POINTS = 0.05
"""Fall of the share of rows with a value that matters."""
FEWER_ROWS = 0.10
NEARLY_ALL = 0.95
"""Share of the rows with a key from which on it is part of what an answer is."""
SHIFT_DISTANCE = 0.10
"""Kolmogorov–Smirnov distance, and Jensen–Shannon distance (base 2), that matter; both 0..1."""
SIGNIFICANCE = 0.01
MINIMUM_ROWS = 30

ChangeVerdict = Literal["same", "changed", "not enough data"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison of two versions."""

    name: str
    """E.g. `rows`, `answer key: intent`, `length of the answers`."""
    verdict: ChangeVerdict
    detail: str
    """The figures behind it, for people."""

    def as_row(self) -> dict[str, str]:
        """The check in JSON form."""
        return {"name": self.name, "verdict": self.verdict, "detail": self.detail}


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Every check against one earlier version."""

    against: str
    """Its label."""
    rows: tuple[int, int]
    """before, now"""
    checks: tuple[Check, ...]

    def as_row(self) -> dict[str, Any]:
        """The validation in JSON form."""
        return {
            "against": self.against,
            "rows": list(self.rows),
            "changed": sum(check.verdict == "changed" for check in self.checks),
            "checks": [check.as_row() for check in self.checks],
        }


def check_split(
    last: Mapping[str, Side],
    now: Mapping[str, Side],
    *,
    shares: tuple[float | None, float],
    declared: bool,
    kept: int,
    drawn: Collection[str] = (),
) -> Check:
    """What became of the split; `last` and `now` are input key → side.

    `shares` are the shares held out then and now; `declared`: a person chose today's; `kept`: the
    held-out rows that it would not hold out if they were new; `drawn`: samples of live traffic,
    which are held out whatever the share.
    """
    all_moved = {key for key, side in now.items() if last.get(key) == "train" and side == "eval"}
    moved = len(all_moved.difference(drawn))
    before, after = shares
    if sampled := len(all_moved) - moved:
        detail = (
            f"{sampled} samples of live traffic moved from training to the held-out side, where "
            "they are cases now; what was trained on them is not compared on them"
            + (f"; so did {moved} other rows, as holdout_share is {after:g} now" if moved else "")
        )
    elif moved:
        grown = f"holdout_share is {after:g} now" + (f", was {before:g}" if before else "")
        detail = (
            f"{moved} rows moved from training to the held-out side ({grown}); what was trained "
            "on them is not compared on them"
        )
    elif declared and before is not None and after < before and kept:
        detail = (
            f"holdout_share is {after:g} now, was {before:g}: new rows follow it; {kept} rows that "
            "it would not hold out stay held out, for none ever goes back into training"
        )
    else:
        return Check(name="split", verdict="same", detail="no row changed its side")
    return Check(name="split", verdict="changed", detail=detail)


def validate(last: Sequence[Example], now: Sequence[Example], *, against: str) -> Validation:
    """Compare the rows of two versions.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    checks = (_rows(last, now), *compare_rows(last, now))
    return Validation(against=against, rows=(len(last), len(now)), checks=checks)


def compare_rows(last: Sequence[Example], now: Sequence[Example]) -> tuple[Check, ...]:
    """The checks on what rows are like, however many there are; neither side may be empty.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    checks = [
        *_presence("answer key", _answer_keys, last, now),
        *_presence("tag", _tags, last, now),
        *_presence("system text", _system, last, now),
        _lengths("length of the prompts", [len(row.input_text) for row in last],
                 [len(row.input_text) for row in now]),
        _lengths("length of the answers", [len(row.completion) for row in last],
                 [len(row.completion) for row in now]),
        *_answers(last, now),
    ]  # fmt: skip
    return tuple(checks)


def lost_keys(last: Sequence[Example], now: Sequence[Example]) -> tuple[str, ...]:
    """Keys that nearly all JSON answers of `last` have, and less than half of `now`'s."""
    before = Counter(key for row in last for key in _answer_keys(row))
    after = Counter(key for row in now for key in _answer_keys(row))
    return tuple(
        key
        for key, rows in sorted(before.items())
        if rows >= NEARLY_ALL * len(last) and after[key] < len(now) / 2
    )


def _rows(last: Sequence[Example], now: Sequence[Example]) -> Check:
    fewer = len(now) < (1 - FEWER_ROWS) * len(last)
    return Check(
        name="rows",
        verdict="changed" if fewer else "same",
        detail=f"{len(last)} → {len(now)}" + (": was an export cut short?" if fewer else ""),
    )


def _answer_keys(example: Example) -> set[str]:
    """Keys of a JSON answer that have a value."""
    value = json_object(example.completion)
    return set() if value is None else {str(k) for k, v in value.items() if v not in (None, "", [])}


def _tags(example: Example) -> set[str]:
    """The curator's own tags; those of the review queue come and go."""
    return {
        key
        for key, value in example.tags.items()
        if value and key not in ("origin", "kind", "review", "reviewer", "edit", origin.WEIGHT)
    }


def _system(example: Example) -> set[str]:
    return {"present"} if example.system else set()


def _presence(
    what: str,
    present: Callable[[Example], set[str]],
    last: Sequence[Example],
    now: Sequence[Example],
) -> Iterator[Check]:
    """A value that most rows had and fewer have now, and one that is new in most rows."""
    before = Counter(key for row in last for key in present(row))
    after = Counter(key for row in now for key in present(row))
    for key in sorted({*before, *after}):
        was, has = before[key] / len(last), after[key] / len(now)
        appeared = before[key] == 0 and has >= 0.5
        yield Check(
            name=f"{what}: {key}",
            verdict="changed" if was - has >= MISSING_POINTS or appeared else "same",
            detail=f"in {was:.0%} of the rows, now in {has:.0%}",
        )


def _lengths(name: str, last: Sequence[int], now: Sequence[int]) -> Check:
    """Two-sample Kolmogorov–Smirnov test (scipy) of lengths in characters."""
    if min(len(last), len(now)) < MINIMUM_ROWS:
        return _too_few(name, len(last), len(now))
    stats = require("scipy.stats", extra="evaluate")
    test = stats.ks_2samp(last, now, method="asymp")
    distance, p = float(test.statistic), float(test.pvalue)
    middle = (sorted(rows)[len(rows) // 2] for rows in (last, now))
    return Check(
        name=name,
        verdict="changed" if distance >= SHIFT_DISTANCE and p < SIGNIFICANCE else "same",
        detail="median {} → {} characters, Kolmogorov–Smirnov distance {:.3f}, p = {:.2g}".format(
            *middle, distance, p
        ),
    )


def _answers(last: Sequence[Example], now: Sequence[Example]) -> Iterator[Check]:
    """For each field of the answers that holds labels: did their shares move?"""
    fields = label_counts(row.completion for row in [*last, *now])
    for field in fields:
        before, after = (
            Counter(value for row in rows for value in labels_of(row.completion, [field]).values())
            for rows in (last, now)
        )
        yield _label_shares(f"answers: {field}", before, after)


def _label_shares(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> Check:
    """Jensen–Shannon distance, base 2, with Pearson's chi-squared test (both scipy)."""
    n = sum(before.values()), sum(after.values())
    if min(n) < MINIMUM_ROWS:
        return _too_few(name, *n)
    distance_of = require("scipy.spatial.distance", extra="evaluate").jensenshannon
    stats = require("scipy.stats", extra="evaluate")
    labels = sorted({*before, *after})
    counts = [[counted.get(label, 0) for label in labels] for counted in (before, after)]
    distance = float(distance_of(counts[0], counts[1], base=2))
    p = float(stats.chi2_contingency(counts).pvalue) if len(labels) > 1 else 1.0
    moved = max(
        labels, key=lambda label: abs(after.get(label, 0) / n[1] - before.get(label, 0) / n[0])
    )
    return Check(
        name=name,
        verdict="changed" if distance >= SHIFT_DISTANCE and p < SIGNIFICANCE else "same",
        detail=f"Jensen–Shannon distance {distance:.3f}, p = {p:.2g}; most moved: {moved!r} "
        f"{before.get(moved, 0) / n[0]:.0%} → {after.get(moved, 0) / n[1]:.0%}",
    )


def _too_few(name: str, last: int, now: int) -> Check:
    return Check(
        name=name,
        verdict="not enough data",
        detail=f"{last} and {now} rows; {MINIMUM_ROWS} of each are needed",
    )
