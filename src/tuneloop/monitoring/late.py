"""What people say comes late: how long they take, and the answers that have had that long.

A figure of what was said of answers stands on answers that people had the time to speak of. Younger
ones would look better than they are where silence counts as praise, and elsewhere the first to
speak are not like the rest. So the window of such a figure ends as long ago as people take, and
what they said up to now of the answers in it counts: later windows have the younger answers, whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

from tuneloop.errors import ExtensionError
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors.table import Monitor
from tuneloop.monitoring.watched import Watched
from tuneloop.monitoring.window import Window
from tuneloop.storage import captured
from tuneloop.storage.traffic import Traffic

SAID_SHARE = 0.9
"""Of what is said of answers, how much has been said once the wait is over."""
LEAST = 10
"""Fewer of what people said tell nothing of how long they take."""
_WINDOWS_BACK = 4
_HOUR = timedelta(hours=1)

Monitors = Mapping[str, Monitor | ExtensionError]


def by_window(watched: Watched, table: Monitors) -> Iterator[tuple[Watched, Monitors]]:
    """The monitors by the window that they look at: the shortest wait first.

    Raises:
        StoreError: the feedback cannot be read.
    """
    waits: dict[timedelta, dict[str, Monitor | ExtensionError]] = {timedelta(0): {}}
    for name, monitor in table.items():
        wait = timedelta(0)
        if isinstance(monitor, Monitor) and monitor.tally.waits_for:
            wait = _wait(watched, monitor)
        waits.setdefault(wait, {})[name] = monitor
    for wait, part in sorted(waits.items(), key=lambda pair: pair[0]):
        if part:
            yield replace(watched, window=earlier(watched.window, wait)), part


def _wait(watched: Watched, monitor: Monitor) -> timedelta:
    declared = monitor.tally.wait_days(watched.settings)
    if declared is not None:
        return timedelta(days=declared)
    return usual_wait(watched.workspace.traffic, watched.window, monitor.tally.waits_for)


def earlier(window: Window, wait: timedelta) -> Window:
    """The same length of time, so long before; all that was said up to the window's end counts."""
    if not wait:
        return window
    return replace(window, start=window.start - wait, end=window.end - wait, waited=wait)


def usual_wait(traffic: Traffic, window: Window, kinds: tuple[str, ...]) -> timedelta:
    """Within which nine of ten said these kinds of things, in whole hours, at most a window.

    Of what came in the last four windows: chosen by when it came, not by when it was asked, else
    those who took long would be missing among the young answers. An interaction's id tells when it
    was asked.

    Raises:
        StoreError: the feedback cannot be read.
    """
    import polars as pl

    length = window.end - window.start
    asked = pl.col("interaction").str.slice(0, 12).str.to_integer(base=16, strict=False)
    delay = pl.col("time").dt.epoch("ms") - asked
    said = captured.feedback(
        traffic, *kinds, since=window.end - _WINDOWS_BACK * length, until=window.end
    )
    found = (
        said.filter(pl.col("endpoint").fill_null(window.endpoint) == window.endpoint)
        .select(delay.alias("delay"))
        .filter(pl.col("delay").is_between(0, 366 * 86_400_000))
        .select(pl.len(), pl.col("delay").quantile(SAID_SHARE, "higher").alias("most"))
        .collect(engine="streaming")
        .row(0, named=True)
    )
    if found["len"] < LEAST:
        return timedelta(0)
    return min(timedelta(milliseconds=found["most"]) // _HOUR * _HOUR, length)


def told(measurement: Measurement, window: Window) -> Measurement:
    """The measurement, with how long its answers were waited for."""
    if not window.waited:
        return measurement
    hours = window.waited / _HOUR
    return replace(
        measurement,
        message=f"{measurement.message}; of answers that are at least {hours:g} hours old, as "
        "people take that long",
        detail={**measurement.detail, "waited_hours": hours},
    )
