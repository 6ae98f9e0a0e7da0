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
    ago,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.monitoring.measurement import Measurement

app = typer.Typer(no_args_is_help=True, help="Measure live traffic and look back.")

_COLOURS = {"alert": "red", "ok": "green"}
_PLOT_WIDTH = 40


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Show every monitor: what it watches, how often, when it alerts, what it last saw.

    Example: tuneloop monitor list
    """
    from tuneloop.monitoring import series
    from tuneloop.monitoring.monitors.table import MONITORS

    with finishing(open_loop(file, overrides, quiet=True)) as loop:
        last = series.newest(loop.workspace, model=loop.model.name)
        settings, now = loop.model.monitors, loop.workspace.now()
    if json_:
        print_json(
            [
                {
                    "monitor": one.name,
                    "about": one.about,
                    "every": one.every,
                    "limit": one.limit(settings),
                    "last": last.get(one.name),
                }
                for one in MONITORS
            ]
        )
        return
    rows = table(
        "monitor",
        "what",
        "every",
        "alerts when",
        "last",
        "verdict",
        "",
        optional=("every", "what", "alerts when"),
    )
    for one in MONITORS:
        seen = last.get(one.name)
        rows.add_row(
            one.name,
            one.about,
            one.every,
            one.limit(settings),
            "–" if seen is None or seen.value is None else f"{seen.value:.3g}",
            Text("not measured yet", style="dim") if seen is None else _verdict(seen),
            "" if seen is None else ago(seen.time, now),
        )
    page(rows)


@app.command()
def run(
    file: ModelOption = DEFAULT_FILE,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this monitor; may be given again.")
    ] = None,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure the last window of captured traffic; opens and resolves alerts.

    Example: tuneloop monitor run --only novelty --set monitors.window_days=1
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        found = loop.monitor(only=only or None)
    if json_:
        print_json(found)
    else:
        _print(found)


@app.command()
def history(
    monitor: Annotated[
        str | None, typer.Argument(help="Only this monitor, with a plot; default: all.")
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    limit: Annotated[int, typer.Option(help="At most this many, the newest first.")] = 50,
    json_: JsonOption = False,
) -> None:
    """Show earlier measurements, the newest first.

    Example: tuneloop monitor history edit_rate
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found = loop.measurements(monitor=monitor, limit=limit)
    if json_:
        print_json(found)
    elif monitor is not None and any(one.value is not None for one in found):
        _plot(found)
    else:
        _print(found, with_time=True)


def _print(found: Sequence[Measurement], *, with_time: bool = False) -> None:
    if not found:
        out.print("No measurements yet. Make some with: tuneloop monitor run")
        return
    rows = table(*(["when"] if with_time else []), "monitor", "value", "95 %", "n", "verdict", "")
    for one in found:
        rows.add_row(
            *([f"{one.time:%Y-%m-%d %H:%M}"] if with_time else []),
            one.monitor,
            "–" if one.value is None else f"{one.value:.3g}",
            "–" if one.low is None or one.high is None else f"{one.low:.3g}–{one.high:.3g}",
            str(one.n),
            _verdict(one),
            one.message,
        )
    page(rows)


def _plot(found: Sequence[Measurement]) -> None:
    """One line a measurement: ● its value, ─ its 95 % interval, │ the limit that it had."""
    marks = [mark for one in found for mark in _marks(one)]
    low, high = min(marks), max(marks)
    rows = table("when", "value", f"{low:.3g}".ljust(_PLOT_WIDTH - 8) + f"{high:>8.3g}", "n", "")
    for one in found:
        rows.add_row(
            f"{one.time:%Y-%m-%d %H:%M}",
            "–" if one.value is None else f"{one.value:.3g}",
            Text(_line(one, low, high), style=_COLOURS.get(one.verdict, "yellow")),
            str(one.n),
            _verdict(one),
        )
    page(rows)
    out.print("● value   ─ 95 % interval   │ limit", style="dim")


def _line(one: Measurement, low: float, high: float) -> str:
    def at(value: float) -> int:
        return round((value - low) / ((high - low) or 1.0) * (_PLOT_WIDTH - 1))

    line = [" "] * _PLOT_WIDTH
    if one.low is not None and one.high is not None:
        line[at(one.low) : at(one.high) + 1] = "─" * (at(one.high) + 1 - at(one.low))
    if one.limit is not None:
        line[at(one.limit.threshold)] = "│"
    if one.value is not None:
        line[at(one.value)] = "●"
    return "".join(line)


def _marks(one: Measurement) -> list[float]:
    """All that a measurement's line of the plot shows."""
    shown = (one.value, one.low, one.high, one.limit.threshold if one.limit else None)
    return [mark for mark in shown if mark is not None]


def _verdict(one: Measurement) -> Text:
    return Text(one.verdict.replace("_", " "), style=_COLOURS.get(one.verdict, "yellow"))
