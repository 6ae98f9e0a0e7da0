"""The records of CSV and TSV, where quotes may quote, be text, or be damaged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tuneloop.readers.header import Header
from tuneloop.readers.lines import Line, beginning, decoded
from tuneloop.readers.quoting import Fields, as_plain, continue_with, split
from tuneloop.readers.rows import BadRow, too_large


@dataclass(frozen=True)
class Record:
    """The fields of one record and the line on which it starts."""

    line: int
    fields: Sequence[str | None]


class Records:
    """Records, so that a stray quote costs the line on which it stands, and no other.

    A quote that opens a field and is not closed on its line is closed on a later one, unless

    - that cannot be: no quote before a separator or a line end follows, or the fields are not as
      many as the header's. Then its line is left out, and the next is read as one of its own.
    - it need not be: every line alone has as many fields as the header. Then it is not known
      whether these lines are one record or several. They are read as several where quotes are
      nothing but text in the first records and those before, and else all are left out.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str, max_row_bytes: int) -> None:
        self.header: Header | None = None
        """Until it is known, a record may have any number of fields."""
        self.style = Style()
        """How the records so far were written."""
        self._lines = lines
        self._delimiter = delimiter
        self._max_row_bytes = max_row_bytes
        self._again: deque[Line] = deque()
        self._named: deque[BadRow] = deque()
        self._after: Line | None = None
        """The damaged line with a quote after which no line was like a row yet."""

    def __iter__(self) -> Records:
        return self

    def __next__(self) -> Record | BadRow:
        if self._named:
            return self._named.popleft()
        first = self._next_line()
        while not first.too_large and not first.content.strip():
            first = self._next_line()
        if first.too_large:
            return too_large(first.number, first.size_bytes, self._max_row_bytes, beginning(first))
        if b'"' not in first.content:
            text = decoded(first)
            if isinstance(text, BadRow):
                return text
            return self._alone(first, text, split(text, self._delimiter))
        block = _Block()
        text = block.take(first)
        fields = split(text, self._delimiter)
        if fields.open is None:
            return block.fault or self._alone(first, text, fields)
        self._close(fields, block)
        return self._not_closed(block) if block.why else self._closed(fields, block)

    def pass_over(self, header: Header, *, style: Style | None = None) -> None:
        """Pass over the first record, which is the header; `style` is how the first rows are."""
        next(self)
        self.header = header
        if style is not None:
            self.style = style
        elif not self.style.all_quoted:  # The names may be written in another way than the rows.
            self.style = Style()

    def _alone(self, line: Line, text: str, fields: Fields) -> Record | BadRow:
        """The record of a line that closes every quote that it opens."""
        why = "" if self.header is None else self._doubt(text, fields, self.header)
        if why:
            return _bad(line, why)
        if fields.stray and self.header is not None and not self.header.fits(fields.values):
            self._after = line
        else:
            self.style.learn(fields)
        return Record(line.number, fields.values)

    def _doubt(self, text: str, fields: Fields, header: Header) -> str:
        """Why a line that seems to be a record may be none."""
        style = self.style
        if self._after is not None and not style.quotes_are_text:
            if header.looks_like_row(fields.values) and not fields.stray:
                self._after = None
            elif header.fits(fields.values):
                return f"it may belong to the open quote of line {self._after.number}"
        if not fields.stray or style.quotes_are_text or not header.fits(fields.values):
            return ""
        stray = [value.strip() for value in fields.values if value and '"' in value]
        if any(value[0] == value[-1] == '"' for value in stray):
            return "not valid CSV: a quote inside of a field in quotes is not doubled"
        if style.needed and any(value[-1] == '"' and value.count('"') % 2 for value in stray):
            return "not valid CSV: a quote closes that was not opened"
        return ""

    def _close(self, fields: Fields, block: _Block) -> None:
        """Take lines until the open quote is closed; `block.why` says why where it is not."""
        while fields.open is not None and not block.why:
            line = self._next_line_or_none()
            if line is None:
                block.why = "the file ends before"
                return
            ending = block.lines[-1].end.decode()
            text = block.take(line)
            continue_with(fields, text, self._delimiter, ending)
            if line.too_large or block.size_bytes > self._max_row_bytes:
                block.why = f"the record passes {self._max_row_bytes:,} bytes"
            elif fields.unfit or fields.stray:
                block.why = f"the next quote, on line {line.number}, cannot be its end"

    def _closed(self, fields: Fields, block: _Block) -> Record | BadRow:
        """What the lines of a block are that close the quote that they open."""
        header, first = self.header, block.lines[0]
        if header is None:
            return self._accepted(fields, block)
        like_rows = [header.looks_like_row(self._values(text)) for text in block.texts]
        if header.fits(fields.values):
            if self.style.all_quoted or not all(like_rows):
                return self._accepted(fields, block)
            if self.style.quotes_are_text:
                self._again.extendleft(reversed(block.lines[1:]))
                return Record(first.number, as_plain(block.texts[0], self._delimiter))
        elif len(like_rows) > 2 and all(like_rows[1:-1]):
            block.why = f"with its end on line {block.lines[-1].number} the fields are too many"
            return self._not_closed(block)
        lines = f"lines {first.number}–{block.lines[-1].number}"
        detail = f"a quote spans {lines}; whether they are one record or several is not known"
        self._named.extend(_bad(line, detail) for line in block.lines[1:] if line.content.strip())
        return _bad(first, detail)

    def _accepted(self, fields: Fields, block: _Block) -> Record | BadRow:
        self.style.learn(fields)
        self._after = None
        return block.fault or Record(block.lines[0].number, fields.values)

    def _not_closed(self, block: _Block) -> Record | BadRow:
        """The line with the open quote alone; what follows is read anew."""
        first = block.lines[0]
        self._again.extendleft(reversed(block.lines[1:]))
        plain = as_plain(block.texts[0], self._delimiter)
        header = self.header
        if self.style.quotes_are_text and header is not None and header.looks_like_row(plain):
            return block.fault or Record(first.number, plain)
        self._after = first
        return _bad(first, f"not valid CSV: a quote that opens here is not closed: {block.why}")

    def _values(self, text: str) -> Sequence[str | None]:
        """The fields of one line of a block, if it were a record."""
        fields = split(text, self._delimiter)
        return fields.values if fields.open is None else as_plain(text, self._delimiter)

    def _next_line(self) -> Line:
        return self._again.popleft() if self._again else next(self._lines)

    def _next_line_or_none(self) -> Line | None:
        try:
            return self._next_line()
        except StopIteration:
            return None


@dataclass(kw_only=True)
class _Block:
    """Lines that may be one record."""

    lines: list[Line] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    size_bytes: int = 0
    fault: BadRow | None = None
    """What is wrong with the bytes of a line, said of the record's first."""
    why: str = ""
    """Why they are not one record."""

    def take(self, line: Line) -> str:
        """Take in one more line; its text, as far as it can be decoded."""
        text = decoded(line)
        self.lines.append(line)
        self.size_bytes += line.size_bytes + len(line.end)
        if isinstance(text, BadRow):
            self.fault = self.fault or replace(text, line=self.lines[0].number)
            text = line.content.decode("utf-8", "replace").replace("\0", "")
        self.texts.append(text)
        return text


@dataclass(kw_only=True)
class Style:
    """How the records so far were written."""

    stray: bool = False
    needed: bool = False
    """See `Fields`."""
    quoted: int = 0
    unquoted: int = 0
    """Fields with text, in records that have both or one of them."""

    def learn(self, fields: Fields) -> None:
        """Take in a record."""
        self.stray = self.stray or fields.stray
        self.needed = self.needed or fields.needed
        self.quoted += fields.quoted
        if self.unquoted:
            return
        texts = [value for value in fields.values if value and not _is_number(value)]
        self.unquoted += max(0, len(texts) - fields.quoted)

    @property
    def quotes_are_text(self) -> bool:
        """Nobody who quotes fields has written this."""
        return self.stray and not self.needed

    @property
    def all_quoted(self) -> bool:
        """Every text is in quotes, so that a line with one that is not is no record."""
        return self.quoted > 0 and self.unquoted == 0


def _bad(line: Line, detail: str) -> BadRow:
    return BadRow(line=line.number, reason="bad_csv", detail=detail, excerpt=beginning(line))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
