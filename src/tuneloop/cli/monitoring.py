"""`tuneloop monitor`: measure live traffic, look at what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

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
    from datetime import datetime

    from rich.console import RenderableType

    from tuneloop.cli.layout import Rows
    from tuneloop.errors import ExtensionError
    from tuneloop.modelfile import MonitorSettings
    from tuneloop.monitoring.acceptance import Accepted
    from tuneloop.monitoring.measurement import Measurement
    from tuneloop.monitoring.monitors.table import Monitor
    from tuneloop.monitoring.shift import Released
    from tuneloop.registry.aliases import Move

app = typer.Typer(no_args_is_help=True, help="Measure live traffic and look back.")

_COLOURS = {"alert": "red", "ok": "green"}
_PLOT_WIDTH = 40


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Show every monitor: what it watches, how often, when it alerts, what it last saw.

    Which of them run follows from `task.kind`; the others say so, and run where they are named.
    A figure of your own, sent as feedback of the kind `metric`, is `metric:NAME`.
    Below: how often all of them together alert for nothing, and what people called normal.

    Example: tuneloop monitor list
    """
    from tuneloop.monitoring import acceptance, series
    from tuneloop.monitoring.monitors import metrics
    from tuneloop.monitoring.monitors.table import chosen, levels
    from tuneloop.online_evaluation.measuring import watched_release, watched_task

    with finishing(open_loop(file, overrides, quiet=True)) as loop:
        last = series.newest(loop.workspace, model=loop.model.name)
        model, now = loop.model, loop.workspace.now()
        task, released = watched_task(loop.project), watched_release(loop.project)
        own_figures = metrics.counted(loop.workspace, model)
        accepted = {}
        if loop.project.in_production() is not None:
            accepted = acceptance.standing(
                loop.workspace, loop.project.bundle("production"), model.endpoint_name
            )
    monitors = chosen() | metrics.known(model.monitors, last)
    if json_:
        sure = levels(model, task, own_figures)
        print_json(
            [
                _as_json(name, monitor, model.monitors, task, released)
                | {
                    "false_alarm_chance": sure.get(name),
                    "last": last.get(name),
                    "accepted": accepted.get(name),
                }
                for name, monitor in monitors.items()
            ]
        )
        return
    counted = len({*chosen(task=task), *own_figures})
    page(
        _listed(monitors, model.monitors, task, released, last, now),
        Text(_rate_told(model.monitors.false_alarms_per_month, counted)),
        *(Text(_accepted_told(one)) for one in accepted.values()),
    )


def _as_json(
    name: str,
    monitor: Monitor | ExtensionError,
    settings: MonitorSettings,
    task: Mapping[str, Any],
    released: Released,
) -> dict[str, Any]:
    from tuneloop.errors import ExtensionError
    from tuneloop.monitoring.monitors.table import applies

    if isinstance(monitor, ExtensionError):
        return {"monitor": name, "error": monitor.message}
    return {
        "monitor": name,
        "about": monitor.about,
        "every": monitor.every,
        "limit": monitor.limit_of(settings, released),
        "applies": applies(monitor, task),
    }


def _listed(
    monitors: Mapping[str, Monitor | ExtensionError],
    settings: MonitorSettings,
    task: Mapping[str, Any],
    released: Released,
    last: Mapping[str, Measurement],
    now: datetime,
) -> RenderableType:
    from tuneloop.errors import ExtensionError
    from tuneloop.monitoring.monitors.table import applies

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
    for name, monitor in monitors.items():
        if isinstance(monitor, ExtensionError):
            unusable = Text("cannot be used", style="red")
            rows.add_row(name, monitor.message, "", "", "", unusable, "")
            continue
        seen = last.get(name)
        rows.add_row(
            name,
            monitor.about,
            monitor.every,
            monitor.limit_of(settings, released),
            "–" if seen is None or seen.value is None else f"{seen.value:.3g}",
            _not_seen(applies(monitor, task)) if seen is None else _verdict(seen),
            "" if seen is None else ago(seen.time, now),
        )
    return rows


def _rate_told(rate: float, monitors: int) -> str:
    """How often all monitors together alert for nothing, for people."""
    months = 1 / rate
    often = f"one false alarm in {months:.3g} months"
    if months < 1.5:
        often = f"{rate:.3g} false alarm{'s' if rate >= 1.5 else ''} a month"
    return (
        f"At most about {often} over all {monitors} monitors together "
        "(monitors.false_alarms_per_month)."
    )


def _accepted_told(one: Accepted) -> str:
    return (
        f"{one.monitor}: {one.actor} called {one.value:.3g} normal on {one.at:%Y-%m-%d} "
        f"(window until {one.window_end:%Y-%m-%d %H:%M}): {one.reason}"
    )


@app.command()
def accept(
    monitor: Annotated[str, typer.Argument(help="Its name, from `tuneloop monitor list`.")],
    reason: Annotated[
        str, typer.Option(help="Why it is normal now, or why no more; kept in the audit log.")
    ],
    file: ModelOption = DEFAULT_FILE,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back what was called normal last.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Call the last window of a monitor normal: its baseline is made anew from it on.

    For what changed on purpose, and for a baseline of too few or unusual requests. Its alert
    resolves when it is measured next. Another bundle in production begins a baseline of its own.

    Example: tuneloop monitor accept output_length --reason "asked for"
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        if undo:
            done = loop.undo_accept(monitor, reason=reason)
        else:
            done = loop.accept(monitor, reason=reason)
    if json_:
        print_json(done)
    elif undo:
        out.print(Text(f"Taken back: {_accepted_told(done)}"))
    else:
        out.print(Text(f"{_accepted_told(done)}"))
        out.print("Its alert, if there is one, resolves with: tuneloop monitor run")


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
        measurements = loop.monitor(only=only or None)
    if json_:
        print_json(measurements)
    else:
        _print(measurements)


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

    The plot says where another bundle went live.

    Example: tuneloop monitor history edit_rate
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        measurements = loop.measurements(monitor=monitor, limit=limit)
        releases = loop.history()
        accepted = [one for one in loop.accepted() if one.monitor == monitor]
    if json_:
        print_json(measurements)
    elif monitor is not None and any(measurement.value is not None for measurement in measurements):
        _plot(measurements, releases)
        for one in accepted:
            taken_back = f", taken back by {one.withdrawn_by}" if one.withdrawn_by else ""
            out.print(Text(f"{_accepted_told(one)}{taken_back}"))
    else:
        _print(measurements, with_time=True)


def _print(measurements: Sequence[Measurement], *, with_time: bool = False) -> None:
    if not measurements:
        out.print("No measurements yet. Make some with: tuneloop monitor run")
        return
    rows = table(
        *(["when"] if with_time else []),
        *("monitor", "value", "95 %", "n", "verdict", "message"),
        optional=("message",),
    )
    for measurement in measurements:
        rows.add_row(
            *([f"{measurement.time:%Y-%m-%d %H:%M}"] if with_time else []),
            measurement.monitor,
            "–" if measurement.value is None else f"{measurement.value:.3g}",
            "–"
            if measurement.low is None or measurement.high is None
            else f"{measurement.low:.3g}–{measurement.high:.3g}",
            str(measurement.n),
            _verdict(measurement),
            measurement.message,
        )
    # On a terminal there is no room for a sentence beside five columns.
    worth_reading = [m for m in measurements if m.verdict in ("alert", "not_measured")]
    told = worth_reading if out.is_terminal and not with_time else []
    page(rows, *(Text(f"{m.monitor}: {m.message}") for m in told))


def _plot(measurements: Sequence[Measurement], releases: Sequence[Move]) -> None:
    """One line a measurement: ● its value, ─ its 95 % interval, │ the limit that it had.

    Between them, where another bundle came into production, a line with its name.
    """
    marks = [mark for measurement in measurements for mark in _marks(measurement)]
    low, high = min(marks), max(marks)
    rows = table("when", "value", f"{low:.3g}".ljust(_PLOT_WIDTH - 8) + f"{high:>8.3g}", "n", "")
    to_come = list(releases)
    for measurement in measurements:
        while to_come and to_come[0].at > measurement.time:
            _mark(rows, to_come.pop(0))
        rows.add_row(
            f"{measurement.time:%Y-%m-%d %H:%M}",
            "–" if measurement.value is None else f"{measurement.value:.3g}",
            Text(_line(measurement, low, high), style=_COLOURS.get(measurement.verdict, "yellow")),
            str(measurement.n),
            _verdict(measurement),
        )
    page(rows)
    out.print("● value   ─ 95 % interval   │ limit   ▲ release", style="dim")


def _mark(rows: Rows, release: Move) -> None:
    from tuneloop.hashing import short

    live = f"{short(release.to_bundle)} goes live" if release.to_bundle else "nothing is live"
    rows.add_row(f"{release.at:%Y-%m-%d %H:%M}", "", Text(f"▲ {live}", style="bold"))


def _line(measurement: Measurement, low: float, high: float) -> str:
    def at(value: float) -> int:
        return round((value - low) / ((high - low) or 1.0) * (_PLOT_WIDTH - 1))

    line = [" "] * _PLOT_WIDTH
    if measurement.low is not None and measurement.high is not None:
        line[at(measurement.low) : at(measurement.high) + 1] = "─" * (
            at(measurement.high) + 1 - at(measurement.low)
        )
    if measurement.limit is not None:
        line[at(measurement.limit.threshold)] = "│"
    if measurement.value is not None:
        line[at(measurement.value)] = "●"
    return "".join(line)


def _marks(measurement: Measurement) -> list[float]:
    """All that a measurement's line of the plot shows."""
    shown = (
        measurement.value,
        measurement.low,
        measurement.high,
        measurement.limit.threshold if measurement.limit else None,
    )
    return [mark for mark in shown if mark is not None]


def _not_seen(applies: bool) -> Text:
    return Text("not measured yet" if applies else "not for this task", style="dim")


def _verdict(measurement: Measurement) -> Text:
    return Text(
        measurement.verdict.replace("_", " "), style=_COLOURS.get(measurement.verdict, "yellow")
    )
