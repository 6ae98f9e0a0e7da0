"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tuneloop.readers.lines import beginning, decoded, open_lines
from tuneloop.readers.rows import BadRow, RawRow, excerpt, too_large


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Of JSON as the standard has it: without NaN and Infinity."""


def read_json_lines(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every line that is not blank."""
    with open_lines(path, max_row_bytes) as lines:
        for line in lines:
            if line.too_large:
                yield too_large(line.number, line.size_bytes, max_row_bytes, beginning(line))
                continue
            text = decoded(line)
            if isinstance(text, BadRow):
                yield text
                continue
            if not text.strip():
                continue
            yield parsed(line.number, text)


def parsed(number: int, text: str) -> RawRow | BadRow:
    """The row of one JSON object, or what it is instead."""
    try:
        value = DECODER.decode(text)
    except ValueError as e:
        return BadRow(
            line=number, reason="bad_json", detail=f"not valid JSON: {e}", excerpt=excerpt(text)
        )
    except RecursionError:
        return BadRow(
            line=number, reason="bad_json", detail="nested too deeply", excerpt=excerpt(text)
        )
    if not isinstance(value, dict):
        return BadRow(
            line=number,
            reason="not_an_object",
            detail=f"expected a JSON object, found {_json_type(value)}",
            excerpt=excerpt(text),
        )
    return RawRow(line=number, value=value)


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
