"""A dataset version in figures: lengths, answers a row, labels, tags, languages."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuneloop.conversation import Message
from tuneloop.datasets.example import Example
from tuneloop.datasets.labels import LabelCounts, labels_of
from tuneloop.datasets.looking import SIDES, ShownSide
from tuneloop.datasets.split import Side
from tuneloop.datasets.tags import TagCount, count_tags
from tuneloop.prose.languages import language_of
from tuneloop.task import origin

Examples = Mapping[ShownSide, Sequence[Example]]


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long the texts of one kind are, in characters (code points)."""

    median: int
    p95: int
    """The 95th percentile. Both are lengths that a text has: nearest rank, type 1 of Hyndman and
    Fan 1996, "Sample quantiles in statistical packages"."""
    longest: int


@dataclass(frozen=True, kw_only=True)
class SideStats:
    """One side of the split."""

    answers: int
    """To learn, or held out to compare with."""
    rows: int
    """Of the files; one with a conversation may hold several answers."""
    answers_a_row: Mapping[int, int]
    """Answers → rows with so many."""
    prompt: Lengths | None
    """All turns before an answer but the system text; None where there is no row."""
    answer: Lengths | None
    calls_tools: int
    """Answers that call tools."""
    thinks: int
    """Answers with a thought before them."""
    live_samples: int
    """Answers to samples of live traffic, which are cases and decide."""
    corrections: int
    """Approved answers to what was found because something had failed; held out they decide
    nothing."""
    system_texts: int
    """How many different ones there are, none counting as one."""
    prompt_languages: Mapping[str, float]
    """Language of the last question → share of the answers, in 0..1; see `language_of`."""
    answer_languages: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Stats:
    """A dataset version, or one side of it."""

    sides: Mapping[ShownSide, SideStats]
    labels: Mapping[str, Mapping[str, Mapping[ShownSide, int]]]
    """Field → value → side → answers, for fields of JSON answers (or whole answers) that are
    labels; the commonest first."""
    tags: Mapping[str, TagCount]
    pairs: Mapping[ShownSide, int]
    """Preference pairs."""
    left_out: Mapping[str, int]
    """Reason → rows of the whole version, duplicates among them."""
    sources: Sequence[Mapping[str, Any]]
    """Every file with what came out of it."""

    def as_row(self) -> dict[str, Any]:
        """The figures in JSON form."""
        return {
            "sides": {side: asdict(figures) for side, figures in self.sides.items()},
            "labels": self.labels,
            "tags": {tag: counted.as_row() for tag, counted in self.tags.items()},
            "pairs": dict(self.pairs),
            "left_out": dict(self.left_out),
            "sources": list(self.sources),
        }


def count(stored: Mapping[Side, Sequence[Example]], report: Mapping[str, Any]) -> Stats:
    """Count the rows of the sides that are given; `report` is that of their version."""
    examples: Examples = {SIDES[side]: rows for side, rows in stored.items()}
    every = [example for rows in examples.values() for example in rows]
    return Stats(
        sides={side: _side(rows) for side, rows in examples.items()},
        labels=_labels(examples),
        tags=count_tags(every),
        pairs={SIDES[side]: report.get("preferences", {}).get(side, 0) for side in stored},
        left_out=report["left_out"],
        sources=report["sources"],
    )


def _side(examples: Sequence[Example]) -> SideStats:
    rows = Counter((example.source, example.line) for example in examples)
    return SideStats(
        answers=len(examples),
        rows=len(rows),
        answers_a_row=dict(sorted(Counter(rows.values()).items())),
        prompt=lengths(sum(len(turn.text) for turn in _asked(example)) for example in examples),
        answer=lengths(len(example.completion) for example in examples),
        calls_tools=sum(example.calls_tools for example in examples),
        thinks=sum(bool(example.reasoning) for example in examples),
        live_samples=sum(origin.is_live_sample(example.tags) for example in examples),
        corrections=sum(not origin.decides(example.tags) for example in examples),
        system_texts=len({example.system for example in examples}),
        prompt_languages=_shares(language_of(example.question) for example in examples),
        answer_languages=_shares(map(_answer_language, examples)),
    )


def _asked(example: Example) -> Iterable[Message]:
    return (turn for turn in example.messages if turn.role != "system")


def lengths(counted: Iterable[int]) -> Lengths | None:
    """The figures of these lengths; None where there are none."""
    ordered = sorted(counted)
    if not ordered:
        return None

    def at(share: float) -> int:
        return ordered[math.ceil(share * len(ordered)) - 1]

    return Lengths(median=at(0.5), p95=at(0.95), longest=ordered[-1])


def _answer_language(example: Example) -> str:
    return "tool calls" if example.calls_tools else language_of(example.completion)


def _shares(languages: Iterable[str]) -> dict[str, float]:
    counts = Counter(languages)
    return {name: rows / counts.total() for name, rows in counts.most_common()}


def _labels(examples: Examples) -> dict[str, dict[str, dict[ShownSide, int]]]:
    seen = LabelCounts()
    for rows in examples.values():
        for example in rows:
            seen.add(example.completion)
    labels: dict[str, dict[str, dict[ShownSide, int]]] = {
        field: {value: dict.fromkeys(examples, 0) for value in values}
        for field, values in seen.counts().items()
    }
    if labels:
        for side, rows in examples.items():
            for example in rows:
                for field, value in labels_of(example.completion, labels).items():
                    labels[field][value][side] += 1
    return labels
