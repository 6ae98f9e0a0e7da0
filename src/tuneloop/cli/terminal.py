"""What every command shares: the model file and workspace it works on, output, interruption."""

from __future__ import annotations

import dataclasses
import json
import os
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

from tuneloop.cli.durations import Durations
from tuneloop.cli.inert import Inert
from tuneloop.cli.layout import table as table
from tuneloop.cli.steps import SECONDS_BETWEEN_LINES, Step, Steps, draws, how_far
from tuneloop.foreign_text import inert

if TYPE_CHECKING:
    from tuneloop.loop import Loop
    from tuneloop.progress import Progress
    from tuneloop.project import Project

# In a pipe nothing is wrapped or cut: a program reads it, or another terminal wraps it.
out = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=not sys.stderr.isatty())
for console in (out, err):
    console.push_render_hook(Inert())

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
Opened = TypeVar("Opened", "Loop", "Project")
_LOOK_SECONDS = 2.0


def open_project(file: Path, overrides: list[str] | None = None, *, quiet: bool = False) -> Project:
    """The project of one model file, reporting to the terminal."""
    from tuneloop.acting import whoever_acts
    from tuneloop.progress import Silent
    from tuneloop.project import Project

    # Bars are on standard error and harm no JSON; lines in a log might.
    steps = None if quiet and not draws(err) else Steps(err)
    project = Project.open(
        file, actor=whoever_acts(), overrides=overrides or (), progress=steps or Silent()
    )
    if steps is not None:
        steps.durations = Durations(project.workspace.root / "durations.json")
    return project


@contextmanager
def told_on_err(*, quiet: bool = False) -> Iterator[Progress]:
    """What tells of work that needs no project; `quiet` as for `open_project`."""
    from tuneloop.progress import Silent

    if quiet and not draws(err):
        yield Silent()
        return
    steps = Steps(err)
    try:
        yield steps
    finally:
        steps.finish()


def open_loop(file: Path, overrides: list[str] | None = None, *, quiet: bool = False) -> Loop:
    """The same with every stage as a method; it takes half a second more to load."""
    from tuneloop.loop import Loop

    return Loop(open_project(file, overrides, quiet=quiet))


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=2)
    if out.is_terminal:
        with paged():
            out.print(text, markup=False, soft_wrap=True)
    else:
        sys.stdout.write(text + "\n")


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


def followed(look: Callable[[], T], *, say: Callable[[T], str], until: Callable[[T], bool]) -> T:
    """Look every two seconds until it is so, and say what is seen; the last that was seen.

    Raises:
        StoppedError: by Ctrl-C, which ends the looking and not what is looked at.
    """
    said, said_at = "", -SECONDS_BETWEEN_LINES
    try:
        with err.status("") as line:
            while not until(seen := look()):
                text, now = say(seen), time.monotonic()
                line.update(escape(inert(text)))
                if text != said and now - said_at >= SECONDS_BETWEEN_LINES and not draws(err):
                    err.print(text, markup=False, soft_wrap=True)
                    said, said_at = text, now
                time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        raise StoppedError("Stopped looking; what you looked at goes on by itself.") from None
    return seen


class StoppedError(Exception):
    """Somebody pressed Ctrl-C; the message says what is kept and how to go on."""


@contextmanager
def finishing(opened: Opened) -> Iterator[Opened]:
    """Close the bars and stores of a loop or project however the command ends.

    Raises:
        StoppedError: for Ctrl-C.
    """
    steps, whole = (opened.progress if isinstance(opened.progress, Steps) else None), False
    try:
        yield opened
        whole = True
    except KeyboardInterrupt:
        raise StoppedError(_what_is_kept(steps.current if steps else None)) from None
    finally:
        if steps is not None:
            steps.finish(whole=whole)
        opened.close()


def _what_is_kept(step: Step | None) -> str:
    if step is None:
        return "Stopped. What was done so far is kept."
    at = how_far(step.pace, time.monotonic())
    where = f"Stopped in: {step.text}" + (f" ({at})" if at else "") + "."
    if step.keeps:
        rest = f"with {step.keeps}. The same command goes on from there."
    else:
        rest = "and the same command begins this step again."
    return f"{where}\nWhat was finished before is kept, {rest}"


@contextmanager
def paged() -> Iterator[None]:
    """What is printed meanwhile goes through a pager where it does not fit the screen.

    On a terminal only. The pager is `$PAGER`, else `less`; `PAGER=cat` prints everything at once.
    """
    if not (draws(out) and sys.stdin.isatty()):
        yield
        return
    from rich.pager import SystemPager

    class OnlyIfLong(SystemPager):
        def show(self, content: str) -> None:
            if content.count("\n") < out.height:
                out.file.write(content)
                out.file.flush()
            else:
                # As git does: colours, no clearing, and the end where it fits after all.
                os.environ.setdefault("LESS", "FRX")
                super().show(content)

    with out.pager(OnlyIfLong(), styles=not out.no_color):
        yield


def page(*parts: RenderableType) -> None:
    """Print what may be long, see `paged`."""
    with paged():
        out.print(*parts, sep="\n")
