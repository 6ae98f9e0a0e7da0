"""Tables that fit: columns are chosen by the width there is, long texts shortened in their middle.

On a terminal no row takes more than a few lines; the rest of it is in `show` and in `--json`. In a
pipe there is no width to fit, so a row is a line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from tuneloop.foreign_text import one_line, shortened

_GAP = 2
_LINES = 3
"""At most so many for one cell."""
_NARROWEST = 16
"""Columns that a text is still readable in."""
_BEARABLE = 10
"""The same, where ids beside it are whole for that."""
_LONGEST_WORD = 24
"""A longer one, such as a digest, is broken."""


def part_by_part(text: str) -> str:
    """A sentence of several parts with each on a line of its own, as it is read on a screen."""
    return text.replace("; ", ";\n")


class Rows:
    """A table of plain texts, laid out when its width is known.

    Texts are shown as they are: `[/b]` in a client's message is no markup. A `Text` keeps its
    colours. The first column names the thing; it is never broken, so that it can be copied, unless
    it alone would fill the line. Ids and other single words are not broken either where the other
    columns stay readable.
    """

    def __init__(self, *columns: str, optional: Sequence[str] = ()) -> None:
        """`optional`: columns that give way where there is no room, the first one first."""
        self._columns = columns
        self._optional = optional
        self._rows: list[tuple[Text, ...]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add a row with a cell for each column."""
        row = [Text(one_line(cell)) if isinstance(cell, str) else cell for cell in cells]
        self._rows.append(tuple(row + [Text()] * (len(self._columns) - len(row))))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose columns and widths, then draw."""
        natural = [
            max(cell_len(name), *(cell_len(row[at].plain) for row in self._rows), 0)
            for at, name in enumerate(self._columns)
        ]
        if not console.is_terminal:
            yield from self._whole(natural)
            return
        given_up = [self._columns.index(name) for name in self._optional]
        shown = fitting(natural, given_up, options.max_width)
        words = [place for place, at in enumerate(shown) if self._holds_words(at, natural[at])]
        widths = shared_out([natural[at] for at in shown], options.max_width, whole=words)
        yield self._fitted(shown, widths, console)
        hidden = [name for at, name in enumerate(self._columns) if at not in shown]
        if hidden:
            yield Text(f"no room for: {', '.join(hidden)} (--json has all)", style="dim")

    def _holds_words(self, at: int, width: int) -> bool:
        return width <= _LONGEST_WORD and not any(" " in row[at].plain for row in self._rows)

    def _whole(self, natural: Sequence[int]) -> RenderResult:
        """A line for each row, whatever its length."""
        for row in ([Text(name) for name in self._columns], *self._rows):
            cells = [
                cell + Text(" " * (to - cell_len(cell.plain)))
                for cell, to in zip(row, natural, strict=True)
            ]
            line = Text(" " * _GAP).join(cells)
            line.rstrip()
            yield line

    def _fitted(self, shown: Sequence[int], widths: Sequence[int], console: Console) -> Table:
        grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for at, width in zip(shown, widths, strict=True):
            grid.add_column(self._columns[at], width=width, overflow="fold")
        for row in self._rows:
            grid.add_row(
                *(_in_lines(row[at], w, console) for at, w in zip(shown, widths, strict=True))
            )
        return grid


def table(*columns: str, optional: Sequence[str] = ()) -> Rows:
    """A table of these columns; see `Rows`."""
    return Rows(*columns, optional=optional)


def fitting(natural: Sequence[int], optional: Sequence[int], width: int) -> list[int]:
    """The columns that fit side by side; `natural` are the widths that they would like.

    Optional ones go, in their order, until each of the others has a readable width.
    """
    shown = list(range(len(natural)))
    for at in optional:
        if _least([natural[column] for column in shown]) <= width:
            break
        shown.remove(at)
    return shown


def shared_out(natural: Sequence[int], width: int, *, whole: Collection[int] = ()) -> list[int]:
    """Widths that fit together: short columns get what they like, long ones share the rest.

    `whole`: columns that get what they like before, where the others keep a bearable width.
    """
    room = width - _GAP * (len(natural) - 1)
    given = [min(wanted, max(1, room)) for wanted in natural]
    if sum(given) <= room:
        return given
    floor = max(1, min(_NARROWEST, room // len(natural)))
    # The first column is kept whole as long as the others stay readable.
    others = sum(min(wanted, floor) for wanted in natural[1:])
    first = min(natural[0], max(floor, room - others))
    widths, left = {0: first}, room - first
    waiting = sorted(range(1, len(natural)), key=lambda at: natural[at])
    words = {at: natural[at] for at in waiting if at in whole}
    texts = [natural[at] for at in waiting if at not in whole]
    if left - sum(words.values()) >= sum(min(wanted, _BEARABLE) for wanted in texts):
        widths |= words
        left -= sum(words.values())
        waiting = [at for at in waiting if at not in whole]
    while waiting:
        at = waiting.pop(0)
        widths[at] = max(1, min(natural[at], left // (len(waiting) + 1)))
        left -= widths[at]
    return [widths[at] for at in range(len(natural))]


def _least(natural: Sequence[int]) -> int:
    first, *others = natural
    return first + sum(min(wanted, _NARROWEST) + _GAP for wanted in others)


def _in_lines(cell: Text, width: int, console: Console) -> Text:
    """The cell, shortened in its middle if it took more lines than a row may."""
    if cell_len(cell.plain) <= width:
        return cell
    size = width * _LINES
    while True:
        short = Text(shortened(cell.plain, size), style=cell.style)
        if len(short.wrap(console, width, overflow="fold")) <= _LINES or size <= width:
            return short
        size -= max(1, width // 8)
