"""One value of one monitor, and the rule that turns it into a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tuneloop.intervals import Figure
from tuneloop.monitoring.bounds import bounds
from tuneloop.monitoring.window import Window

LimitVerdict = Literal["ok", "alert", "not_enough_data", "not_measured"]
Unit = Literal["share", "ms", "tokens", "words", "nats", "score", "psi", "number"]

HYSTERESIS_SHARE = 0.1
"""How far back from its threshold a value must be before its alert resolves, as a share of the
room between the threshold and the best value: a value that hovers there does not flap."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a monitor alerts on; the threshold itself is still good."""

    threshold: float
    unit: Unit
    side: Literal["above", "below"]
    """The bad side."""
    best: float | None = None
    """The value to come back to, such as a baseline; None: 0, or 1 where `side` is below."""

    def crossed(self, value: float) -> bool:
        """Whether the value is on the bad side."""
        return value > self.threshold if self.side == "above" else value < self.threshold

    def relation(self, value: float) -> str:
        """On which side of the limit a value is, for people."""
        if value == self.threshold:
            return "just at the limit of"
        return f"{'above' if value > self.threshold else 'below'} the limit of"

    def cleared(self, value: float) -> bool:
        """Whether the value is far enough on the good side for an alert to resolve."""
        best = self.best
        if best is None:
            best = 0.0 if self.side == "above" else 1.0
        back = self.threshold + HYSTERESIS_SHARE * (best - self.threshold)
        return value <= back if self.side == "above" else value >= back


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a monitor saw in one window."""

    monitor: str
    window_start: datetime
    window_end: datetime
    value: float | None
    """None when there was nothing to measure."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end of the 95 % interval."""
    n: int
    """Cases behind the value."""
    verdict: LimitVerdict
    message: str
    """One sentence for people, with every number that the verdict stands on."""
    limit: Limit | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What helps to understand the value; JSON."""
    bundle: str | None = None
    """What answered in the window; None where it is about no bundle."""

    @property
    def time(self) -> datetime:
        """The moment that it speaks for: the end of its window."""
        return self.window_end

    @property
    def cleared(self) -> bool:
        """Whether an open alert of this monitor may resolve now."""
        return self.verdict == "ok" and (
            self.limit is None or self.value is None or self.limit.cleared(self.value)
        )


def against_limit(
    monitor: str,
    window: Window,
    figure: Figure | None,
    *,
    what: str,
    limit: Limit,
    minimum: int,
    sampled: bool = True,
    detail: Mapping[str, Any] | None = None,
) -> Measurement:
    """The verdict on a figure against a limit: below `minimum` cases it is never an alert.

    It alerts when the bound of the figure at the window's level is beyond the limit; a crossing
    that may be chance is told and alerts nobody. `what` names the figure in the message, such as
    "answers in the declared form". `sampled`: whether other cases could have come; where the same
    ones are asked again and again there is no chance in which they are, and the point decides.
    """
    if figure is None or figure.n < minimum:
        return not_enough_data(monitor, window, figure, minimum=minimum, limit=limit, detail=detail)
    message = (
        f"{what}: {tell(figure, limit.unit)}, {limit.relation(figure.value)} "
        f"{show(limit.threshold, limit.unit)}"
    )
    evident = limit.crossed(figure.value)
    if evident and sampled:
        low, high = bounds(figure, window.level, unit=limit.unit)
        evident = limit.crossed(low if limit.side == "above" else high)
        if not evident:
            message += f"; it may be chance{chance_told(window.level)}"
    elif figure.low <= limit.threshold <= figure.high:
        message += "; the interval includes the limit, so more data may change this"
    return measured(
        monitor,
        window,
        figure,
        verdict="alert" if evident else "ok",
        message=message,
        limit=limit,
        detail=detail,
    )


def chance_told(level: float) -> str:
    """Why a crossing alerts nobody, for people."""
    return f", which alerts nobody (it happens in more than 1 of {1 / level:,.0f} windows)"


def not_enough_data(
    monitor: str,
    window: Window,
    figure: Figure | None,
    *,
    minimum: int,
    limit: Limit | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Measurement:
    """What a small sample says, without a verdict on it."""
    n = 0 if figure is None else figure.n
    return measured(
        monitor,
        window,
        figure,
        verdict="not_enough_data",
        message=f"not enough data: {n} of the {minimum} cases that it takes",
        limit=limit,
        detail=detail,
    )


def not_measured(monitor: str, window: Window, reason: str) -> Measurement:
    """A monitor that could not run, and why: no verdict on the model."""
    message = f"not measured: {reason}"
    return measured(monitor, window, None, verdict="not_measured", message=message)


def measured(
    monitor: str,
    window: Window,
    figure: Figure | None,
    *,
    verdict: LimitVerdict,
    message: str,
    limit: Limit | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Measurement:
    """A measurement of a figure, which is None when there was nothing to measure."""
    return Measurement(
        monitor=monitor,
        window_start=window.start,
        window_end=window.end,
        value=None if figure is None else figure.value,
        low=None if figure is None else figure.low,
        high=None if figure is None else figure.high,
        n=0 if figure is None else figure.n,
        verdict=verdict,
        message=message,
        limit=limit,
        detail=detail or {},
        bundle=window.bundle,
    )


def tell(figure: Figure, unit: Unit) -> str:
    """A figure for people: value, interval, sample size."""
    return (
        f"{show(figure.value, unit)} "
        f"(95 % interval {show(figure.low, unit)} to {show(figure.high, unit)}, n = {figure.n})"
    )


def show(value: float, unit: Unit) -> str:
    """A value for people, with its unit."""
    match unit:
        case "share":
            return f"{100 * value:.1f} %"
        case "ms":
            return f"{value:.0f} ms"
        case "nats":
            return f"{value:.3f} nats"
        case "score" | "psi":
            return f"{value:.3f}"
        case "number":
            return f"{value:.4g}"
    return f"{value:.1f} {unit}"
