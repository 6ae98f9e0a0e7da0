"""Dates and times of day: of an answer with their places, of sources as what may be meant.

`03/04` is the third of April and the fourth of March: a date that can be read in two ways stands
in the sources if one of them does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import regex

from tuneloop.prose.groundedness.calendar import BY_CAPITAL_ONLY, MONTHS, WEEKDAYS
from tuneloop.prose.groundedness.numbers import Number

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_NO_WORD_BEFORE = r"(?<![\p{L}\p{M}\p{Nd}])"
_NO_WORD_BEHIND = r"(?![\p{L}\p{M}\p{Nd}])"
_DAY = r"(?P<day>\p{Nd}{1,2})(?:st|nd|rd|th|er|º|ª)?"
_YEAR = r"(?P<year>\p{Nd}{4}|['’]\p{Nd}{2})"
_NUMERIC = regex.compile(
    r"(?<![\p{Nd}/.])(?:(?P<year>\p{Nd}{4})([-/.])(?P<month>\p{Nd}{1,2})\2(?P<day>\p{Nd}{1,2})"
    r"|(?P<a>\p{Nd}{1,2})([-/.])(?P<b>\p{Nd}{1,2})\6(?P<last>\p{Nd}{4}|\p{Nd}{2})"
    r"|(?P<m>\p{Nd}{1,2})/(?P<y>\p{Nd}{4})"
    r"|(?:(?P<cy>\p{Nd}{2,4})[年년]\s?)?(?P<cm>\p{Nd}{1,2})[月월]\s?(?P<cd>\p{Nd}{1,2})[日일号]?"
    r")(?![\p{Nd}]|[/.-]\p{Nd})"
)
_WRITTEN = regex.compile(
    rf"{_NO_WORD_BEFORE}(?:"
    rf"(?<!\p{{Nd}}[.,:/]){_DAY}\.?\s*(?:of\s|de\s|of\sthe\s)?\s*(?P<month>{_MONTH})\.?{_NO_WORD_BEHIND}"
    rf"(?:,?\s*(?:of\s|de\s|in\s)?\s*{_YEAR})?"
    rf"|(?P<month>{_MONTH})\.?\s+(?:the\s+)?{_DAY}(?!\p{{Nd}}|[.,:/]\p{{Nd}}|\s*%)"
    rf"(?:,?\s*(?:of\s|in\s)?\s*{_YEAR})?"
    rf"|(?P<month>{_MONTH})\.?,?\s*(?:of\s|de\s|in\s)?\s*{_YEAR}"
    rf"|(?P<month>{_MONTH})"
    rf"){_NO_WORD_BEHIND}",
    regex.IGNORECASE,
)
_TIME = regex.compile(
    r"(?<![\p{Nd}:.,/])(?P<hour>\p{Nd}{1,2})(?:[:h](?P<minute>[0-5]\p{Nd}))?"
    r"(?:\s?(?P<half>[ap])\.?m\b\.?|(?<=[:h]\p{Nd}{2})(?![\p{Nd}:/])(?:\s?Uhr\b)?|\s?Uhr\b)",
    regex.IGNORECASE,
)
_WEEKDAY = regex.compile(
    rf"{_NO_WORD_BEFORE}(?:{'|'.join(WEEKDAYS)}){_NO_WORD_BEHIND}", regex.IGNORECASE
)
_MONTH_WORD = regex.compile(rf"{_NO_WORD_BEFORE}(?:{_MONTH}){_NO_WORD_BEHIND}", regex.IGNORECASE)
_PAIR = regex.compile(r"(?<![\p{Nd}/])(\p{Nd}{1,3})/(\p{Nd}{1,3})(?![\p{Nd}/])")
_NEAR_BEFORE, _NEAR_BEHIND = 24, 60
"""Characters between a month's name and a number that may be its day."""


@dataclass(frozen=True, kw_only=True)
class Date:
    """A date where it stands, as far as it is told."""

    start: int
    end: int
    days: frozenset[tuple[int, int]] = frozenset()
    """(month, day) that may be meant; empty: only a month"""
    month: int | None = None
    year: int | None = None
    """as written: 93 or 1993"""


@dataclass(frozen=True, kw_only=True)
class Time:
    """A time of day where it stands."""

    start: int
    end: int
    hours: frozenset[int]
    """that may be meant: 3 and 15"""
    minute: int


@dataclass(kw_only=True)
class Calendar:
    """All dates that texts may mean."""

    days: set[tuple[int, int]] = field(default_factory=set)
    """(month, day)"""
    months: set[int] = field(default_factory=set)
    weekdays: set[int] = field(default_factory=set)
    years: set[int] = field(default_factory=set)
    """in four digits, and in two: `08` and `O eight`, but not `eight`"""


def dates_in(text: str) -> Iterator[Date]:
    """The dates of a text; a month alone only where its name is surely one."""
    for match in _NUMERIC.finditer(text):
        if date := _numeric(match):
            yield date
    for match in _WRITTEN.finditer(text):
        month, day, year = match["month"], match["day"], match["year"]
        alone = day is None and year is None
        if (
            alone
            and (len(month) < 4 or month.lower() in BY_CAPITAL_ONLY)
            and not (len(month) > 2 and month[0].isupper() and _follows_in(text, match.start()))
        ):
            continue
        number = MONTHS[month.lower()]
        yield Date(
            start=match.start(),
            end=match.end(),
            days=frozenset() if day is None else frozenset(((number, int(day)),)),
            month=number,
            year=None if year is None else int(year.lstrip("'’")),
        )


def times_in(text: str) -> Iterator[Time]:
    """The times of day of a text: `3 pm`, `15:00`, `15 Uhr`."""
    for match in _TIME.finditer(text):
        hour, half = int(match["hour"]), (match["half"] or "").lower()
        if hour <= 24:
            yield Time(
                start=match.start(),
                end=match.end(),
                hours=frozenset(
                    (hour, hour - 12 if hour > 12 else hour + 12 if half == "p" else hour)
                ),
                minute=int(match["minute"] or 0),
            )


def weekdays_in(text: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, 1 to 7) of the days of the week."""
    for match in _WEEKDAY.finditer(text):
        yield match.start(), match.end(), WEEKDAYS[match[0].lower()]


def calendar_of(text: str, numbers: Sequence[Number]) -> Calendar:
    """What the texts of sources may mean; `numbers` are theirs, in order.

    Days are told freely (`July. It was, uh, the thirty first`), so every number near a month's name
    may be its day.
    """
    calendar = Calendar()
    for match in _NUMERIC.finditer(text):
        if date := _numeric(match):
            calendar.days |= date.days
            calendar.months |= {month for month, _ in date.days} | {date.month or 0}
    for match in _PAIR.finditer(text):
        calendar.days |= both_ways(int(match[1]), int(match[2]))
        calendar.months.add(int(match[1]))
    names = [match for match in _MONTH_WORD.finditer(text) if _may_be_month(match[0])]
    starts = [number.start for number in numbers]
    for at, match in enumerate(names):
        month = MONTHS[match[0].lower()]
        calendar.months.add(month)
        begin = max(match.start() - _NEAR_BEFORE, names[at - 1].end() if at else 0)
        end = min(
            match.end() + _NEAR_BEHIND, names[at + 1].start() if at + 1 < len(names) else len(text)
        )
        for number in numbers[bisect_left(starts, begin) : bisect_left(starts, end)]:
            days = (int(value) for value in number.looked_up if 1 <= value <= 31)
            calendar.days |= {(month, day) for day in days}
    for number in numbers:
        calendar.years |= set(_years(text, number))
    calendar.weekdays = {day for _, _, day in weekdays_in(text)}
    return calendar


def _years(text: str, number: Number) -> Iterator[int]:
    written = text[number.start : number.end]
    if not number.parts:
        if len(written) in (2, 4):
            yield from (int(value) for value in number.values)
        return
    yield from (int(value) for value in number.looked_up if 10 <= value < 10_000)
    for nothing, year in pairwise(number.parts):
        if nothing == 0:
            yield int(year)


def _numeric(match: regex.Match[str]) -> Date | None:
    start, end = match.span()
    if match["a"]:
        days = both_ways(int(match["a"]), int(match["b"]))
        year: int | None = int(match["last"])
    elif match["m"]:
        month = int(match["m"])
        return (
            Date(start=start, end=end, month=month, year=int(match["y"])) if month <= 12 else None
        )
    else:
        month, day = int(match["month"] or match["cm"]), int(match["day"] or match["cd"])
        days = {(month, day)} if month <= 12 and day <= 31 else set()
        written = match["year"] or match["cy"]
        year = int(written) if written else None
    if not days:
        return None
    return Date(start=start, end=end, days=frozenset(days), year=year)


def pair_at(text: str, number: Number) -> tuple[int, int] | None:
    """(start, end) of the pair that a number begins: `120/80`, `1/2`, `7/93`."""
    match = _PAIR.match(text, number.start)
    return match.span() if match else None


def both_ways(a: int, b: int) -> set[tuple[int, int]]:
    return {(m, d) for m, d in ((a, b), (b, a)) if 1 <= m <= 12 and 1 <= d <= 31}


def _may_be_month(word: str) -> bool:
    return word[0].isupper() or word.lower() not in BY_CAPITAL_ONLY


def _follows_in(text: str, at: int) -> bool:
    """Whether a word stands before it in its sentence, so that a capital means something."""
    before = text[max(0, at - 3) : at].rstrip()
    return bool(before) and before[-1].isalpha()
