"""How a text file is encoded, and the file as UTF-8 whatever it is."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tuneloop.errors import DataError
from tuneloop.readers.packed import opened

UTF_8, UTF_16, WINDOWS = "UTF-8", "UTF-16", "Windows-1252"
_HEAD_BYTES = 1024
_CHUNK_BYTES = 1 << 16
_LINE_BYTES = 1 << 20
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_OTHER_KINDS = {
    b"PK\x03\x04": ("a spreadsheet or a ZIP archive", ".xlsx"),
    b"PAR1": ("a Parquet file", ".parquet"),
    b"ARROW1": ("an Arrow file", ".arrow"),
}
"""How files begin that are no text."""
_MOST_FOREIGN = 0.05
"""Share of the lines that are no UTF-8 which may be no Western text either."""
_UTF_8_PIECE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|\xe2\x80"
)
"""What is left of UTF-8 in a line that was damaged."""
_ALPHABETS = tuple(
    map(
        frozenset,
        (
            "äöüß", "àâæçèéêëîïôœùûüÿ", "áéíñóúü", "àáâãçéêíóôõúü", "àèéìíîòóùú", "àçèéíïòóúü",
            "åäöéü", "æøåéèêóòô", "áðéíóúýþæö", "áéëèïíóöüúê", "šžõäöü", "ëç", "âêîôûáà",
        ),
    )
)  # fmt: skip
"""The letters beyond ASCII of the languages that Windows-1252 was made for, one language each."""
_HIGH_LETTERS = "À-ÖØ-öø-ÿŠšŽžŒœŸ"
_WORD = re.compile(f"[A-Za-z{_HIGH_LETTERS}]+")
_NO_WORD = re.compile(
    f"(?<=[A-Za-z{_HIGH_LETTERS}])[¡-§©«¬®-³µ¶¸-¿×÷ƒ„†‡‰‹›‚ˆ˜“”€](?=[A-Za-z{_HIGH_LETTERS}])"
    f"|(?<=[a-zß-öø-ÿ])[À-ÖØ-ÞŠŽŒŸ]"
)
"""A sign or a capital inside a word: the text was written in another encoding."""


def text_encoding(path: Path, *, western: bool) -> str:
    """`UTF-8`, `UTF-16` (with its mark), or `Windows-1252`.

    The last only where `western` allows for it, the lines that are not ASCII are mostly no UTF-8,
    and nearly all of those read as Western European words. Spreadsheets write such files (ISO
    8859-1 is the same but for control characters). Else the lines that are no UTF-8 are named.

    Raises:
        DataError: it cannot be opened, or is UTF-32, or UTF-16 without its mark.
    """
    with opened(path) as file:
        head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES]
        _refuse_unread(path, head)
        if head.startswith(_UTF_16_MARKS):
            return UTF_16
        return WINDOWS if western and _is_western(file) else UTF_8


@contextmanager
def opened_as_utf8(path: Path, *, western: bool = False) -> Iterator[io.BufferedReader]:
    """The text of a file as UTF-8 without byte-order mark, its lines ending in a line feed.

    What cannot be decoded stays no UTF-8, so that its line can be named.

    Raises:
        DataError: as `opened` and `text_encoding` do.
    """
    encoding = text_encoding(path, western=western)
    with opened(path) as file:
        if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        head = file.peek(_CHUNK_BYTES)
        old_mac = b"\r" in head and b"\n" not in head
        if encoding == UTF_8 and not old_mac:
            yield file
        else:
            recoded = _Recoded(file, encoding, old_mac)
            yield cast(io.BufferedReader, io.BufferedReader(recoded, _CHUNK_BYTES))


class _Recoded(io.RawIOBase):
    """A text file in another encoding, or with line ends of one carriage return, as UTF-8."""

    def __init__(self, file: io.BufferedReader, encoding: str, old_mac: bool) -> None:
        self._file = file
        self._old_mac = old_mac
        self._ready = b""
        self._errors = "surrogatepass" if encoding == UTF_16 else "surrogateescape"
        decoder = codecs.getincrementaldecoder({WINDOWS: "cp1252"}.get(encoding, encoding))
        self._decoder = decoder(self._errors)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._ready:
            chunk = self._file.read(_CHUNK_BYTES)
            self._ready = self._recoded(chunk)
            if not chunk:
                break
        taken = self._ready[: len(into)]
        into[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)

    def _recoded(self, chunk: bytes) -> bytes:
        try:
            text = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:  # it ends within a character
            self._decoder.reset()
            return b"\xff"
        if self._old_mac:
            text = text.replace("\r", "\n")
        return text.encode("utf-8", self._errors)


def _is_western(file: io.BufferedReader) -> bool:
    utf_8 = western = foreign = 0
    while line := file.readline(_LINE_BYTES):
        if line.isascii():
            continue
        if _UTF_8_PIECE.search(line):
            utf_8 += 1
        elif reads_as_western(line):
            western += 1
        else:
            foreign += 1
    return western > utf_8 and foreign <= _MOST_FOREIGN * (western + foreign)


def reads_as_western(line: bytes) -> bool:
    """Whether a line, taken for Windows-1252, holds nothing but words of Western languages."""
    try:
        text = line.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return _NO_WORD.search(text) is None and all(
        any(high <= alphabet for alphabet in _ALPHABETS)
        for word in _WORD.findall(text)
        if (high := {letter for letter in word.lower() if not letter.isascii()})
    )


def _refuse_unread(path: Path, head: bytes) -> None:
    for mark, (kind, ending) in _OTHER_KINDS.items():
        if head.startswith(mark):
            raise DataError(
                f"{path} is {kind}, whatever its name says.",
                remedy=f"Name it {path.stem}{ending}, or save it as text.",
            )
    # The mark of UTF-32 begins like that of UTF-16.
    encoding = "UTF-32" if head.startswith(_UTF_32_MARKS) else ""
    if not encoding and not head.startswith(_UTF_16_MARKS) and _alternates_with_nul(head):
        encoding = UTF_16
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
