"""Personal data by its form: e-mail addresses, telephone, card and account numbers, IP addresses.

The light default: exact on what has a form, blind to names and street addresses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any


def _luhn(text: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """The check digits of a bank account (ISO 13616)."""
    compact = text.replace(" ", "").upper()
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _phone(text: str) -> bool:
    return 7 <= sum(character.isdigit() for character in text) <= 15


def _always(_: str) -> bool:
    return True


# In this order: an account or card number would else be taken for a telephone number.
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("EMAIL", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b"), _always),
    ("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban),
    ("CARD", re.compile(r"\b\d(?:[ -]?\d){12,18}\b"), _luhn),
    (
        "IP_ADDRESS",
        re.compile(r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"),
        _always,
    ),
    (
        "PHONE",
        re.compile(
            r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){1,4}\d{2,4}"
            r"|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}|\b555[ -]01\d\d\b"
            r"|\b0\d{2,4}[ /-]\d{3,8}(?:[ -]\d{2,6})*)(?!\w)"
        ),
        _phone,
    ),
)

_IN_ALL = re.compile(r"[@\d]")


def may_hold(text: str) -> bool:
    """Whether a text has what every kind of personal data has."""
    return _IN_ALL.search(text) is not None


def redacted(text: str) -> tuple[str, Counter[str]]:
    """The text with every find replaced by its kind in brackets, and how many there were."""
    counts: Counter[str] = Counter()
    if not may_hold(text):
        return text, counts
    for kind, pattern, holds in _KINDS:

        def replacement(
            match: re.Match[str], kind: str = kind, holds: Callable[[str], bool] = holds
        ) -> str:
            if not holds(match.group()):
                return match.group()
            counts[kind] += 1
            return f"[{kind}]"

        text = pattern.sub(replacement, text)
    return text, counts


def redacted_value(value: Any) -> Any:
    """A JSON value with every text in it redacted; numbers and keys stay."""
    if isinstance(value, str):
        return redacted(value)[0]
    if isinstance(value, list):
        return [redacted_value(item) for item in value]
    if isinstance(value, dict):
        return {key: redacted_value(item) for key, item in value.items()}
    return value
