"""How a command says that it failed: what, why, where to read on; never a traceback."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape

from tuneloop.cli.terminal import err
from tuneloop.foreign_text import one_line

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""
UNEXPECTED = 70
"""Exit code for an error of tuneloop itself (EX_SOFTWARE of sysexits.h)."""

_LOG = "errors.log"


def tell(message: str, remedy: str) -> None:
    """A mistake or a fault that the user can do something about."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    if remedy:
        err.print(f"[bold]→[/] {escape(remedy)}")


def tell_unexpected(error: Exception) -> None:
    """An error that nobody foresaw: two lines here, the traceback in a log."""
    first = one_line(next(iter(str(error).splitlines()), ""))
    log = _write_down(error)
    where = f"the details are in {log}" if log else "its details could not be written anywhere"
    tell(
        f"tuneloop itself failed ({type(error).__name__}: {first}); {where}.",
        "What was done so far is kept: run the command again. If it fails in the same way, "
        "report it with that file.",
    )


def _write_down(error: Exception) -> Path | None:
    """Append the traceback to the workspace's log, else to one among the temporary files."""
    text = "".join(traceback.format_exception(error))
    entry = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} tuneloop {_command()}\n{text}\n"
    for folder in (_workspace_logs, _private_folder):
        with suppress(OSError):
            log = folder() / _LOG
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(entry)
            return log
    return None


def _command() -> str:
    """The words of the command without its values, among which there may be a key or a person."""
    words = itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:3])
    return " ".join(word for word in words if word.isalpha())


def _private_folder() -> Path:
    """A new folder that only we can read: a known name among the temporary files is anybody's."""
    return Path(tempfile.mkdtemp(prefix="tuneloop-"))


def _workspace_logs() -> Path:
    """The logs of the workspace that the command most likely worked on.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        from tuneloop.workspace import FOLDER
    except ImportError as e:  # Which may be the very error that is to be told.
        raise FileNotFoundError from e
    named = os.environ.get("TUNELOOP_WORKSPACE")
    model_file = Path(os.environ.get("TUNELOOP_FILE", "."))
    for flag, value in zip(sys.argv, sys.argv[1:], strict=False):
        if flag in ("-f", "--file"):
            model_file = Path(value)
    beside = model_file if model_file.is_dir() else model_file.parent
    workspace = Path(named) if named else beside / FOLDER
    if not workspace.is_dir():
        raise FileNotFoundError(workspace)
    return workspace / "logs"
