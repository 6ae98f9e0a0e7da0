"""Numbers of a text, in digits of every script or in words.

A number has every reading that its writing allows: `1,500` is 1500 and 1.5, as points and commas
change their places between languages. What is checked must have one reading in common with what
it is looked up in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from tuneloop.prose.groundedness.number_words import (
    CONNECTORS,
    HAN,
    MORE_OFTEN_ELSE,
    POINTS,
    SCALES,
    of_han,
    ordinals,
    phrases,
)

_SPACE = "\u00a0\u2009\u202f'’"
DIGITS = (
    rf"\p{{Nd}}{{1,3}}(?:[ {_SPACE}]\p{{Nd}}{{3}})+(?!\p{{Nd}})(?:[.,٫]\p{{Nd}}+)?"
    r"|\p{Nd}+(?:[.,٫٬]\p{Nd}+)*"
)
"""A number in digits, as `regex` (version 1) writes it."""
_FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_TOKEN = regex.compile(
    r"(?P<mixed>\p{Nd}{1,3}[ -]\p{Nd}/\p{Nd}{1,2}(?![\p{Nd}/]))"
    rf"|(?P<digits>(?:{DIGITS})(?P<part>[{_FRACTIONS}])?|[{_FRACTIONS}])|(?P<han>[{HAN}]+)"
    r"|(?P<word>[\p{L}\p{M}]+)",
    regex.V1,
)
_ANY_DIGIT = regex.compile(r"\p{Nd}")
_BETWEEN_WORDS = regex.compile(r"[ \u00a0\-‑\n]*")
_MOST_JOINED = 12
"""Words of a number that is told digit by digit, such as one of a telephone."""
_THOUSANDS = regex.compile(r"[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*|[1-9]\d{0,1}(?:,\d{2})+,\d{3}")


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number where it stands."""

    values: frozenset[float]
    """what it may mean"""
    start: int
    end: int
    parts: tuple[float, ...] = ()
    """of words one after another, each number of theirs: `nineteen ninety` is 19 and 90"""

    @property
    def looked_up(self) -> frozenset[float]:
        """Every value that somebody who reads it may take it for."""
        return self.values | frozenset(self.parts) | frozenset(_joined(self.parts[:_MOST_JOINED]))


def numbers_in(text: str, *, checked: bool = False) -> list[Number]:
    """The numbers in their order; `checked` leaves out words that are more often no numbers."""
    known = phrases()
    tokens = list(_TOKEN.finditer(text))
    found: list[Number] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token["digits"]:
            found.append(_in_digits(token))
            at += 1
        elif token["mixed"]:
            found.append(_mixed(token))
            at += 1
        elif token["han"]:
            if not checked or len(token[0]) > 1:
                value = frozenset((of_han(token[0]),))
                found.append(Number(values=value, start=token.start(), end=token.end()))
            at += 1
        elif (word := token[0].lower()) not in known and word not in SCALES:
            at += 1
        else:
            number, used = _in_words(text, tokens, at, checked=checked)
            if number is not None:
                found.append(number)
            at += used
    return found


def readings(written: str) -> frozenset[float]:
    """All values that a number in digits may have."""
    if written[-1] in _FRACTIONS:
        part = unicodedata.numeric(written[-1])
        whole = readings(written[:-1]) if written[:-1] else frozenset((0.0,))
        return frozenset(exact(value + part) for value in whole)
    plain = "".join(
        str(unicodedata.decimal(c)) if c.isdecimal() else {"٫": ".", "٬": ","}.get(c, c)
        for c in written
        if c not in _SPACE and c != " "
    )
    if plain.isdecimal():
        return frozenset((exact(float(plain)),))
    values = set()
    if _THOUSANDS.fullmatch(plain):
        values.add(float(plain.replace(".", "").replace(",", "")))
    last = max(plain.rfind("."), plain.rfind(","))
    before, after = plain[:last], plain[last + 1 :]
    if before.isdecimal():
        values.add(float(f"{before}.{after}"))
    elif _THOUSANDS.fullmatch(before) and plain[last] not in before:
        values.add(float(f"{before.replace('.', '').replace(',', '')}.{after}"))
    if not values:  # 1,2,3 is a list, 1.2.3 a version: each number for itself
        values |= {float(number) for number in plain.replace(",", ".").split(".")}
    return frozenset(map(exact, values))


def with_known_digits(text: str) -> str:
    """The text, character for character, without digits that are younger than this Python."""
    if text.isascii():
        return text
    return str(_ANY_DIGIT.sub(lambda digit: digit[0] if digit[0].isdecimal() else "�", text))


def exact(value: float) -> float:
    """Equal for all ways to compute one number."""
    return float(f"{value:.9g}")


def _in_digits(token: regex.Match[str]) -> Number:
    """`12 500` may be one number or two."""
    pieces = token[0].split(" ") if " " in token[0] else []
    parts = tuple(min(readings(piece)) for piece in pieces)
    return Number(values=readings(token[0]), start=token.start(), end=token.end(), parts=parts)


def _mixed(token: regex.Match[str]) -> Number:
    """`2-1/2` is 2.5; read as 2 and 1 and 2 by who looks it up."""
    whole, part, parts = (float(number) for number in regex.split("[ /-]", token[0]))
    value = whole + part / parts if parts else whole
    return Number(
        values=frozenset((exact(value),)),
        start=token.start(),
        end=token.end(),
        parts=(whole, part, parts),
    )


def _in_words(
    text: str, tokens: Sequence[regex.Match[str]], at: int, *, checked: bool
) -> tuple[Number | None, int]:
    """The number that begins with this word, and how many tokens it or what is no number takes."""
    run = _run(text, tokens, at, checked=checked)
    if not run:
        return None, 1
    used = sum(part.tokens for part in run)
    parts = tuple(exact(value) for value in _composed(run))
    whole = parts[0] if len(parts) == 1 else _decimal(run) or _joined_whole(parts)
    start, end = tokens[at].start(), tokens[at + used - 1].end()
    return Number(values=frozenset((whole,)), start=start, end=end, parts=parts), used


@dataclass(frozen=True)
class _Part:
    """A phrase that is part of a number in words."""

    value: float
    tokens: int
    kind: str = "number"
    """number, scale, point or half"""


def _run(text: str, tokens: Sequence[regex.Match[str]], at: int, *, checked: bool) -> list[_Part]:
    run: list[_Part] = []
    while at < len(tokens) and (not run or _adjoin(text, tokens, at)):
        part = _part(text, tokens, at, run)
        if part is None or (run and part.kind == "number" and not part.value.is_integer()):
            break
        run.append(part)
        at += part.tokens
    while run and run[-1].kind == "point":
        run.pop()
    last = tokens[at - 1][0].lower()
    lone = len(run) == 1 and run[0].tokens == 1
    if checked and (last in ordinals() or (lone and last in MORE_OFTEN_ELSE)):
        return []
    return run


def _part(
    text: str, tokens: Sequence[regex.Match[str]], at: int, run: Sequence[_Part]
) -> _Part | None:
    word = tokens[at][0].lower()
    for phrase, value in phrases().get(word, ()):
        if len(phrase) == 1 or _stands(text, tokens, at, phrase):
            return _Part(float(value), len(phrase))
    if word in SCALES:
        return _Part(SCALES[word], 1, "scale")
    if run and word in POINTS:
        return _Part(0, 1, "point")
    if run and word in CONNECTORS and at + 1 < len(tokens) and _adjoin(text, tokens, at + 1):
        if _stands(text, tokens, at, (word, "a", "half")):
            return _Part(0.5, 3, "half")
        following = _part(text, tokens, at + 1, ())
        if following and following.kind == "number" and run[-1].kind == "scale":
            return _Part(following.value, 1 + following.tokens)
    return None


def _stands(text: str, tokens: Sequence[regex.Match[str]], at: int, phrase: Sequence[str]) -> bool:
    return len(tokens) - at >= len(phrase) and all(
        tokens[at + i][0].lower() == word and (i == 0 or _adjoin(text, tokens, at + i))
        for i, word in enumerate(phrase)
    )


def _adjoin(text: str, tokens: Sequence[regex.Match[str]], at: int) -> bool:
    between = text[tokens[at - 1].end() : tokens[at].start()]
    return bool(_BETWEEN_WORDS.fullmatch(between)) and bool(tokens[at]["word"])


def _composed(run: Sequence[_Part]) -> Iterator[float]:
    """The numbers that the phrases make: `two hundred five` is one, `one twenty` are two."""
    total = current = 0.0
    is_open, began = False, False
    for part in run:
        if part.kind == "half":
            current += part.value
        elif part.kind == "scale" and part.value > 100:
            total, current, is_open = total + (current or 1) * part.value, 0.0, True
        elif part.kind == "scale":
            current, is_open = (current or 1) * part.value, True
        elif part.kind == "number":
            if began and not (is_open and _adds(current, part.value)):
                yield total + current
                total = current = 0.0
            current += part.value
            is_open = part.value >= 100
        else:
            is_open = False
        began = True
    yield total + current


def _adds(current: float, value: float) -> bool:
    """Whether the number has room for another below its last: 200 for 5, 1000 for 200."""
    return value > 0 and (current == 0 or (value < 100 and current % 100 == 0))


def _decimal(run: Sequence[_Part]) -> float | None:
    """`ninety eight point six`, where the phrases have a point."""
    points = [at for at, part in enumerate(run) if part.kind == "point"]
    if len(points) != 1 or not 0 < points[0] < len(run) - 1:
        return None
    whole = list(_composed(run[: points[0]]))
    digits = "".join(f"{part.value:g}" for part in run[points[0] + 1 :])
    return exact(whole[-1] + float(f"0.{digits}")) if digits.isdecimal() else None


def _joined_whole(parts: Sequence[float]) -> float:
    digits = "".join(f"{part:g}" for part in parts)
    return exact(float(digits)) if digits.isdecimal() else parts[-1]


def _joined(parts: Sequence[float]) -> list[float]:
    """All numbers that neighbours make when their digits stand together.

    `One twenty` is 120, `nineteen ninety three` 1993, `O eight` 8.
    """
    digits = [f"{part:g}" for part in parts]
    return [
        exact(float(whole))
        for length in range(2, len(digits) + 1)
        for at in range(len(digits) - length + 1)
        if (whole := "".join(digits[at : at + length])).isdecimal()
    ]
