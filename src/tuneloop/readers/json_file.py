"""JSON in any arrangement: lines, an array, an object around one, values one after another."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tuneloop.errors import DataError
from tuneloop.readers.encoding import opened_as_utf8
from tuneloop.readers.json_lines import parsed, read_json_lines
from tuneloop.readers.json_pieces import Piece, Pieces
from tuneloop.readers.lines import Line, decoded, open_lines
from tuneloop.readers.rows import EXCERPT_CHARACTERS, BadRow, RawRow, excerpt, too_large

_LOOKED_AT_LINES = 100
_ROW_KEYS = (
    "data", "rows", "train", "examples", "records", "items", "samples", "instances", "results",
    "dataset", "entries", "questions",
)  # fmt: skip
"""What the array of rows is called in an object that holds it."""
_TURN_KEYS = frozenset({"role", "from", "content", "value"})


def read_json(path: Path, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    """Every row: objects on lines of their own, indented ones, in an array, in an object.

    Of an object the array is read that it holds besides what describes it: `{"data": […]}`. `line`
    is where a row starts; where all stand on one line, the number of the row.

    Raises:
        DataError: it cannot be opened, or holds columns instead of rows.
    """
    if _is_lines(path, max_row_bytes):
        yield from read_json_lines(path, max_row_bytes)
        return
    with opened_as_utf8(path) as file:
        head = file.read(max_row_bytes + 1)
    bare, keys = _arrangement(path, head, whole=len(head) <= max_row_bytes)
    with opened_as_utf8(path) as file:
        pieces = Pieces(file, max_row_bytes, bare=bare, keys=keys)
        yield from _numbered(_rows(pieces, max_row_bytes))


def how_arranged(path: Path, max_row_bytes: int) -> str:
    """Which array of an object a file is read from; else nothing.

    Raises:
        DataError: as `read_json` does.
    """
    if _is_lines(path, max_row_bytes):
        return ""
    with opened_as_utf8(path) as file:
        head = file.read(max_row_bytes + 1)
    _, keys = _arrangement(path, head, whole=len(head) <= max_row_bytes)
    return f"the array {keys[0]!r} alone" if keys is not None and len(keys) == 1 else ""


def _is_lines(path: Path, max_row_bytes: int) -> bool:
    """Whether every line is a value of its own: one of the first is, and they are no list's."""
    with open_lines(path, max_row_bytes) as lines:
        filled = (line for line in lines if line.content.strip())
        first = next(filled, None)
        if first is None or first.content.lstrip()[:1] not in (b"{", b"["):
            return True
        if not first.too_large and _parses(first.content):
            second = next(filled, None)
            return second is not None and not _is_inner(second.content)
        if first.content.lstrip()[:1] == b"[" or first.content.rstrip()[-1:] in (b"{", b"["):
            return False
        for line in chain([first], islice(filled, _LOOKED_AT_LINES)):
            if line.content[:1] == b"{" and not line.too_large:
                if _parses(line.content):
                    return True
                if _parses(line.content.rstrip().removesuffix(b",")):
                    return False
    return False


def _is_inner(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") and line.lstrip()[:1] != b"{"


def _parses(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _arrangement(path: Path, head: bytes, *, whole: bool) -> tuple[bool, tuple[str, ...] | None]:
    """Whether the values stand one after another; else the keys under which their array is."""
    if head.lstrip()[:1] == b"[":
        return False, None
    if whole:
        try:
            value = json.loads(head)
        except (ValueError, RecursionError):
            pass
        else:
            key = _key_of_rows(value)
            if key is None:
                _refuse_columns(path, value)
            return (True, None) if key is None else (False, (key,))
    first = Pieces(io.BytesIO(head), len(head), bare=True).next()
    if first is not None and first.value is not None:
        return True, None
    inner = Pieces(io.BytesIO(head), len(head), keys=_ROW_KEYS).next()
    opened = inner is not None and (inner.value is not None or inner.text.startswith("{"))
    return (False, _ROW_KEYS) if opened else (True, None)


def _key_of_rows(value: Mapping[str, Any]) -> str | None:
    """The key of the array of rows in an object, if that is what it is for."""
    arrays = {key: item for key, item in value.items() if _is_of_rows(item)}
    known = [key for key in _ROW_KEYS if key in arrays]
    if known:
        return known[0]
    return next(iter(arrays)) if len(value) == 1 and arrays else None


def _is_of_rows(value: Any) -> bool:
    """An array of objects that are no turns of a conversation."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and len(_TURN_KEYS & value[0].keys()) < 2
    )


def _refuse_columns(path: Path, value: Mapping[str, Any]) -> None:
    columns = list(value.values())
    by_index = all(isinstance(column, dict) for column in columns) and len(
        {tuple(column) for column in columns}
    ) == 1 < len(columns)
    by_place = (
        all(isinstance(column, list) for column in columns)
        and not any(isinstance(item, list | dict) for column in columns for item in column)
        and len({len(column) for column in columns}) == 1 < len(columns)
    )
    if by_index or by_place:
        raise DataError(
            f"{path} holds one object of columns ({', '.join(map(str, value))}); expected rows.",
            remedy='With pandas: frame.to_json("rows.jsonl", orient="records", lines=True)',
        )


def _rows(pieces: Pieces, max_row_bytes: int) -> Iterator[RawRow | BadRow]:
    while (piece := pieces.next()) is not None:
        if piece.value is not None:
            yield RawRow(line=piece.line, value=piece.value)
            continue
        row = _bad(piece) if piece.why else _row(piece)
        if isinstance(row, BadRow) and row.reason == "bad_json":
            offset = _next_start(piece)
            if offset is not None:
                pieces.go_back(piece, offset)
            elif piece.too_large:
                size = len(piece.text) + pieces.pass_over()
                row = too_large(piece.line, size, max_row_bytes, _beginning(piece))
        yield row
    if pieces.array_ended and pieces.is_whole_file and pieces.rest():
        detail = "not valid JSON: something follows the end of the array; it is not read"
        yield BadRow(line=pieces.line, reason="bad_json", detail=detail)
    if not pieces.array_ended:
        detail = "not valid JSON: the file ends before its array does; it may have been cut off"
        yield BadRow(line=pieces.line, reason="bad_json", detail=detail)


def _row(piece: Piece) -> RawRow | BadRow:
    content = piece.text.encode("utf-8", "surrogateescape")
    text = decoded(Line(number=piece.line, content=content, size_bytes=len(content)))
    return text if isinstance(text, BadRow) else parsed(piece.line, text)


def _bad(piece: Piece) -> BadRow:
    detail = f"not valid JSON: {piece.why}"
    return BadRow(line=piece.line, reason="bad_json", detail=detail, excerpt=_beginning(piece))


def _beginning(piece: Piece) -> str:
    shown = piece.text[: 2 * EXCERPT_CHARACTERS].encode("utf-8", "surrogateescape")
    return excerpt(shown.decode("utf-8", "replace"))


def _next_start(piece: Piece) -> int | None:
    """Where the next value begins in one that is broken and may have swallowed it.

    That is a line that begins as the first does; or where rows share lines, an object whose first
    key is that of the first.
    """
    if piece.margin is not None:
        alike = re.compile(r"\n" + re.escape(piece.margin) + r"(?=\{)").search(piece.text)
        if alike is not None:
            return alike.end()
    key = re.match(r'\{\s*("[^"\\]*")\s*:', piece.text)
    if key is None:
        return None
    again = re.compile(r"\}\s*,?\s*(\{\s*" + re.escape(key.group(1)) + r"\s*:)")
    following = again.search(piece.text, key.end())
    return following.start(1) if following else None


def _numbered(rows: Iterator[RawRow | BadRow]) -> Iterator[RawRow | BadRow]:
    """Rows by their lines, or by their number where the first two stand on one line."""
    first = list(islice(rows, 2))
    if len(first) < 2 or first[0].line < first[1].line:
        yield from chain(first, rows)
        return
    for number, row in enumerate(chain(first, rows), start=1):
        yield type(row)(**{**vars(row), "line": number})
