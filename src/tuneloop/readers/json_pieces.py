"""Cuts JSON that is no JSON Lines into the values of its rows, in bounded memory.

A parser that streams (ijson, json-stream) stops at the first fault and tells no line; here a fault
costs its row. What begins with an object that can be parsed is cut by that; else the cut is found
by the brackets alone.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, BinaryIO

from tuneloop.readers.json_lines import DECODER

_CHUNK_BYTES = 1 << 18
_AHEAD = 1 << 16
"""Characters that are at hand before an object is parsed, where the file has them."""
_TOKEN = re.compile(r'"(?:[^"\\\n]++|\\[^\n])*+"|["{}\[\],\n]')
"""A text (which cannot hold a line end), a quote that none closes on its line, a bracket, …"""
_TEXT = re.compile(r'(?:[^"\\\n]++|\\[^\n])*+')
_NO_BLANK = re.compile(r"[^ \t\r\n]")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_KEY = re.compile(r'"([^"\\]*)"\s*:\s*\Z')
_KEY_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One value, or the text of one that has to be looked at."""

    line: int
    """Where it starts, from 1."""
    value: dict[str, Any] | None = None
    """An object that could be parsed."""
    text: str = ""
    """Where `value` is None; what is no UTF-8 is half a character in it."""
    margin: str | None = None
    """The blanks before it on its line; None where more than blanks stands there."""
    why: str = ""
    """Why it cannot be parsed: it is too large so far, or no end was found."""
    too_large: bool = False


class Pieces:
    """The values of the first array in a file.

    `keys`: the array is the value of one of these keys of an object. `bare`: there is no array, and
    the values stand one after another.
    """

    def __init__(
        self,
        file: BinaryIO,
        max_characters: int,
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
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._max_characters = max_characters
        self._keys = keys
        self._buffer = ""
        self._at = 0
        self._file_ended = False
        self._depth = 0
        self._base: int | None = 0 if bare else None
        """Depth at which the values stand, once their array is open."""
        self._start: int | None = None
        self._start_line = 1
        self._margin: str | None = ""
        self._broken = False
        """A text of the value that was begun is not closed on its line."""
        self._in_text = False
        self._passed = 0
        """Characters that are no longer held."""

    def next(self) -> Piece | None:
        """The next value, or what stands where one should; None after the last."""
        while self._base is None or self._depth >= self._base:
            piece = self._parsed() if self._depth == self._base and self._start is None else None
            if piece is not None:
                return piece
            token = self._token()
            if token is None:
                return self._last() if self._file_ended else self._cut_too_large()
            piece = self._take(token)
            if piece is not None:
                return piece
            if self._start is not None and self._at - self._start > self._max_characters:
                return self._cut_too_large()
        self.array_ended = True
        return None

    def go_back(self, piece: Piece, offset: int) -> None:
        """Read on from within the last piece, as if a value began there."""
        self._buffer = piece.text[offset:] + self._buffer[self._at :]
        self._at = 0
        self.line = piece.line + piece.text.count("\n", 0, offset)
        self._depth, self._start, self._in_text = self._base or 0, None, False

    def pass_over(self) -> int:
        """Read to the end of the last piece, which is too large; the characters left of it."""
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

    def rest(self) -> str:
        """What follows the array, blanks aside: its beginning."""
        while not (rest := self._buffer[self._at :].strip(" \t\r\n,")) and self._fill():
            pass
        return rest

    def _parsed(self) -> Piece | None:
        """The next value, where it is an object that is wholly at hand and has no fault."""
        if len(self._buffer) - self._at < _AHEAD:
            self._fill()
        start = self._past_blanks()
        if not self._buffer.startswith("{", start):
            return None
        try:
            value, end = DECODER.raw_decode(self._buffer, start)
        except (ValueError, RecursionError):
            return None
        text = self._buffer[start:end]
        if len(text) > self._max_characters or not _is_utf8(text):
            return None
        line = self.line + self._buffer.count("\n", self._at, start)
        self.line, self._at = line + text.count("\n"), end
        return Piece(line=line, value=value)

    def _past_blanks(self) -> int:
        return _BETWEEN.match(self._buffer, self._at).end()  # type: ignore[union-attr]

    def _token(self) -> re.Match[str] | None:
        """The next token whose end is known; None where the file ends, or none is in reach."""
        while True:
            token = _TOKEN.search(self._buffer, self._at)
            if token is not None and (token.group() != '"' or self._ends_line(token)):
                return token
            if not self._fill():
                return token
            begun = self._at if self._start is None else self._start
            if len(self._buffer) - begun > self._max_characters + 2 * _CHUNK_BYTES:
                self._start = begun
                self._in_text = token is not None
                self._at = self._text_end(token.end()) if token else len(self._buffer)
                return None

    def _ends_line(self, quote: re.Match[str]) -> bool:
        return self._buffer.find("\n", quote.end()) >= 0

    def _text_end(self, at: int) -> int:
        return _TEXT.match(self._buffer, at).end()  # type: ignore[union-attr]  # matches nothing too

    def _leave_text(self) -> None:
        """Pass over the rest of a text that is too large to be held."""
        while True:
            self._at = self._text_end(self._at)
            left = self._buffer[self._at : self._at + 2]
            if (left[:1] in ('"', "\n") and left) or len(left) == 2:
                self._at += left[:1] == '"'
                break
            if not self._fill():
                self._at = len(self._buffer)
                break
        self._in_text = False

    def _take(self, token: re.Match[str]) -> Piece | None:
        """Go on to the end of a token; the value that ends there or before."""
        kind = token.group()[0]
        at_base = self._depth == self._base
        if at_base and self._start is None:
            blank = kind in ",\n]}"
            start = _NO_BLANK.search(self._buffer, self._at, token.start() + (not blank))
            if start is not None:
                self._begin(start.start())
        if kind == "{" and not at_base and self._begins_anew(token.start()):
            self._depth, self._at = self._base or 0, token.start()
            return self._cut(self._at, why="a quote is not closed")
        self._at = token.end()
        if token.group() == '"':  # its line cannot be understood
            line_end = self._buffer.find("\n", token.end())
            self._at = len(self._buffer) if line_end < 0 else line_end
            self._broken = True
        elif kind in "{[":
            if self._base is None and kind == "[" and self._opens(token.start()):
                self._base = self._depth + 1
            self._depth += 1
        elif at_base and (kind == "}" or (kind == "]" and self._base == 0)):
            if self._start is None:  # one bracket too many
                self._begin(token.start())
            return self._cut(self._at)
        elif kind in "}]":
            self._depth -= 1
            if self._start is not None and self._depth == self._base:
                return self._cut(self._at)
        ended = kind in ",\n" or self._depth < (self._base or 0)
        piece = self._cut(token.start()) if at_base and ended and self._start is not None else None
        self.line += kind == "\n"
        return piece

    def _begins_anew(self, at: int) -> bool:
        """Whether an object within a broken one begins its line as that one did."""
        if not self._broken or self._start is None or self._margin is None:
            return False
        return self._buffer.endswith(f"\n{self._margin}", self._start, at)

    def _opens(self, at: int) -> bool:
        """Whether the bracket here opens the array of the rows."""
        if self._keys is None:
            return self._depth == 0
        key = _KEY.search(self._buffer, max(0, at - _KEY_CHARACTERS), at)
        return self._depth == 1 and key is not None and key.group(1) in self._keys

    def _begin(self, at: int) -> None:
        self._start, self._start_line, self._broken = at, self.line, False
        before = self._buffer[self._buffer.rfind("\n", 0, at) + 1 : at]
        self._margin = None if before.strip() else before

    def _cut(self, end: int, *, why: str = "", too_large: bool = False) -> Piece:
        text = self._buffer[self._start : end]
        self._start = None
        return Piece(
            line=self._start_line,
            text=text,
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
        if self._file_ended:
            return False
        chunk = self._file.read(_CHUNK_BYTES)
        self._file_ended = not chunk
        keep = max(0, self._at - _KEY_CHARACTERS) if self._start is None else self._start
        self._passed += keep
        self._buffer = self._buffer[keep:] + self._decoder.decode(chunk, final=not chunk)
        self._at -= keep
        self._start = None if self._start is None else 0
        return not self._file_ended


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
