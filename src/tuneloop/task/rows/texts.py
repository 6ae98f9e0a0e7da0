"""Values of a row as text, and the texts that no store or tokenizer takes."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tuneloop.task.rows.fields import FormError, is_absent, type_name

_NEXT_OBJECT = re.compile(r"\}\s*\n\s*\{")
_PLAIN = 10**15
"""Larger numbers are written as they came."""


def text(value: Any, where: str) -> str:
    """A text.

    Raises:
        FormError: it is something else.
    """
    if not isinstance(value, str):
        reason = "missing_value" if is_absent(value) else "wrong_type"
        raise FormError(reason, f"{where} is {type_name(value)}; expected text")
    return value


def answer_text(value: Any, where: str) -> str:
    """An answer's text: a JSON value is written as JSON, a number or a yes or no plainly.

    Raises:
        FormError: it cannot be written so.
    """
    if isinstance(value, dict):
        return as_json(value, where)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        if not isinstance(value, int) and not math.isfinite(value):
            raise FormError("not_a_number", f"{where} is {value}, which is no number")
        return plain_number(value)
    return text(value, where)


def plain_number(value: int | float | Decimal) -> str:
    """A number as people write it: 5 and not 5.0."""
    if -_PLAIN < value < _PLAIN and value == int(value):
        return str(int(value))
    try:
        return str(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits.
        raise FormError("wrong_type", "a number has too many digits to be written") from None


def as_json(value: Any, where: str) -> str:
    """A value as JSON text.

    Raises:
        FormError: JSON cannot hold it.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise FormError("wrong_type", f"{where} is nested too deeply to be written") from None
    except ValueError:
        raise FormError(
            "not_a_number", f"{where} holds NaN or Infinity, which JSON has not"
        ) from None
    except TypeError as e:  # a reader may give more than JSON can hold
        raise FormError("wrong_type", f"{where} cannot be written as JSON: {e}") from None


def from_text(value: Any) -> Any:
    """A list or object that stands in a text, as tables hold it; anything else as it is.

    JSON, or what Python or numpy print of it, which is what pandas writes into a CSV file.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    for read in (json.loads, ast.literal_eval, _from_numpy):
        try:
            parsed = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return parsed if isinstance(parsed, list | dict) else value
    return value


def _from_numpy(text: str) -> Any:
    """What numpy prints of a list of objects: without commas, an object a line.

    No line ends within a text there: it is written as an escape.
    """
    return ast.literal_eval(_NEXT_OBJECT.sub("}, {", text))


def check(texts: Iterable[str]) -> None:
    """Refuse what databases and tokenisers refuse.

    Raises:
        FormError: a NUL, or half a character.
    """
    for item in texts:
        if "\0" in item:
            raise FormError("nul_byte", "a text holds NUL, which databases and tokenisers refuse")
        if not item.isascii():
            try:
                item.encode("utf-8")
            except UnicodeEncodeError as e:
                raise FormError(
                    "broken_unicode", f"character {e.start + 1} of a text is half a character"
                ) from None
