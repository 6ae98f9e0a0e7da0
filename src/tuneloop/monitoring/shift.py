"""Whether a figure has moved from its baseline, by more than a margin and by more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tuneloop.intervals import Figure
from tuneloop.monitoring.measurement import (
    Limit,
    Measurement,
    Unit,
    measured,
    not_enough_data,
    show,
    tell,
)
from tuneloop.monitoring.window import Window


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a figure is compared with."""

    value: float
    low: float
    high: float
    source: str
    """Where it comes from, for the message."""


Released = Callable[[str], Baseline | None]
"""What the release evaluation measured by a metric, in the main suite; None: not this one."""


@dataclass(frozen=True, kw_only=True)
class Margin:
    """A distance from the baseline that does not matter yet."""

    distance: float
    """In the figure's unit, or as a share of the baseline."""
    relative: bool = False
    side: Literal["above", "below", "either"] = "either"

    def limit(self, value: float, baseline: float, unit: Unit) -> Limit:
        """The limit on the side to which the value moved, or on the only bad side."""
        side = self.side
        if side == "either":
            side = "above" if value >= baseline else "below"
        distance = self.distance * (abs(baseline) if self.relative else 1)
        threshold = baseline + distance if side == "above" else baseline - distance
        return Limit(threshold=threshold, unit=unit, side=side, best=baseline)


def difference(figure: Figure, baseline: Baseline) -> Figure:
    """Figure minus baseline, with the interval that the intervals of the two make.

    Method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27; for
    shares it is Newcombe's 1998 method 10).
    """
    value = figure.value - baseline.value
    low = math.hypot(figure.value - figure.low, baseline.high - baseline.value)
    high = math.hypot(figure.high - figure.value, baseline.value - baseline.low)
    return Figure(value=value, low=value - low, high=value + high, n=figure.n)


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
    zero: however many rows there are, a difference that does not matter is none. Without a baseline
    the figure is only told; with enough data it becomes the baseline.
    """
    if figure is None or figure.n < minimum:
        return not_enough_data(monitor, window, figure, minimum=minimum, detail=detail)
    if baseline is None:
        return measured(
            monitor,
            window,
            figure,
            verdict="ok",
            message=f"{what}: {tell(figure, unit)}; the first window with enough data: "
            "later ones are compared with it",
            detail={**(detail or {}), "becomes_baseline": True},
        )
    limit = margin.limit(figure.value, baseline.value, unit)
    moved = difference(figure, baseline)
    by_chance = moved.low <= 0 <= moved.high
    message = (
        f"{what}: {tell(figure, unit)}, baseline {show(baseline.value, unit)} "
        f"({baseline.source}), {limit.relation(figure.value)} {show(limit.threshold, unit)}"
    )
    if limit.crossed(figure.value) and by_chance:
        message += "; the difference may be chance, its interval includes zero"
    return measured(
        monitor,
        window,
        figure,
        verdict="alert" if limit.crossed(figure.value) and not by_chance else "ok",
        message=message,
        limit=limit,
        detail={
            **(detail or {}),
            "baseline": [baseline.value, baseline.low, baseline.high],
            "baseline_source": baseline.source,
            "difference": [moved.value, moved.low, moved.high],
        },
    )
