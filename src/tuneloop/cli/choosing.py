"""Two answers side by side, and a person who chooses: on the screen or in a sheet."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tuneloop.cli.terminal import out
from tuneloop.errors import DataError, UsageError
from tuneloop.foreign_text import inert

if TYPE_CHECKING:
    from tuneloop.evaluation.side_by_side import Pair
    from tuneloop.intervals import Figure
    from tuneloop.review.blind import BlindComparison, Desk, Letter

WithOption = Annotated[
    str | None,
    typer.Option(
        "--with", help="production or base; default: production, or the base where nothing is."
    ),
]
_KEYS: Mapping[str, Letter | None] = {"a": "A", "b": "B", "t": "tie", "s": None, "q": None}
_WRITTEN: Mapping[str, Letter | None] = {
    **{"a": "A", "b": "B", "t": "tie", "tie": "tie", "=": "tie"},
    **{"": None, "s": None, "skip": None},
}
_COLUMNS = ("pair", "asked", "A", "B", "choice")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""
_MAX_ROW_BYTES = 64_000_000


def reference_of(value: str | None) -> Literal["production", "base"] | None:
    """What --with names.

    Raises:
        UsageError: it is neither.
    """
    if value is None:
        return None
    if value == "production":
        return "production"
    if value == "base":
        return "base"
    raise UsageError(f"--with is production or base, got {value!r}.")


def walk(desk: Desk, *, limit: int | None) -> None:
    """Ask this person about each pair that waits for them; each choice is kept at once.

    Raises:
        UsageError: there is no terminal to choose at.
    """
    from rich.prompt import Prompt

    waiting = desk.waiting()[:limit]
    # As in the review: Polars, once loaded, catches SIGINT so that a read goes on.
    signal.siginterrupt(signal.SIGINT, True)
    for number, pair in enumerate(waiting, start=1):
        began = time.monotonic()
        out.rule(f"{number}/{len(waiting)}")
        _show(pair)
        try:
            key = Prompt.ask(
                "\\[a] A is better, \\[b] B is better, \\[t]ie, \\[s]kip, \\[q]uit",
                choices=list(_KEYS),
                show_choices=False,
                console=out,
            )
        except EOFError:
            raise UsageError(
                f"Nobody is there to choose; {number - 1} choices are kept.",
                remedy="Write a sheet with --sheet FILE, and read it with --choices FILE.",
            ) from None
        if key == "q":
            break
        if (letter := _KEYS[key]) is not None:
            desk.choose({pair.id: letter}, seconds=time.monotonic() - began)


def _show(pair: Pair) -> None:
    from rich.text import Text

    first, second = pair.shown
    for name, text in (("Asked", asked(pair)), ("A", first), ("B", second)):
        out.print(Text(name, style="bold"))
        out.print(Text(text))
        out.print()


def asked(pair: Pair) -> str:
    """What both were asked: the turns of the conversation, without the system text."""
    turns = [m for m in pair.messages if m["role"] != "system"]
    if len(turns) == 1:
        return str(turns[0].get("content") or "")
    return "\n".join(f"{turn['role']}: {turn.get('content') or ''}" for turn in turns)


def write_sheet(path: Path, pairs: Sequence[Pair]) -> None:
    """One row a pair, with an empty `choice`; whose answer is which stands nowhere in it.

    Raises:
        UsageError: the file is neither .csv nor .jsonl, or cannot be written.
    """
    rows = [
        # No reader takes a sheet with the control characters that an answer may have.
        dict(zip(_COLUMNS, map(inert, (pair.id, asked(pair), *pair.shown, "")), strict=True))
        for pair in pairs
    ]
    if path.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"A sheet is a .csv or a .jsonl, got {path.name!r}.")
    try:
        # With a mark at its start a spreadsheet knows that a CSV is UTF-8.
        encoding = "utf-8-sig" if path.suffix == ".csv" else "utf-8"
        with path.open("w", encoding=encoding, errors="replace", newline="") as file:
            if path.suffix == ".csv":
                sheet = csv.DictWriter(file, _COLUMNS)
                sheet.writeheader()
                sheet.writerows({name: _cell(text) for name, text in row.items()} for row in rows)
            else:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except OSError as e:
        raise UsageError(f"{path} cannot be written: {e.strerror}.") from e


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_sheet(path: Path) -> dict[str, Letter]:
    """Pair id → A, B or tie, of a sheet that was filled in; rows left empty are skipped.

    Raises:
        UsageError: the file cannot be read, or a row says something else.
    """
    from tuneloop.readers import BadRow, read_rows

    chosen: dict[str, Letter] = {}
    if not path.exists():
        raise UsageError(f"There is no file {path}.")
    try:
        for row in read_rows(path, max_row_bytes=_MAX_ROW_BYTES):
            where = f"{path.name}, line {row.line}"
            if isinstance(row, BadRow):
                raise UsageError(f"{where}: {row.detail}.")
            pair, letter = _choice(row.value, where)
            if letter is not None:
                chosen[pair] = letter
    except DataError as e:
        raise UsageError(e.message, remedy=e.remedy) from e
    return chosen


def _choice(row: Mapping[str, Any], where: str) -> tuple[str, Letter | None]:
    if not {"pair", "choice"} <= row.keys():
        raise UsageError(
            f"{where}: expected the columns `pair` and `choice`, found {', '.join(row)}.",
            remedy="Write a sheet with --sheet and fill in its last column.",
        )
    said = str(row["choice"] or "").strip().casefold()
    if said not in _WRITTEN:
        raise UsageError(f"{where}: expected A, B, tie or nothing, found {row['choice']!r}.")
    return str(row["pair"]), _WRITTEN[said]


def print_result(result: BlindComparison) -> None:
    """What the choices come to, in sentences."""
    out.print(
        f"{result.judged} of {result.pairs} pairs judged: candidate better {result.candidate}, "
        f"{result.reference} better {result.other}, ties {result.ties}"
        + (f"; {result.identical} pairs of equal answers not shown." if result.identical else ".")
    )
    if result.share is not None:
        out.print(f"Candidate preferred in {_told(result.share)} of the decided pairs.")
    if result.difference is not None:
        out.print(f"Won minus lost: {_told(result.difference)}, p = {result.p_value:.3g}")
    for person, chosen in result.people.items():
        counts = ", ".join(f"{choice} {count}" for choice, count in sorted(chosen.items()))
        out.print(f"  {person}: {counts}", markup=False)
    if agreement := result.agreement:
        kappa = f"; Cohen's kappa {_told(agreement.kappa)}" if agreement.kappa else ""
        out.print(f"Two people chose the same in {_told(agreement.observed)}{kappa}")


def _told(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f}, n = {figure.n})"
