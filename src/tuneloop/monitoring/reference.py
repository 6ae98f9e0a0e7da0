"""Which earlier windows say what is usual for a window: pure rules.

A reference begins with the first window of a bundle that had enough data, or with the one that a
person called normal; another bundle begins its own. From there on come the windows without an alert
that hold different traffic, the oldest first; `Baseline.pooled` takes as many as it needs.

A window that is shorter than a week may hold a Sunday, or a night. It is compared with windows of
the same weekday and hour where there are three weeks of them, else of the same hour where there are
three days. Those would never come to be where each Sunday alerts against the days before it; so a
window with an alert counts for its season if others around it had none, as they would have had if
something had changed for good, and if those of its season agree (Cochran's Q; 1954, Biometrics 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.window import Window

Season = Literal["week", "day"]
PERIODS: tuple[tuple[Season, timedelta], ...] = (
    ("week", timedelta(days=7)),
    ("day", timedelta(days=1)),
)
FEWEST_OF_A_SEASON = 3
AGREE = 0.01
"""Windows of a season agree unless they would differ so much with a smaller chance than this."""
_SOME = 0.1
"""Of the windows around one, without an alert; a night is a sixth of a day."""
_NEAR = 0.25
"""Windows that begin apart by less than this share of their length are of the same season."""


def reference(
    history: Sequence[Measurement], window: Window, *, accepted: datetime | None = None
) -> tuple[list[Measurement], Season | None]:
    """The windows that one may be compared with, the oldest first; and their season, if of one.

    `history`: judged measurements of the monitor, bundle and endpoint that end before the window
    does, the oldest first; `accepted`: the end of the window that a person called normal.
    """
    since = _from_the_start(history, accepted)
    if not since:
        return [], None
    usable = [one for one in since if one.window_end <= window.start]
    for season, period in PERIODS:
        if window.end - window.start < period:
            same = [one for one in usable if _in_phase(one.window_start, window.start, period, one)]
            of_it = _of_a_season(same, usable, period)
            if len(of_it) >= FEWEST_OF_A_SEASON:
                return of_it, season
    quiet = [one for one in since if one.verdict == "ok" or one is since[0]]
    # The first one may share traffic with the window while there is no other.
    return _apart([one for one in quiet if one.window_end <= window.start]) or quiet[:1], None


def _from_the_start(history: Sequence[Measurement], accepted: datetime | None) -> list[Measurement]:
    """From the window on that the reference begins with; none where there is none yet."""
    if accepted is not None:
        return [one for one in history if one.window_end >= accepted]
    quiet = [at for at, one in enumerate(history) if one.verdict == "ok"]
    if not quiet:
        return []
    began = [at for at in quiet if history[at].detail.get("becomes_baseline")]
    return list(history[began[-1] if began else quiet[0] :])


def _apart(windows: Sequence[Measurement]) -> list[Measurement]:
    """Those that share no traffic with each other, from the first one on."""
    kept: list[Measurement] = []
    for one in windows:
        if not kept or one.window_start >= kept[-1].window_end:
            kept.append(one)
    return kept


def _in_phase(start: datetime, other: datetime, period: timedelta, one: Measurement) -> bool:
    length = one.window_end - one.window_start
    off = (other - start) % period
    return min(off, period - off) <= _NEAR * length


def _of_a_season(
    same: Sequence[Measurement], usable: Sequence[Measurement], period: timedelta
) -> list[Measurement]:
    quiet = [one for one in same if one.verdict == "ok"]
    known = _apart(
        [one for one in same if one.verdict == "ok" or _comes_and_goes(one, usable, period)]
    )
    if len(known) > len(quiet) and _agree(known):
        return known
    return _apart(quiet)


def _comes_and_goes(one: Measurement, usable: Sequence[Measurement], period: timedelta) -> bool:
    """Whether some windows around it, half a period to either side, had no alert."""
    around = [
        other
        for other in usable
        if abs(other.window_start - one.window_start) <= period / 2
        and not _in_phase(other.window_start, one.window_start, period, one)
    ]
    quiet = sum(other.verdict == "ok" for other in around)
    return quiet > _SOME * len(around)


def _agree(windows: Sequence[Measurement]) -> bool:
    from scipy.stats import chi2

    known = [
        (one.value, (one.high - one.low) / 2 / 1.96)
        for one in windows
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if len(known) < 2 or min(error for _, error in known) <= 0:
        return len({value for value, _ in known}) <= 1
    weights = [1 / error**2 for _, error in known]
    mean = sum(w * value for w, (value, _) in zip(weights, known, strict=True)) / sum(weights)
    apart = sum(w * (value - mean) ** 2 for w, (value, _) in zip(weights, known, strict=True))
    return float(chi2.sf(apart, len(known) - 1)) >= AGREE
