"""Values of columnar files and sheets as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any
from uuid import UUID


class UnfitError(Exception):
    """A value that JSON cannot hold: a reason code and what was found where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def plain_column(value: Any, name: str) -> Any:
    """The value of a column; a number that is none (NaN) is how pandas writes an absent one.

    Raises:
        UnfitError: JSON cannot hold it, or something inside of it.
    """
    if value is None or isinstance(value, str):
        return value
    return None if _is_nothing(value) else plain(value, name)


def plain(value: Any, where: str) -> Any:
    """Texts, numbers, lists and objects; dates and times as ISO 8601, durations as seconds.

    Raises:
        UnfitError: JSON cannot hold it: NaN, infinity, bytes that are no text, a decimal number
            that would lose digits.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if _is_nothing(value):
        raise UnfitError("not_a_number", f"{where} is {value}, which JSON has not")
    return _scalar(value, where)


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, Decimal):
        return _number(value, where)
    if isinstance(value, Real):
        if math.isinf(value):
            raise UnfitError("not_a_number", f"{where} is {value}, which JSON has not")
        return float(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise UnfitError(
                "binary_value", f"{where} holds {len(value):,} bytes that are no text"
            ) from None
    if isinstance(value, UUID):
        return str(value)
    raise UnfitError("not_json", f"{where} is a {type(value).__name__}, which JSON has not")


def _number(value: Decimal, where: str) -> int | float:
    if value == value.to_integral_value() and value.as_tuple().exponent >= 0:  # type: ignore[operator]
        return int(value)
    number = float(value)
    if Decimal(repr(number)) != value:
        raise UnfitError("not_json", f"{where} is {value}, whose digits a JSON number would lose")
    return number


def _is_nothing(value: Any) -> bool:
    """NaN, and what pandas has for a time that is not known: neither equals itself."""
    return isinstance(value, Real | Decimal | datetime | timedelta) and value != value
