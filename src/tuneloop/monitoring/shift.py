"""Whether a figure has moved from its baseline, by more than a margin and by more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring.bounds import bounds
from tuneloop.monitoring.false_alarms import LEAST_SURE
from tuneloop.monitoring.measurement import (
    Limit,
    Measurement,
    Unit,
    chance_told,
    measured,
    not_enough_data,
    show,
    tell,
)
from tuneloop.monitoring.pooling import SPREAD_FROM, pool
from tuneloop.monitoring.window import Window

NARROW = 0.5
"""A baseline is known well enough when half its 95 % interval is at most so much of the margin."""
SMALL, OUTGROWN = 100, 1.5
"""A baseline of fewer cases gives way to a window that shares no traffic with it, that differs and
that has so many times as many."""
_WINDOWS = "{windows}"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a figure is compared with."""

    value: float
    low: float
    high: float
    source: str
    """Where it comes from, for the message; `{windows}` stands for how many windows it took."""
    n: int | None = None
    """Cases behind it; None: not known."""
    spread: float = 0.0
    """How much windows differ though nothing changed: a standard deviation, in its unit."""
    windows: int = 1
    """Windows that it was pooled of."""
    settled: bool = True
    """False: it is not known well enough yet, and further windows are added to it."""
    until: datetime | None = None
    """End of the last window that it was pooled of; None: it is no window's."""
    accepted: bool = False
    """Whether a person said that it is normal."""
    candidates: Sequence[Measurement] = ()
    """Windows that it may be pooled of, the oldest first; then the figures above are the first's.
    """

    def pooled(self, margin: Margin, unit: Unit) -> Baseline:
        """The baseline of as many of its windows as it takes, from the first one on.

        It takes `SPREAD_FROM` windows, and more until it is narrow against the margin (`NARROW`).
        So it is not drawn along by what changes slowly later.
        """
        figures = [_figure_of(window) for window in self.candidates]
        if not figures:
            return self
        for count in range(min(SPREAD_FROM, len(figures)), len(figures) + 1):
            found = pool(figures[:count], unit=unit)
            half = (found.figure.high - found.figure.low) / 2
            settled = count >= SPREAD_FROM and half <= NARROW * margin.width(found.figure.value)
            if settled:
                break
        told = "window" if count == 1 else f"{count} windows"
        until = self.candidates[count - 1].window_end
        return replace(
            self,
            value=found.figure.value,
            low=found.figure.low,
            high=found.figure.high,
            n=found.figure.n,
            spread=found.spread,
            windows=count,
            settled=settled,
            until=until,
            candidates=(),
            source=f"{self.source.replace(_WINDOWS, told, 1)}, until {until:%Y-%m-%d %H:%M}",
        )

    @property
    def small(self) -> bool:
        """Whether it says little about what is usual, however sure it is: it may be of a few test
        messages before the start."""
        known = self.until is None or self.settled or self.accepted
        return not known and (self.n or SMALL) < SMALL


Released = Callable[[str], Baseline | None]
"""What the release evaluation measured by a metric, in the main suite; None: not this one."""


@dataclass(frozen=True, kw_only=True)
class Margin:
    """A distance from the baseline that does not matter yet."""

    distance: float
    """In the figure's unit, or as a share of the baseline."""
    relative: bool = False
    side: Literal["above", "below", "either"] = "either"

    def width(self, baseline: float) -> float:
        """The distance in the figure's unit."""
        return self.distance * (abs(baseline) if self.relative else 1)

    def limit(self, value: float, baseline: float, unit: Unit) -> Limit:
        """The limit on the side to which the value moved, or on the only bad side."""
        side = self.side
        if side == "either":
            side = "above" if value >= baseline else "below"
        distance = self.width(baseline)
        threshold = baseline + distance if side == "above" else baseline - distance
        return Limit(threshold=threshold, unit=unit, side=side, best=baseline)


def latency_margin(settings: MonitorSettings) -> Margin:
    """By how much answers may be slower than the baseline."""
    return Margin(distance=settings.latency_above_baseline - 1, relative=True, side="above")


def difference(
    figure: Figure, baseline: Baseline, *, unit: Unit, level: float | None = None
) -> Figure:
    """Figure minus baseline, with the interval that the intervals of the two make.

    Method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27; for
    shares it is Newcombe's 1998 method 10), to which the spread of windows is added. `level`: the
    chance of error on each side; None: of the 95 % interval that people are told.
    """
    then = Figure(value=baseline.value, low=baseline.low, high=baseline.high, n=baseline.n or _MANY)
    low, high = figure.low, figure.high
    low_then, high_then = baseline.low, baseline.high
    if level is not None:
        low, high = bounds(figure, level, unit=unit)
        low_then, high_then = bounds(then, level, unit=unit)
    z = intervals.two_sided_z(1 - 2 * (LEAST_SURE if level is None else level))
    usual = z * baseline.spread * math.sqrt(1 + 1 / baseline.windows)
    value = figure.value - baseline.value
    below = math.hypot(figure.value - low, high_then - baseline.value, usual)
    above = math.hypot(high - figure.value, baseline.value - low_then, usual)
    return Figure(value=value, low=value - below, high=value + above, n=figure.n)


def assess_shift(
    monitor: str,
    window: Window,
    figure: Figure | None,
    *,
    what: str,
    unit: Unit,
    baseline: Baseline | None,
    margin: Margin,
    minimum: int,
    detail: Mapping[str, Any] | None = None,
) -> Measurement:
    """The verdict on a figure against its baseline.

    It alerts when the figure is beyond the margin *and* the interval of the difference leaves out
    zero, at the window's level: however many rows there are, a difference that does not matter is
    none, and one that may be chance alerts nobody. Without a baseline the figure is only told; with
    enough data it becomes the baseline.
    """
    if figure is None or figure.n < minimum:
        return not_enough_data(monitor, window, figure, minimum=minimum, detail=detail)
    known = None if baseline is None else baseline.pooled(margin, unit)
    found = "moved" if known is None else _standing(figure, known, window, margin, unit)
    if known is None or found == "outgrown":
        return _becomes_baseline(monitor, window, figure, what, unit, known, detail)
    limit, moved = (
        margin.limit(figure.value, known.value, unit),
        difference(figure, known, unit=unit),
    )
    note = ""
    if found == "chance":
        note = f"; the difference may be chance{chance_told(window.level)}"
    elif found == "too small":
        note = f"; the baseline is too small to alert on it (n = {known.n})"
    return measured(
        monitor,
        window,
        figure,
        verdict="alert" if found == "moved" else "ok",
        message=f"{what}: {tell(figure, unit)}, baseline {show(known.value, unit)} "
        f"({known.source}), {limit.relation(figure.value)} {show(limit.threshold, unit)}{note}",
        limit=limit,
        detail={
            **(detail or {}),
            "baseline": [known.value, known.low, known.high],
            "baseline_source": known.source,
            "baseline_windows": known.windows if known.until else None,
            "baseline_settled": known.settled,
            "baseline_spread": known.spread,
            "difference": [moved.value, moved.low, moved.high],
        },
    )


def _standing(
    figure: Figure, baseline: Baseline, window: Window, margin: Margin, unit: Unit
) -> Literal["within", "chance", "too small", "outgrown", "moved"]:
    """How a window stands to its baseline; the last one is an alert."""
    limit = margin.limit(figure.value, baseline.value, unit)
    if not limit.crossed(figure.value):
        return "within"
    level = window.level / 2 if margin.side == "either" else window.level
    surely = difference(figure, baseline, unit=unit, level=level)
    if not (surely.low > 0 if limit.side == "above" else surely.high < 0):
        return "chance"
    if baseline.small and baseline.until is not None:
        if window.start < baseline.until:
            return "too small"
        if figure.n >= OUTGROWN * (baseline.n or SMALL):
            return "outgrown"
    return "moved"


_MANY = 1_000_000
"""Where it is not known how many cases a baseline has, its interval is taken for a normal one."""


def _becomes_baseline(
    monitor: str,
    window: Window,
    figure: Figure,
    what: str,
    unit: Unit,
    outgrown: Baseline | None,
    detail: Mapping[str, Any] | None,
) -> Measurement:
    why = "the first window with enough data"
    if outgrown is not None:
        why = f"it differs from what little there was before (n = {outgrown.n}) and takes its place"
    return measured(
        monitor,
        window,
        figure,
        verdict="ok",
        message=f"{what}: {tell(figure, unit)}; {why}: later ones are compared with it",
        detail={**(detail or {}), "becomes_baseline": True},
    )


def _figure_of(window: Measurement) -> Figure:
    assert window.value is not None and window.low is not None and window.high is not None
    return Figure(value=window.value, low=window.low, high=window.high, n=max(1, window.n))
