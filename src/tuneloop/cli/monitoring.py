"""`tuneloop monitor`: measure live traffic, look at what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_loop,
    out,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.monitoring.measurement import Measurement

app = typer.Typer(no_args_is_help=True, help="Measure live traffic and look back.")


@app.command()
def run(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Measure the last window of captured traffic; opens and resolves alerts.

    Example: tuneloop monitor run --set monitors.window_days=1
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        found = loop.monitor()
    if json_:
        print_json(found)
    else:
        _print(found)


@app.command()
def history(
    file: ModelOption = DEFAULT_FILE,
    monitor: Annotated[str | None, typer.Option(help="Only this monitor.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many, the newest first.")] = 50,
    json_: JsonOption = False,
) -> None:
    """Show earlier measurements, the newest first.

    Example: tuneloop monitor history --monitor novelty
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found = loop.measurements(monitor=monitor, limit=limit)
    if json_:
        print_json(found)
    else:
        _print(found, with_time=True)


def _print(found: Sequence[Measurement], *, with_time: bool = False) -> None:
    if not found:
        out.print("No measurements yet. Make some with: tuneloop monitor run")
        return
    colours = {"alert": "red", "ok": "green"}
    rows = table(*(["when"] if with_time else []), "monitor", "value", "95 %", "n", "verdict", "")
    for one in found:
        colour = colours.get(one.verdict, "yellow")
        rows.add_row(
            *([f"{one.time:%Y-%m-%d %H:%M}"] if with_time else []),
            one.monitor,
            "–" if one.value is None else f"{one.value:.3g}",
            "–" if one.low is None or one.high is None else f"{one.low:.3g}–{one.high:.3g}",
            str(one.n),
            Text(one.verdict.replace("_", " "), style=colour),
            one.message,
        )
    out.print(rows)
