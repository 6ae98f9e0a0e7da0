"""What is usual: which windows a baseline is made of, and when it is known well enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from monitoring_data import END
from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.acceptance import Accepted
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.pooling import pool
from tuneloop.monitoring.reference import reference
from tuneloop.monitoring.shift import Margin, assess_shift
from tuneloop.monitoring.watched import baseline_of
from tuneloop.monitoring.window import Window

MARGIN = Margin(distance=0.05)
LENGTHS = Margin(distance=0.25, relative=True)
LEVEL = 2e-4
DAY = timedelta(days=1)


def window(end: datetime, days: float = 7) -> Window:
    start = end - timedelta(days=days)
    return Window(endpoint="desk", bundle="b" * 64, start=start, end=end, level=LEVEL)


def judge(
    figure: Figure,
    history: Sequence[Measurement],
    at: Window,
    accepted: Accepted | None = None,
    margin: Margin = MARGIN,
) -> Measurement:
    before = [one for one in history if one.window_end < at.end]
    return assess_shift(
        "refusals",
        at,
        figure,
        what="refused",
        unit="share" if margin is MARGIN else "tokens",
        baseline=baseline_of(before, at, accepted),
        margin=margin,
        minimum=30,
    )


def weeks(*shares: tuple[int, int]) -> list[Measurement]:
    """A window a week, each judged against those before it."""
    history: list[Measurement] = []
    for number, (hits, n) in enumerate(shares):
        at = window(END + 7 * number * DAY)
        history.append(judge(intervals.share(hits, n), history, at))
    return history


def test_a_baseline_takes_windows_until_it_is_narrow_against_the_margin() -> None:
    few = weeks(*[(3, 40)] * 4)
    found = few[-1]
    assert found.detail["baseline_windows"] == 3
    assert not found.detail["baseline_settled"]
    assert "its first 3 windows with enough data, until 2026-12-07" in found.message
    many = weeks(*[(3, 40)] * 14)[-1]
    assert many.detail["baseline_settled"]
    # The smallest number of windows whose interval is within half the margin of 5 points.
    taken = many.detail["baseline_windows"]
    assert 3 < taken < 13
    for windows, narrow in ((taken - 1, False), (taken, True)):
        figure = intervals.share(3 * windows, 40 * windows)
        assert ((figure.high - figure.low) / 2 <= 0.025) == narrow


def test_what_changes_slowly_later_does_not_draw_the_baseline_along() -> None:
    """Half a point more each week: none of the steps is an alert, all of them are."""
    creeping = weeks(*[(50, 1_000)] * 4, *[(50 + 5 * week, 1_000) for week in range(30)])
    assert creeping[-1].detail["baseline"][0] == pytest.approx(0.05)
    assert creeping[-1].verdict == "alert"


def test_after_none_of_thirty_a_thousand_of_ten_thousand_are_not_usual_for_ever() -> None:
    found = weeks((0, 30), (0, 400), (1, 500), (0, 450), (1_000, 10_000))
    assert [one.verdict for one in found] == ["ok"] * 4 + ["alert"]


def test_a_few_test_messages_give_way_to_the_traffic_itself() -> None:
    rng = np.random.default_rng(1)
    tests = [(30, 40)]
    found = weeks(*tests, *[(int(rng.binomial(2_000, 0.1)), 2_000) for _ in range(31)])
    assert "takes its place" in found[1].message
    assert {one.verdict for one in found} == {"ok"}
    # Nor does a window alert that holds the test messages too.
    day_after = judge(intervals.share(60, 300), found[:1], window(END + DAY))
    assert day_after.verdict == "ok"
    assert "too small to alert on it (n = 40)" in day_after.message
    # A window of about as many requests is no better a baseline: it is a change.
    assert weeks((3, 40), (36, 45))[-1].verdict == "alert"


def test_windows_that_share_traffic_count_once_and_none_with_the_one_that_is_judged() -> None:
    history: list[Measurement] = []
    for day in range(30):
        history.append(judge(intervals.share(30, 300), history, window(END + day * DAY)))
    taken, season = reference(history[:-1], window(END + 29 * DAY))
    assert season is None
    ends = [(one.window_end - END).days for one in taken]
    assert ends == [0, 7, 14, 21]
    # Until there is one before it, the first window stands though it shares traffic.
    assert reference(history[:3], window(END + 3 * DAY))[0] == history[:1]


def test_an_alert_is_no_part_of_what_is_usual() -> None:
    found = weeks(*[(10, 300)] * 4, (150, 300), *[(10, 300)] * 6)
    assert found[4].verdict == "alert"
    assert found[-1].detail["baseline"][0] == pytest.approx(1 / 30)


def test_what_a_person_called_normal_is_the_beginning_of_another_baseline() -> None:
    before = weeks(*[(10, 300)] * 4, (60, 300))
    assert before[-1].verdict == "alert"
    said = Accepted(
        id=1,
        bundle="b" * 64,
        endpoint="desk",
        monitor="refusals",
        window_end=before[-1].window_end,
        value=0.2,
        low=0.1,
        high=0.3,
        n=300,
        actor="ana",
        reason="we refuse orders now",
        at=before[-1].window_end,
        withdrawn_by=None,
        withdrawn_at=None,
    )
    later = window(END + 35 * DAY)
    assert judge(intervals.share(60, 300), before, later).verdict == "alert"
    found = judge(intervals.share(60, 300), before, later, said)
    assert found.verdict == "ok"
    assert "called normal" in found.message and "ana" in found.message
    assert judge(intervals.share(150, 300), before, later, said).verdict == "alert"


def days_of(values: Sequence[float], *, sd: float = 10.0) -> list[Measurement]:
    """A window of 400 answers a day, with these mean lengths."""
    history: list[Measurement] = []
    for number, value in enumerate(values):
        figure = Figure(value=value, low=value - sd / 10, high=value + sd / 10, n=400)
        at = window(END + number * DAY, days=1)
        history.append(judge(figure, history, at, margin=LENGTHS))
    return history


def test_sundays_are_compared_with_sundays_where_there_are_weeks_of_them() -> None:
    """On Sundays answers are twice as long: an alert at first, and what is usual after weeks."""
    lengths = [100.0 + day % 3 if day % 7 != 6 else 200.0 for day in range(49)]
    sundays = days_of(lengths)[6::7]
    assert [one.verdict for one in sundays] == ["alert"] * 3 + ["ok"] * 4
    assert "at this time of the week" in sundays[-1].message
    assert {one.verdict for one in days_of(lengths)[:6]} == {"ok"}
    # A Sunday as long as a Monday is then as unusual as a long Monday.
    usual = days_of([*lengths[:-1], 100.0])[-1]
    assert usual.verdict == "alert"


def test_a_change_that_stays_does_not_become_a_season() -> None:
    changed = days_of([100.0 + day % 3 for day in range(10)] + [200.0] * 60)
    assert {one.verdict for one in changed[10:]} == {"alert"}


def test_hours_are_compared_with_the_same_hours() -> None:
    history: list[Measurement] = []
    for hour in range(24 * 8):
        value = 300.0 if hour % 24 < 4 else 100.0 + hour % 3
        figure = Figure(value=value, low=value - 1, high=value + 1, n=400)
        at = window(END + timedelta(hours=hour), days=1 / 24)
        history.append(judge(figure, history, at, margin=LENGTHS))
    last = history[-24:]
    assert {one.verdict for one in last} == {"ok"}
    assert "at this time of the day" in last[0].message


def test_a_pool_is_as_sure_as_all_of_its_cases() -> None:
    parts = [intervals.share(k, 200) for k in (10, 14, 12)]
    whole = intervals.share(36, 600)
    found = pool(parts, unit="share").figure
    assert (found.value, found.low, found.high) == pytest.approx(
        (whole.value, whole.low, whole.high)
    )


def test_windows_that_differ_more_than_by_chance_widen_what_is_usual() -> None:
    rng = np.random.default_rng(5)
    alike = [Figure(value=v, low=v - 2, high=v + 2, n=100) for v in rng.normal(100, 1, 8)]
    apart = [
        replace(one, value=v, low=v - 2, high=v + 2)
        for one, v in zip(alike, rng.normal(100, 10, 8), strict=True)
    ]
    assert pool(alike, unit="tokens").spread < 1
    assert 5 < pool(apart, unit="tokens").spread < 20
