"""The checkable parts of an answer, each with the rule by which it stands in the sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from tuneloop.prose.groundedness.numbers import Number, numbers_in
from tuneloop.prose.groundedness.source import Source
from tuneloop.prose.groundedness.span import Kind, Span


@dataclass(frozen=True)
class Claim:
    """A part of an answer and whether sources have it."""

    span: Span
    holds: Callable[[Source], bool]


_AFTER_ITEM = re.compile(r"[.)\]]\s+\S")
_BEFORE_ITEM = "\n.:;!?"
_MOST_INDENT = 12


def claims(answer: str) -> list[Claim]:
    """All checkable parts in their order; none overlaps another."""
    return [*_numbers(answer)]


def _numbers(answer: str) -> Iterator[Claim]:
    numbers = numbers_in(answer, checked=True)
    items = {value for number in numbers if _may_be_item(answer, number) for value in number.values}
    for number in numbers:
        if number.values == {1.0} or _is_item(answer, number, items):
            continue
        yield Claim(_span("number", answer, number.start, number.end), _stands(number))


def _stands(number: Number) -> Callable[[Source], bool]:
    return lambda source: (
        not number.values.isdisjoint(source.numbers)
        or (bool(number.parts) and source.numbers.issuperset(number.parts))
    )


def _is_item(answer: str, number: Number, items: Collection[float]) -> bool:
    """Whether it is the `2.` of a list's second item; within a line it must follow a first."""
    if not _may_be_item(answer, number):
        return False
    return _before(answer, number) in ("", "\n") or any(v - 1 in items for v in number.values)


def _may_be_item(answer: str, number: Number) -> bool:
    before = _before(answer, number)
    return before in ("", *_BEFORE_ITEM) and bool(_AFTER_ITEM.match(answer, number.end))


def _before(answer: str, number: Number) -> str:
    """The last sign before a number, indents and brackets aside; nothing at the answer's start."""
    return answer[max(0, number.start - _MOST_INDENT) : number.start].rstrip(" \t([#")[-1:]


def _span(kind: Kind, answer: str, start: int, end: int) -> Span:
    return Span(kind=kind, text=answer[start:end], start=start, end=end)
