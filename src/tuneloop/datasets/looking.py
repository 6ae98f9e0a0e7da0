"""The rows of a dataset version as a person reads them: what is trained and what is asked (D16)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from tuneloop.datasets.example import Example
from tuneloop.datasets.split import Side
from tuneloop.errors import UsageError

ShownSide = Literal["train", "held-out"]
Use = Literal["context", "learnt", "asked"]
SIDES: Mapping[Side, ShownSide] = {"train": "train", "eval": "held-out"}
"""As stored → as people name it."""


def sides(side: ShownSide | None) -> tuple[Side, ...]:
    """The sides as they are stored; None: both."""
    return tuple(stored for stored, name in SIDES.items() if side in (None, name))


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn of a row."""

    message: Mapping[str, Any]
    """As a chat request has it."""
    use: Use
    """`learnt`: an answer that is trained; `asked`: a held-out answer, which the model's own is
    compared with; `context`: what stands before these."""

    def as_row(self) -> dict[str, Any]:
        """The turn in JSON form."""
        return {**self.message, "use": self.use}


@dataclass(frozen=True, kw_only=True)
class ShownRow:
    """One row of a file: its turns, and what belongs to it."""

    side: ShownSide
    source: str
    line: int
    ids: tuple[str, ...]
    """Of its examples, one for each answer that is learnt or asked."""
    turns: tuple[Turn, ...]
    """The system text first, if there is one."""
    tools: tuple[Mapping[str, Any], ...]
    """Definitions of the tools that may be called."""
    rejected: tuple[str, ...]
    """Worse answers in the place of the last one, of preference pairs."""
    group: str
    """Rows of one group are on one side."""
    tags: Mapping[str, str]

    @property
    def system(self) -> str:
        """The system text, or empty."""
        first = self.turns[0].message if self.turns else {}
        return str(first.get("content", "")) if first.get("role") == "system" else ""

    @property
    def place(self) -> str:
        """Where it came from, for people."""
        return f"{self.source}, line {self.line}"

    def as_row(self) -> dict[str, Any]:
        """The row in JSON form."""
        return {
            "side": self.side,
            "source": self.source,
            "line": self.line,
            "ids": list(self.ids),
            "messages": [turn.as_row() for turn in self.turns],
            "tools": [dict(tool) for tool in self.tools],
            "rejected": list(self.rejected),
            "group": self.group,
            "tags": dict(self.tags),
        }


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows are looked for; all of it must hold."""

    text: str | None = None
    """In a turn, a thought, a tool's call or a worse answer, whatever its case; the system text
    does not count."""
    tags: Sequence[str] = ()
    """`key=value`, or `key` alone for any value."""
    line: str | None = None
    """`FILE:LINE`, the file by its name or path; `LINE` alone of any file."""

    def of(self, rows: Iterable[ShownRow]) -> list[ShownRow]:
        """The rows that are looked for.

        Raises:
            UsageError: `line` is no file and line.
        """
        place = None if self.line is None else place_of(self.line)
        return [
            row
            for row in rows
            if (place is None or place.is_of(row.source, row.line))
            and all(_has(row.tags, tag) for tag in self.tags)
            and (self.text is None or _says(row, self.text.casefold()))
        ]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A line of a file, or of any file."""

    file: str
    line: int

    def is_of(self, source: str, line: int) -> bool:
        """Whether it is that line of that source."""
        return line == self.line and (self.file in ("", source) or source.endswith(f"/{self.file}"))


def place_of(written: str) -> Place:
    """The place that `FILE:LINE` names.

    Raises:
        UsageError: it names none.
    """
    file, _, line = written.rpartition(":")
    if not line.isdecimal():
        raise UsageError(
            f"Expected a file and a line such as rows.jsonl:12, got {written!r}.",
            remedy="The line alone is enough: 12.",
        )
    return Place(file=file.removeprefix("./"), line=int(line))


def shown_rows(
    examples: Mapping[Side, Sequence[Example]], pairs: Mapping[Side, Sequence[Mapping[str, Any]]]
) -> list[ShownRow]:
    """Every row of these sides, in the order of the files.

    `pairs` are preference pairs as they are stored. One whose example was left out as a duplicate
    is a row of its own.
    """
    rows = [
        row
        for side, of_side in examples.items()
        for row in _of_side(SIDES[side], of_side, list(pairs.get(side, ())))
    ]
    return sorted(rows, key=lambda row: (row.source, row.line))


def _of_side(
    side: ShownSide, examples: Sequence[Example], pairs: list[Mapping[str, Any]]
) -> Iterator[ShownRow]:
    def place(example: Example) -> tuple[str, int]:
        return example.source, example.line

    worse: dict[str, list[Mapping[str, Any]]] = {}
    for pair in pairs:
        worse.setdefault(pair["id"], []).append(pair)
    for _, of_row in groupby(sorted(examples, key=place), key=place):
        for conversation in _conversations(list(of_row)):
            last = conversation[-1]
            own = [p for p in worse.get(last.id, ()) if (p["source"], p["line"]) == place(last)]
            for pair in own:
                worse[last.id].remove(pair)
            yield _row(side, conversation, tuple(pair["rejected"] for pair in own))
    for left in worse.values():
        for pair in left:
            example = Example.from_row({**pair, "completion": pair["chosen"], "group": ""})
            yield _row(side, [example], (pair["rejected"],))


def _conversations(examples: list[Example]) -> Iterator[list[Example]]:
    """The examples of one row, those of one conversation together, the longest last."""
    left = sorted(examples, key=lambda example: len(example.messages))
    while left:
        longest = left.pop()
        parts = [
            example
            for example in left
            if longest.messages[: len(example.messages)] == example.messages
            and len(example.messages) < len(longest.messages)
        ]
        left = [example for example in left if all(example is not part for part in parts)]
        yield [*parts, longest]


def _row(side: ShownSide, conversation: Sequence[Example], rejected: tuple[str, ...]) -> ShownRow:
    last = conversation[-1]
    answers = {len(example.messages) for example in conversation}
    use: Use = "learnt" if side == "train" else "asked"
    return ShownRow(
        side=side,
        source=last.source,
        line=last.line,
        ids=tuple(example.id for example in conversation),
        turns=tuple(
            Turn(message=message.as_row(), use=use if at in answers else "context")
            for at, message in enumerate((*last.messages, last.said))
        ),
        tools=last.tools,
        rejected=rejected,
        group=last.group,
        tags=last.tags,
    )


def _has(tags: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in tags and (not equals or tags[key] == value)


def _says(row: ShownRow, text: str) -> bool:
    said = (part for turn in row.turns for part in _parts(turn.message))
    return any(text in part.casefold() for part in (*said, *row.rejected))


def _parts(message: Mapping[str, Any]) -> Iterator[str]:
    """What a turn says; nothing of the system text."""
    if message["role"] == "system":
        return
    yield message["content"]
    yield message.get("reasoning_content", "")
    for call in message.get("tool_calls", ()):
        yield from (call["function"]["name"], call["function"]["arguments"])
