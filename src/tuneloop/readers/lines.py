"""Lines of a binary file, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tuneloop.errors import DataError
from tuneloop.readers.rows import BadRow, excerpt

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1024
_EXCERPT_BYTES = 400
# Two byte-order marks begin alike: the longer one first.
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line without its line end."""

    number: int
    content: bytes
    """Only the beginning, where the line is too large."""
    size_bytes: int
    too_large: bool = False


@contextmanager
def open_lines(path: Path, max_line_bytes: int) -> Iterator[Iterator[Line]]:
    """The lines of a file (unpacked when it ends in `.gz`), without its byte-order mark.

    Raises:
        DataError: it cannot be opened or unpacked, or is not UTF-8 as a whole.
    """
    try:
        with _opened(path) as file:
            _refuse_other_encodings(path, file.peek(_HEAD_BYTES)[:_HEAD_BYTES])  # type: ignore[attr-defined]
            yield _lines(file, max_line_bytes)
    except FileNotFoundError:
        raise DataError(
            f"There is no data file at {path}.", remedy="Check `data.sources` in the model file."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise DataError(f"{path} cannot be unpacked: {e}.", remedy="Pack it again.") from e
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror or e}.") from e


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


def _opened(path: Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _lines(file: BinaryIO, max_line_bytes: int) -> Iterator[Line]:
    number = 0
    while content := file.readline(max_line_bytes + 2):
        number += 1
        if number == 1:
            content = content.removeprefix(codecs.BOM_UTF8)
        bare = content.rstrip(b"\r\n")
        if len(bare) <= max_line_bytes:
            yield Line(number=number, content=bare, size_bytes=len(bare))
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


def _refuse_other_encodings(path: Path, head: bytes) -> None:
    encoding = next((name for mark, name in _OTHER_ENCODINGS.items() if head.startswith(mark)), "")
    if not encoding and _alternates_with_nul(head):
        encoding = "UTF-16"
    if encoding:
        raise DataError(
            f"{path} is {encoding} text; expected UTF-8.",
            remedy=f"Convert it: iconv -f {encoding} -t UTF-8 {path.name} > utf8-{path.name}",
        )


def _alternates_with_nul(head: bytes) -> bool:
    """Western text in UTF-16 has a NUL in every second byte; NUL padding has them everywhere."""
    even, odd = head[::2], head[1::2]
    if not odd:
        return False
    shares = sorted((even.count(0) / len(even), odd.count(0) / len(odd)))
    return shares[0] < 0.1 and shares[1] > 0.6
