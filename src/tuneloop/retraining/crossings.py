"""When a crossing is evidence, and when evidence lasts: pure rules.

A monitor alerts on one window, so it must be surer of that one than a retraining, which needs
several. Its figure is evidence when the whole 95 % interval is on the bad side (for drift: when the
calibrated verdict is an alert), and it lasts when that is so in several windows in a row that hold
mostly different traffic. A seven-day window that is measured daily shares six days with the one
before: seven crossings in seven days are hardly more than one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta

from tuneloop import intervals
from tuneloop.monitoring.measurement import Measurement

Crosses = Callable[[Measurement], bool]
UNJUDGED = ("not_enough_data", "not_measured")
"""Verdicts that say nothing about the model."""


def wholly_beyond(measurement: Measurement) -> bool:
    """Whether the whole interval is on the bad side of the limit."""
    limit, low, high = measurement.limit, measurement.low, measurement.high
    if limit is None or low is None or high is None:
        return False
    return low > limit.threshold if limit.side == "above" else high < limit.threshold


def lasting(
    history: Sequence[Measurement], evidence: Crosses, *, maximum_overlap: float
) -> tuple[list[Measurement], Measurement | None]:
    """Windows of unbroken evidence up to now, newest first, that overlap at most so much.

    Every judged measurement in between must be evidence too; those without a verdict are passed
    over, but a gap as long as a window breaks the row. Also returns the oldest measurement of it.
    """
    counted: list[Measurement] = []
    oldest: Measurement | None = None
    for window in history:
        if window.verdict in UNJUDGED:
            continue
        if not evidence(window) or (oldest is not None and _gap(window, oldest) > length(window)):
            break
        oldest = window
        if not counted or _overlap(window, counted[-1]) <= maximum_overlap:
            counted.append(window)
    return counted, oldest


def cases_needed(value: float, threshold: float) -> int | None:
    """Cases from which a share like this has its Wilson interval clear of the threshold.

    Wilson's interval is the score test turned round, so n > z² t (1 - t) / (p - t)²; None: the
    share is at the threshold, and no number of cases tells it from that.
    """
    if value == threshold:
        return None
    z = intervals.two_sided_z(intervals.CONFIDENCE)
    return math.ceil(z * z * threshold * (1 - threshold) / (value - threshold) ** 2)


def length(one: Measurement) -> timedelta:
    """Of its window."""
    return one.window_end - one.window_start


def _overlap(window: Measurement, other: Measurement) -> float:
    """Shared time, as a share of the shorter window."""
    shared = min(window.window_end, other.window_end) - max(window.window_start, other.window_start)
    shorter = min(length(window), length(other))
    return max(shared / shorter, 0.0) if shorter else 0.0


def _gap(older: Measurement, newer: Measurement) -> timedelta:
    return newer.window_start - older.window_end
