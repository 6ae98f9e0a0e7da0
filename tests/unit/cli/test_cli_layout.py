"""Tables fit the terminal they are drawn on; in a pipe a row is a line."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tuneloop.cli.layout import fitting, shared_out, table
from tuneloop.foreign_text import shortened

TEXTS = st.text(st.characters(exclude_categories=("C", "M", "Z")), max_size=400)
LONG = "A customer writes and writes. " * 60


def drawn(what: object, *, width: int, terminal: bool = True) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        color_system=None,
        soft_wrap=not terminal,
    )
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=5), st.integers(20, 200))
def test_a_row_is_never_wider_than_the_terminal_nor_higher_than_three_lines(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    made = table("id", "what", "why", optional=("why",))
    for row in rows:
        made.add_row(*row)
    lines = drawn(made, width=width)
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) <= 3 * (len(rows) + 1) + 1


def test_the_first_column_is_whole_so_that_it_can_be_copied() -> None:
    made = table("bundle", "reason")
    made.add_row("b8bb8aa22b41", LONG)
    lines = drawn(made, width=40)
    assert lines[1].startswith("b8bb8aa22b41  A customer")
    assert len(lines) == 4
    assert "…" in "".join(lines)


def test_ids_are_whole_in_every_column_beside_a_long_reason() -> None:
    made = table("when", "from", "to", "who", "why", "behaves as")
    made.add_row("2026-11-30 14:34", "a91f56173c88", "11b9f3377206", "ines", LONG, "8c34c4ae88bc")
    lines = drawn(made, width=80)
    assert lines[1].split()[:5] == ["2026-11-30", "14:34", "a91f56173c88", "11b9f3377206", "ines"]
    assert lines[1].endswith("8c34c4ae88bc") and len(lines) == 4


def test_columns_give_way_in_the_order_that_is_said_and_are_named() -> None:
    made = table("cycle", "begun", "why", "outcome", optional=("why", "begun"))
    made.add_row("20261129-f1fdc2", "3 min ago", LONG, LONG)
    wide, narrow = drawn(made, width=120), drawn(made, width=44)
    assert all(name in wide[0] for name in ("cycle", "begun", "why", "outcome"))
    assert "why" not in narrow[0] and "outcome" in narrow[0]
    assert narrow[-1].startswith("no room for: ") and "why" in narrow[-1]


def test_in_a_pipe_a_row_is_one_whole_line() -> None:
    made = table("id", "text", "end", optional=("text",))
    made.add_row("1", f"{LONG}\nsecond line", "x")
    head, line = drawn(made, width=80, terminal=False)
    assert head.split() == ["id", "text", "end"]
    assert LONG.strip() in line and line.endswith("second line  x")


def test_a_clients_text_is_no_markup() -> None:
    made = table("id", "text")
    made.add_row("1", "[/b] [red]:fire:[/red]")
    assert "[/b] [red]:fire:[/red]" in drawn(made, width=80)[1]


def test_a_clients_text_does_nothing_to_the_terminal() -> None:
    made = table("id", "text")
    made.add_row("1", "\x1b]0;owned\x07\x1b[2J\x9b31m safe \u202eevil\u202c नमस्ते\u200d")
    for terminal in (True, False):
        line = drawn(made, width=80, terminal=terminal)[1]
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(line)
        assert "safe" in line and "नमस्ते\u200d" in line


def test_a_text_is_shortened_in_its_middle() -> None:
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789abcdef", 7) == "012…def"


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(40, 300))
def test_widths_fill_what_there_is_and_no_more(natural: list[int], width: int) -> None:
    shown = fitting(natural, list(range(1, len(natural))), width)
    widths = shared_out([natural[at] for at in shown], width)
    assert sum(widths) + 2 * (len(widths) - 1) <= width
    assert all(one >= 1 for one in widths)
