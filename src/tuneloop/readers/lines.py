"""Lines of a text file, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tuneloop.readers.encoding import opened_as_utf8
from tuneloop.readers.rows import BadRow, excerpt

_CHUNK_BYTES = 1 << 20
_EXCERPT_BYTES = 400


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line without its line end."""

    number: int
    content: bytes
    """Only the beginning, where the line is too large."""
    size_bytes: int
    end: bytes = b"\n"
    """The line end that was there."""
    too_large: bool = False


@contextmanager
def open_lines(
    path: Path, max_line_bytes: int, *, western: bool = False
) -> Iterator[Iterator[Line]]:
    """The lines of a file as UTF-8 (unpacked when its name says so), without byte-order mark.

    `western` allows for Windows-1252, see `encoding`.

    Raises:
        DataError: it cannot be opened, unpacked or decoded as a whole.
    """
    with opened_as_utf8(path, western=western) as file:
        yield _lines(file, max_line_bytes)


def decoded(line: Line) -> str | BadRow:
    """The text of a line, or what is wrong with its bytes."""
    try:
        text = line.content.decode("utf-8")
    except UnicodeDecodeError as e:
        return BadRow(
            line=line.number,
            reason="not_utf8",
            detail=f"byte {e.start + 1} of the line is 0x{line.content[e.start]:02x}, which is "
            f"not UTF-8; read as Windows-1252 it begins as shown",
            excerpt=excerpt(line.content[:_EXCERPT_BYTES].decode("cp1252", "replace")),
        )
    if "\0" in text:
        return BadRow(
            line=line.number,
            reason="nul_byte",
            detail="the line holds NUL bytes; a crash while writing leaves such lines",
            excerpt=excerpt(text),
        )
    return text


def beginning(line: Line) -> str:
    """What is shown of a line that is not read."""
    return excerpt(line.content[:_EXCERPT_BYTES].decode("utf-8", "replace"))


def _lines(file: BinaryIO, max_line_bytes: int) -> Iterator[Line]:
    number = 0
    while content := file.readline(max_line_bytes + 2):
        number += 1
        bare = content.rstrip(b"\r\n")
        if len(bare) <= max_line_bytes:
            end = content[len(bare) :]
            yield Line(number=number, content=bare, size_bytes=len(bare), end=end)
            continue
        size_bytes = len(bare)
        if not content.endswith(b"\n"):
            size_bytes += _skip_rest_of_line(file)
        yield Line(
            number=number, content=bare[:_EXCERPT_BYTES], size_bytes=size_bytes, too_large=True
        )


def _skip_rest_of_line(file: BinaryIO) -> int:
    skipped = 0
    while chunk := file.readline(_CHUNK_BYTES):
        skipped += len(chunk.rstrip(b"\r\n"))
        if chunk.endswith(b"\n"):
            break
    return skipped
