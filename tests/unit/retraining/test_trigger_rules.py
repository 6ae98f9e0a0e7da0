"""What the rules find in measurements: evidence, noise, and how often noise passes for evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from tuneloop import intervals
from tuneloop.modelfile import TriggerSettings
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit
from tuneloop.monitoring.window import Window
from tuneloop.retraining import crossings, trigger_rules
from tuneloop.retraining.trigger_rules import Finding

START = datetime(2026, 3, 2, tzinfo=UTC)
EDITS = Limit(threshold=0.15, unit="share", side="above")
RULES = TriggerSettings()


def window(end_day: float, days: float = 7) -> Window:
    end = START + timedelta(days=end_day)
    return Window(endpoint="desk", bundle="b", start=end - timedelta(days=days), end=end)


share = cache(intervals.share)


def measure(
    end_day: float,
    edited: int,
    n: int,
    *,
    monitor: str = "edit_rate",
    limit: Limit = EDITS,
    minimum: int = 30,
    **detail: Any,
) -> Measurement:
    return against_limit(
        monitor,
        window(end_day),
        share(edited, n) if n else None,
        what="answers that people changed",
        limit=limit,
        minimum=minimum,
        detail=detail,
    )


def find(rule: str, *oldest_first: Measurement, now_day: float | None = None) -> Finding:
    history = oldest_first[::-1]
    end = history[0].window_end if history else START
    now = end if now_day is None else START + timedelta(days=now_day)
    monitor = history[0].monitor if history else rule
    found = trigger_rules.of_measurements({monitor: history}, RULES, now=now)
    return next(one for one in found if one.rule == rule)


def test_a_point_over_the_limit_is_no_evidence() -> None:
    found = find("edit_rate", measure(7, 5, 31))
    assert found.state == "suspected"
    assert "edit rate 16.1 % (95 % interval 7.1 % to 32.6 %, n = 31)" in found.message
    assert "not evidence yet" in found.message
    assert "from n = 3,8" in found.needs
    assert found.earliest is not None and found.earliest > START + timedelta(days=7)


def test_evidence_in_one_window_does_not_last() -> None:
    found = find("edit_rate", measure(7, 50, 140), measure(8, 52, 140), measure(9, 55, 150))
    assert found.state == "suspected"
    assert "in 1 of the 2 windows in a row" in found.message and "not lasting yet" in found.message
    # The first evidence was on day 7; a window that shares a quarter with it ends 5.25 days later.
    assert found.earliest == START + timedelta(days=12.25)


def test_it_fires_at_the_date_that_was_told() -> None:
    days = [measure(day, 50, 140) for day in (7, 8, 9, 10, 11, 12, 12.25)]
    assert find("edit_rate", *days[:-1]).state == "suspected"
    found = find("edit_rate", *days)
    assert found.state == "fired"
    assert "wholly above the limit of 15.0 %, in 2 windows" in found.message
    assert [seen.end for seen in found.windows] == [
        START + timedelta(days=12.25),
        START + timedelta(days=7),
    ]


def test_a_good_day_in_between_breaks_the_row() -> None:
    days = [measure(day, 50 if day != 10 else 10, 140) for day in range(7, 15)]
    assert find("edit_rate", *days).state == "suspected"


def test_an_unsure_day_in_between_breaks_the_row_too() -> None:
    days = [measure(day, 50 if day != 10 else 24, 140) for day in range(7, 15)]
    assert "may be chance" in days[3].message
    assert find("edit_rate", *days).state == "suspected"


def test_days_without_enough_data_are_passed_over() -> None:
    days = [measure(day, 50, 140) if day != 10 else measure(day, 3, 6) for day in range(7, 15)]
    assert find("edit_rate", *days).state == "fired"


def test_evidence_from_long_before_does_not_count() -> None:
    assert find("edit_rate", measure(7, 50, 140), measure(22, 50, 140)).state == "suspected"


def test_low_accuracy_is_on_the_other_side() -> None:
    limit = Limit(threshold=0.88, unit="share", side="below")
    bad = [measure(day, 75, 100, monitor="accuracy", limit=limit) for day in (7, 14)]
    assert find("accuracy", *bad).state == "fired"
    unsure = [measure(day, 26, 30, monitor="accuracy", limit=limit) for day in (7, 14)]
    found = find("accuracy", *unsure)
    assert found.state == "suspected" and "86.7 %" in found.message
    good = [measure(day, 95, 100, monitor="accuracy", limit=limit) for day in (7, 14)]
    assert find("accuracy", *good).state == "quiet"


@pytest.mark.parametrize(
    ("history", "now_day", "says"),
    [
        ([], None, "not measured yet"),
        ([measure(7, 50, 140), measure(8, 2, 5)], None, "not enough data: 5 of the 30"),
        ([measure(7, 50, 140)], 22, "too long ago to say"),
    ],
)
def test_what_was_not_measured_is_unknown(
    history: list[Measurement], now_day: float | None, says: str
) -> None:
    found = find("edit_rate", *history, now_day=now_day)
    assert found.state == "unknown" and says in found.message


def novelty(end_day: float, with_new: int, words: Sequence[str]) -> Measurement:
    return measure(
        end_day,
        with_new,
        200,
        monitor="novelty",
        limit=Limit(threshold=0.5, unit="share", side="above"),
        with_new_words=with_new,
        new_words=[{"word": word, "prompts": 9} for word in words],
    )


def test_a_new_word_that_stays_is_a_change_of_vocabulary() -> None:
    found = find("vocabulary", novelty(7, 30, ["skerry"]), novelty(14, 40, ["skerry", "solar"]))
    assert found.state == "fired"
    assert "skerry, solar" in found.message and "20.0 %" in found.message


def test_other_words_every_week_are_no_change_of_vocabulary() -> None:
    found = find("vocabulary", novelty(7, 30, ["sunday"]), novelty(14, 40, ["parade"]))
    assert found.state == "suspected"


def test_a_few_prompts_with_a_new_word_are_no_change_of_vocabulary() -> None:
    found = find("vocabulary", novelty(7, 9, ["skerry"]), novelty(14, 9, ["skerry"]))
    assert found.state == "quiet"


def test_the_verdict_of_a_drift_monitor_is_evidence_when_it_lasts() -> None:
    def drift(day: float, alert: bool) -> Measurement:
        spot = window(day)
        return Measurement(
            monitor="embedding_drift",
            window_start=spot.start,
            window_end=spot.end,
            value=0.3,
            low=None,
            high=None,
            n=300,
            verdict="alert" if alert else "ok",
            message="PSI 0.300, n = 300, calibrated threshold 0.110",
        )

    assert find("embedding_drift", drift(7, True), drift(14, True)).state == "fired"
    once = find("embedding_drift", drift(7, False), drift(14, True))
    assert once.state == "suspected" and "PSI 0.300" in once.message
    assert find("embedding_drift", drift(7, True), drift(14, False)).state == "quiet"


@pytest.mark.parametrize(("value", "threshold"), [(0.16, 0.15), (0.2, 0.15), (0.8, 0.88)])
def test_cases_needed_is_where_the_interval_gets_clear(value: float, threshold: float) -> None:
    n = crossings.cases_needed(value, threshold)
    assert n is not None

    def clear(cases: int) -> bool:
        figure = wilson(value, cases)
        return figure[0] > threshold or figure[1] < threshold

    assert clear(n) and not clear(n - 1)
    assert crossings.cases_needed(threshold, threshold) is None


def wilson(p: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share that need not be a whole number of cases."""
    z = intervals.two_sided_z(0.95)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def month(rng: np.random.Generator, per_day: float, edit_rate: float) -> list[Measurement]:
    """28 daily measurements of seven days of traffic, the oldest first."""
    n = rng.poisson(per_day, 28)
    edited = rng.binomial(n, edit_rate)
    week = [slice(max(0, day - 6), day + 1) for day in range(28)]
    return [
        measure(day + 1, int(edited[of].sum()), int(n[of].sum())) for day, of in enumerate(week)
    ]


def fires(days: Sequence[Measurement]) -> bool:
    """Whether the rule would have fired on one of the days."""
    return any(
        len(
            crossings.lasting(
                days[day::-1], crossings.wholly_beyond, maximum_overlap=RULES.maximum_overlap
            )[0]
        )
        >= RULES.consecutive_windows
        for day in range(len(days))
    )


@pytest.mark.parametrize("per_day", [4.5, 10, 50])
def test_at_the_very_limit_few_months_passes_for_evidence(per_day: float) -> None:
    """With 1,000 months each: 0.7 %, 1.0 % and 1.6 %; a single window fires in 18 to 30 %."""
    rng = np.random.default_rng(7)
    months = [month(rng, per_day, 0.15) for _ in range(100)]
    assert sum(map(fires, months)) <= 0.03 * len(months)


def test_twice_the_limit_is_evidence_in_nearly_every_month() -> None:
    rng = np.random.default_rng(7)
    months = [month(rng, 20, 0.30) for _ in range(50)]
    assert sum(map(fires, months)) >= 0.95 * len(months)
