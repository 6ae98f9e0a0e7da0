"""The checkable parts of an answer, each with the rule by which it stands in the sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from tuneloop.prose.groundedness.codes import codes_in, has_code
from tuneloop.prose.groundedness.dates import (
    Calendar,
    Date,
    Time,
    both_ways,
    dates_in,
    pair_at,
    times_in,
    weekdays_in,
)
from tuneloop.prose.groundedness.names import names_in, stand_there
from tuneloop.prose.groundedness.numbers import Number, numbers_in, with_known_digits
from tuneloop.prose.groundedness.quantities import Quantity, quantity_at
from tuneloop.prose.groundedness.quotations import is_quoted_from, quotations_in
from tuneloop.prose.groundedness.source import Source
from tuneloop.prose.groundedness.span import Kind, Span

Holds = Callable[[Source], bool]


@dataclass(frozen=True)
class Claim:
    """A part of an answer and whether sources have it."""

    span: Span
    holds: Holds


_AFTER_ITEM = re.compile(r"[.)\]]\s+\S")
_BEFORE_ITEM = "\n.:;!?"
_MOST_INDENT = 12
_PERCENT = "percent"
_YEARS = range(1900, 2100)
"""Numbers that may be said in two digits: 1991 is `ninety one`, the 1970s are `the seventies`."""
_NOTHING_SAID = {0.0, 1.0}
"""Numbers that everybody writes without having read them: none, and one."""


def claims(answer: str) -> list[Claim]:
    """All checkable parts in their order; none overlaps another."""
    text = with_known_digits(answer)
    free = bytearray(b"\1" * len(answer))
    taken: list[Claim] = []
    # What is looked up as a whole comes before what it is made of.
    for find in (_quotations, _codes, _dates, _numbers, _names):
        for kind, start, end, holds in find(text):
            if all(free[start:end]):
                free[start:end] = bytes(end - start)
                span = Span(kind=kind, text=answer[start:end], start=start, end=end)
                taken.append(Claim(span, holds))
    return sorted(taken, key=lambda claim: claim.span.start)


Part = tuple[Kind, int, int, Holds]


def _quotations(answer: str) -> Iterator[Part]:
    for start, end in quotations_in(answer):
        yield "quotation", start, end, partial(_quoted, answer[start:end])


def _codes(answer: str) -> Iterator[Part]:
    for start, end in codes_in(answer):
        yield "code", start, end, partial(_has_code, answer[start:end])


def _dates(answer: str) -> Iterator[Part]:
    for date in dates_in(answer):
        yield "date", date.start, date.end, partial(_has_date, date)
    for time in times_in(answer):
        yield "date", time.start, time.end, partial(_has_time, time)
    for start, end, weekday in weekdays_in(answer):
        yield "date", start, end, partial(_has_weekday, weekday)


def _numbers(answer: str) -> Iterator[Part]:
    numbers = numbers_in(answer, checked=True)
    items = {value for number in numbers if _may_be_item(answer, number) for value in number.values}
    for number in numbers:
        quantity = quantity_at(answer, number)
        if quantity is not None:
            yield "quantity", quantity.start, quantity.end, partial(_has_quantity, quantity)
        elif pair := pair_at(answer, number):
            yield "number", *pair, partial(_has_pair, answer[slice(*pair)])
        elif not number.values <= _NOTHING_SAID and not _is_item(answer, number, items):
            yield "number", number.start, number.end, partial(_has_number, number)


def _names(answer: str) -> Iterator[Part]:
    for start, end in names_in(answer):
        yield "name", start, end, partial(_has_name, answer[start:end])


def _quoted(quotation: str, source: Source) -> bool:
    return is_quoted_from(source.as_words, quotation)


def _has_code(code: str, source: Source) -> bool:
    return has_code(source.in_lower_case, code) or has_code(source.in_digits, code)


def _has_date(date: Date, source: Source) -> bool:
    known = source.calendar
    if date.year is not None and not _has_year(date.year, known):
        return False
    if date.days:
        return not date.days.isdisjoint(known.days)
    return date.month in known.months


def _has_time(time: Time, source: Source) -> bool:
    return not source.numbers.isdisjoint(time.hours) and _has_minute(time.minute, source)


def _has_minute(minute: int, source: Source) -> bool:
    """Thirty may be half an hour, and fifteen or forty-five a quarter."""
    spoken = {0: 0, 15: 0.25, 30: 0.5, 45: 0.25}.get(minute, minute)
    return minute == 0 or not source.numbers.isdisjoint((minute, spoken))


def _has_weekday(weekday: int, source: Source) -> bool:
    return weekday in source.calendar.weekdays


def _has_quantity(quantity: Quantity, source: Source) -> bool:
    """The same amount, or the number alone where its unit may go without saying."""
    if not quantity.amounts.isdisjoint(source.amounts):
        return True
    bare = source.bare_numbers
    if any(dimension == _PERCENT for dimension, _ in quantity.amounts) and any(
        value / 100 in bare for value in quantity.number.values
    ):
        return True
    return quantity.may_go_without and not quantity.number.values.isdisjoint(bare)


def _has_pair(pair: str, source: Source) -> bool:
    """`120/80`, `1/2`, `7/93` and `9/25`: two numbers, a fraction, a month with its year, a day."""
    first, second = map(int, pair.split("/"))
    if source.numbers.issuperset((first, second)):
        return True
    if second and first / second in source.numbers:
        return True
    if not both_ways(first, second).isdisjoint(source.calendar.days):
        return True
    in_month = first in source.calendar.months
    return in_month and _has_year(second, source.calendar)


def _has_year(year: int, known: Calendar) -> bool:
    """In four digits or in two."""
    full = {year} if year > 99 else {1900 + year, 2000 + year}
    return not known.years.isdisjoint(full | {year % 100})


def _has_number(number: Number, source: Source) -> bool:
    if not number.values.isdisjoint(source.numbers):
        return True
    if any(value in _YEARS and _has_year(int(value), source.calendar) for value in number.values):
        return True
    return bool(number.parts) and source.numbers.issuperset(number.parts)


def _has_name(name: str, source: Source) -> bool:
    return stand_there(name, source.words, lambda: source.stems)


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
