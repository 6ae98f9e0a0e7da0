"""What every command shares: the model file and workspace it works on, output, progress."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from tuneloop.retraining.loop import Loop

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

ModelOption = Annotated[
    Path,
    typer.Option(
        "--file", "-f", envvar="TUNELOOP_FILE", help="The model file, or the folder it is in."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one value, e.g. --set training.epochs=5.", metavar="K=V"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")]

DEFAULT_FILE = Path("tuneloop.yaml")

T = TypeVar("T")
_LOOK_SECONDS = 2.0


def open_loop(file: Path, overrides: list[str] | None = None, *, quiet: bool = False) -> Loop:
    """The loop of one model file, reporting to the terminal."""
    from tuneloop.progress import Silent
    from tuneloop.retraining.loop import Loop

    return Loop.open(file, overrides=overrides or (), progress=Silent() if quiet else Terminal())


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


class Rows(Table):
    """A table whose text is shown as it is: `[/b]` in a client's message is no markup."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; a cell with colours is a `Text`."""
        super().add_row(*(Text(c) if isinstance(c, str) else c for c in cells), **options)


def table(*columns: str) -> Rows:
    """A plain table."""
    made = Rows(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        # The first column names the thing; a name that is broken cannot be copied.
        made.add_column(column, overflow="fold", no_wrap=number == 0)
    return made


def ago(then: datetime, now: datetime) -> str:
    """How long ago, in one unit."""
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


class Terminal:
    """Draws steps, bars and notes on standard error, so that `--json` stays clean."""

    def __init__(self) -> None:
        """Nothing is drawn before the first step."""
        self._bars: Bars | None = None
        self._task: Any = None
        self._started = 0.0
        self._text = ""

    def step(self, text: str) -> None:
        """Finish the step before and announce the next one."""
        self.finish()
        self._text, self._started = text, time.monotonic()
        err.print(f"[bold cyan]▸[/] {escape(text)}")

    def update(self, done: float, total: float, detail: str = "") -> None:
        """Move the bar of the current step; a log that is no terminal gets no bar."""
        if not err.is_terminal:
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
            self._task = self._bars.add_task("", total=total, detail=detail)
        self._bars.update(self._task, completed=done, total=total, detail=detail)

    def note(self, text: str) -> None:
        """A line below the step."""
        err.print(f"  {text}", markup=False)

    def finish(self) -> None:
        """End the bar and say how long the step took."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        if self._text:
            err.print(f"  [dim]{time.monotonic() - self._started:.1f} s[/]")
            self._text = ""


def followed(look: Callable[[], T], *, say: Callable[[T], str], until: Callable[[T], bool]) -> T:
    """Look every two seconds until it is so, and say what is seen; the last that was seen."""
    said = ""
    with err.status("") as line:
        while not until(seen := look()):
            text = say(seen)
            line.update(escape(text))
            if text != said and not err.is_terminal:
                err.print(text, markup=False)
            said = text
            time.sleep(_LOOK_SECONDS)
    return seen


@contextmanager
def finishing(loop: Loop) -> Iterator[Loop]:
    """Close the loop's bars however the command ends."""
    try:
        yield loop
    finally:
        if isinstance(loop.progress, Terminal):
            loop.progress.finish()
        loop.close()


def _bars() -> Bars:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("  "),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )
