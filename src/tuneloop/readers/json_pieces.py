"""Cuts JSON that is no JSON Lines into the values of its rows, in bounded memory.

A parser that streams (ijson, json-stream) stops at the first fault and tells no line; here a fault
costs its row, so the cuts are found by the brackets alone, and each piece is parsed for itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO

_CHUNK_BYTES = 1 << 18
_TOKEN = re.compile(rb'"(?:[^"\\\n]++|\\[^\n])*+"|["{}\[\],\n]')
"""A text (which cannot hold a line end), a quote that none closes on its line, a bracket, …"""
_TEXT = re.compile(rb'(?:[^"\\\n]++|\\[^\n])*+')
_NO_BLANK = re.compile(rb"[^ \t\r\n]")
_KEY = re.compile(rb'"([^"\\]*)"\s*:\s*\Z')
_KEY_BYTES = 200


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The text of one value."""

    line: int
    """Where it starts, from 1."""
    content: bytes
    margin: bytes | None
    """The blanks before it on its line; None where more than blanks stands there."""
    why: str = ""
    """Why it is none that can be parsed: too large so far, or the file ends within."""
    too_large: bool = False


class Pieces:
    """The values of the first array in a file; `None` after the last.

    `keys`: the array is the value of one of these keys of an object. `bare`: there is no array, and
    the values stand one after another.
    """

    def __init__(
        self,
        file: BinaryIO,
        max_bytes: int,
        *,
        bare: bool = False,
        keys: Collection[str] | None = None,
    ) -> None:
        self.line = 1
        """The line that is being read."""
        self.array_ended = bare
        self.is_whole_file = not bare and keys is None
        """Nothing may follow the array."""
        self._file = file
        self._max_bytes = max_bytes
        self._keys = keys
        self._buffer = b""
        self._at = 0
        self._file_ended = False
        self._depth = 0
        self._base: int | None = 0 if bare else None
        """Depth at which the values stand, once their array is open."""
        self._start: int | None = None
        self._start_line = 1
        self._margin: bytes | None = b""
        self._in_text = False
        self._passed = 0
        """Bytes that are no longer held."""

    def next(self) -> Piece | None:
        """The next value, or what stands where one should."""
        while self._base is None or self._depth >= self._base:
            token = self._token()
            if token is None:
                return self._last() if self._file_ended else self._cut_too_large()
            piece = self._take(token)
            if piece is not None:
                return piece
            if self._start is not None and self._at - self._start > self._max_bytes:
                return self._cut_too_large()
        self.array_ended = True
        return None

    def go_back(self, piece: Piece, offset: int) -> None:
        """Read on from within the last piece, as if a value began there."""
        self._buffer = piece.content[offset:] + self._buffer[self._at :]
        self._at = 0
        self.line = piece.line + piece.content[:offset].count(b"\n")
        self._depth, self._start, self._in_text = self._base or 0, None, False

    def pass_over(self) -> int:
        """Read to the end of the last piece, which is too large; the bytes that were left of it."""
        begun = self._passed + self._at
        while self._in_text or self._depth > (self._base or 0):
            if self._in_text:
                self._leave_text()
                continue
            token = self._token()
            if token is None and self._file_ended:
                break
            if token is not None:
                self._take(token)
            self._start = None
        return self._passed + self._at - begun

    def rest(self) -> bytes:
        """What follows the array, blanks aside: its beginning."""
        while not (rest := self._buffer[self._at :].strip(b" \t\r\n,")) and self._fill():
            pass
        return rest

    def _token(self) -> re.Match[bytes] | None:
        """The next token whose end is known; None where the file ends, or none is in reach."""
        while True:
            token = _TOKEN.search(self._buffer, self._at)
            if token is not None and (token.group() != b'"' or self._ends_line(token)):
                return token
            if not self._fill():
                return token
            begun = self._at if self._start is None else self._start
            if len(self._buffer) - begun > self._max_bytes + 2 * _CHUNK_BYTES:
                self._start = begun
                self._in_text = token is not None
                self._at = self._text_end(token.end()) if token else len(self._buffer)
                return None

    def _ends_line(self, quote: re.Match[bytes]) -> bool:
        return self._buffer.find(b"\n", quote.end()) >= 0

    def _text_end(self, at: int) -> int:
        return _TEXT.match(self._buffer, at).end()  # type: ignore[union-attr]  # matches nothing too

    def _leave_text(self) -> None:
        """Pass over the rest of a text that is too large to be held."""
        while True:
            self._at = self._text_end(self._at)
            left = self._buffer[self._at : self._at + 2]
            if left[:1] in (b'"', b"\n") or len(left) == 2:
                self._at += left[:1] == b'"'
                break
            if not self._fill():
                self._at = len(self._buffer)
                break
        self._in_text = False

    def _take(self, token: re.Match[bytes]) -> Piece | None:
        """Go on to the end of a token; the value that ends there or before."""
        kind = token.group()[:1]
        at_base = self._depth == self._base
        if at_base and self._start is None:
            blank = kind in b",\n]}"
            start = _NO_BLANK.search(self._buffer, self._at, token.start() + (not blank))
            if start is not None:
                self._begin(start.start())
        self._at = token.end()
        if token.group() == b'"':  # the text is not closed: its line cannot be understood
            line_end = self._buffer.find(b"\n", token.end())
            self._at = len(self._buffer) if line_end < 0 else line_end
        elif kind in b"{[":
            if self._base is None and kind == b"[" and self._opens(token.start()):
                self._base = self._depth + 1
            self._depth += 1
        elif at_base and (kind == b"}" or (kind == b"]" and self._base == 0)):
            if self._start is None:  # one bracket too many
                self._begin(token.start())
            return self._cut(self._at)
        elif kind in b"}]":
            self._depth -= 1
            if self._start is not None and self._depth == self._base:
                return self._cut(self._at)
        ended = kind in b",\n" or self._depth < (self._base or 0)
        piece = self._cut(token.start()) if at_base and ended and self._start is not None else None
        self.line += kind == b"\n"
        return piece

    def _opens(self, at: int) -> bool:
        """Whether the bracket here opens the array of the rows."""
        if self._keys is None:
            return self._depth == 0
        key = _KEY.search(self._buffer, max(0, at - _KEY_BYTES), at)
        return self._depth == 1 and key is not None and key.group(1).decode() in self._keys

    def _begin(self, at: int) -> None:
        self._start, self._start_line = at, self.line
        before = self._buffer[self._buffer.rfind(b"\n", 0, at) + 1 : at]
        self._margin = None if before.strip() else before

    def _cut(self, end: int, *, why: str = "", too_large: bool = False) -> Piece:
        content = self._buffer[self._start : end]
        self._start = None
        return Piece(
            line=self._start_line,
            content=content if too_large else content.rstrip(),
            margin=self._margin,
            why=why,
            too_large=too_large,
        )

    def _cut_too_large(self) -> Piece:
        return self._cut(self._at, why="it is too large", too_large=True)

    def _last(self) -> Piece | None:
        """What is left where the file ends."""
        if self._start is None and self._depth == self._base:
            left = _NO_BLANK.search(self._buffer, self._at)
            if left is not None:
                self._begin(left.start())
        self._at = len(self._buffer)
        if self._start is None:
            return None
        within = self._depth > (self._base or 0)
        return self._cut(self._at, why="the file ends within it" if within else "")

    def _fill(self) -> bool:
        """Read more, and forget what was cut; False at the end of the file."""
        chunk = b"" if self._file_ended else self._file.read(_CHUNK_BYTES)
        if not chunk:
            self._file_ended = True
            return False
        keep = max(0, self._at - _KEY_BYTES) if self._start is None else self._start
        self._passed += keep
        self._buffer = self._buffer[keep:] + chunk
        self._at -= keep
        self._start = None if self._start is None else 0
        return True
