"""What each retraining rule finds in the measurements, corrections and dates: pure rules.

What counts as evidence, and when it lasts, is in `crossings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from tuneloop import intervals
from tuneloop.modelfile import TriggerSettings
from tuneloop.monitoring.measurement import Limit, Measurement, show, tell
from tuneloop.retraining.crossings import (
    UNJUDGED,
    Crosses,
    cases_needed,
    lasting,
    length,
    wholly_beyond,
)

State = Literal["fired", "suspected", "quiet", "unknown"]

_LIMIT_RULES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "edit_rate": "edit rate",
    "novelty": "novelty (new kinds of request)",
}
"""Monitor → what people call its figure."""
_DRIFT = "embedding_drift"
"""Its verdict is calibrated: an alert is evidence."""
VOCABULARY = "vocabulary"
_NOVELTY = "novelty"
STALE_WINDOWS = 2
"""A measurement says nothing about now when so many of its windows have passed since."""
_WORDS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A window that a finding stands on."""

    monitor: str
    start: datetime
    end: datetime
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one rule found."""

    rule: str
    state: State
    """fired: a reason to retrain. suspected: over its limit, and no evidence yet. quiet: neither.
    unknown: not measured, or not enough."""
    message: str
    """One sentence with every number."""
    needs: str = ""
    """What would make it fire; empty when it has."""
    earliest: datetime | None = None
    """Before this it cannot fire; None where no date can be told."""
    windows: tuple[Seen, ...] = ()
    """The windows that it stands on, the newest first."""


def of_measurements(
    histories: Mapping[str, Sequence[Measurement]], settings: TriggerSettings, *, now: datetime
) -> list[Finding]:
    """What the rules over measurements find; `histories`: monitor → measurements, newest first.

    Only measurements of the bundle in production belong in there.
    """
    return [
        *(
            _finding(monitor, name, histories.get(monitor, ()), wholly_beyond, settings, now)
            for monitor, name in _LIMIT_RULES.items()
        ),
        _vocabulary(histories.get(_NOVELTY, ()), settings, now),
        _drift(histories.get(_DRIFT, ()), settings, now),
    ]


def corrections(*, approved: int, waiting: int, minimum: int) -> Finding:
    """Whether enough corrections are approved since the last cycle to be worth another one."""
    message = (
        f"{approved} approved corrections, {minimum} make a cycle worth its time"
        f" ({waiting} wait for review)"
    )
    fired = approved >= minimum
    return Finding(
        rule="corrections",
        state="fired" if fired else "quiet",
        message=message,
        needs="" if fired else f"{minimum - approved} more approved corrections",
    )


def refresh(*, since: datetime, now: datetime, days: float) -> Finding:
    """Whether it is time for the regular refresh; `since`: the last cycle or release."""
    due = since + timedelta(days=days)
    passed = (now - since) / timedelta(days=1)
    return Finding(
        rule="refresh",
        state="fired" if now >= due else "quiet",
        message=f"regular refresh: {passed:.0f} of {days:g} days since {since:%Y-%m-%d}",
        needs="" if now >= due else f"{due:%Y-%m-%d} to come",
        earliest=None if now >= due else due,
    )


def _finding(
    rule: str,
    name: str,
    history: Sequence[Measurement],
    evidence: Crosses,
    settings: TriggerSettings,
    now: datetime,
) -> Finding:
    if not history:
        return Finding(rule=rule, state="unknown", message=f"{name}: not measured yet")
    latest = history[0]
    windows = (_seen(latest),)
    if latest.verdict in UNJUDGED:
        return Finding(
            rule=rule, state="unknown", message=f"{name}: {latest.message}", windows=windows
        )
    if now - latest.window_end > STALE_WINDOWS * length(latest):
        message = f"{name}: last measured until {latest.window_end:%Y-%m-%d}, too long ago to say"
        return Finding(rule=rule, state="unknown", message=message, windows=windows)
    counted, oldest = lasting(history, evidence, maximum_overlap=settings.maximum_overlap)
    if oldest is None:
        return _without_evidence(rule, name, latest, settings)
    return _with_evidence(rule, name, counted, oldest, settings)


def _without_evidence(
    rule: str, name: str, latest: Measurement, settings: TriggerSettings
) -> Finding:
    # A crossing that may be chance alerts nobody, and is no evidence yet either.
    crossed = latest.verdict == "alert" or _beyond(latest)
    told = _told(name, latest)
    if not crossed:
        side = f", {_relation(latest)}" if latest.limit else ""
        return Finding(rule=rule, state="quiet", message=f"{told}{side}", windows=(_seen(latest),))
    return Finding(
        rule=rule,
        state="suspected",
        message=f"{told}, {_relation(latest)}: not evidence yet",
        needs=f"{_clear(latest)}, in {settings.consecutive_windows} windows in a row",
        earliest=_reached(latest, settings.consecutive_windows, settings),
        windows=(_seen(latest),),
    )


def _with_evidence(
    rule: str,
    name: str,
    counted: Sequence[Measurement],
    oldest: Measurement,
    settings: TriggerSettings,
) -> Finding:
    wanted = settings.consecutive_windows
    told = _told(name, counted[0])
    bad = f", wholly {_relation(counted[0])}" if counted[0].limit else ""
    kind = f"windows in a row that overlap at most {100 * settings.maximum_overlap:g} %"
    windows = tuple(_seen(window) for window in counted)
    if len(counted) >= wanted:
        seen_in = f"{len(counted)} {kind}" if wanted > 1 else "one window"
        return Finding(
            rule=rule,
            state="fired",
            message=f"{told}{bad}, in {seen_in}, first seen on {oldest.window_end:%Y-%m-%d}",
            windows=windows,
        )
    return Finding(
        rule=rule,
        state="suspected",
        message=f"{told}{bad}, in {len(counted)} of the {wanted} {kind}: not lasting yet",
        needs=f"the same in {wanted - len(counted)} more windows",
        earliest=_reached(oldest, wanted - 1, settings),
        windows=windows,
    )


def _vocabulary(
    novelty: Sequence[Measurement], settings: TriggerSettings, now: datetime
) -> Finding:
    """Lasting new words, read from the novelty monitor: prompts that have one, over all prompts.

    A window counts when it shares a new word with the newest one: other words every week are no
    change of vocabulary, they are the variety of language.
    """
    limit = Limit(threshold=settings.new_words_above, unit="share", side="above")
    history = [_of_new_words(window, limit) for window in novelty]
    newest = _new_words(history[0]) if history else []

    def same_words(window: Measurement) -> bool:
        return wholly_beyond(window) and not set(newest).isdisjoint(_new_words(window))

    listed = ", ".join(newest[:_WORDS_SHOWN])
    name = f"share of prompts with new words{f' ({listed})' if listed else ''}"
    return _finding(VOCABULARY, name, history, same_words, settings, now)


def _drift(history: Sequence[Measurement], settings: TriggerSettings, now: datetime) -> Finding:
    """The monitor's own sentence tells its figures: its verdict is more than one limit."""
    plain = [replace(window, limit=None) for window in history]
    return _finding(_DRIFT, "embeddings", plain, _is_alert, settings, now)


def _of_new_words(window: Measurement, limit: Limit) -> Measurement:
    count = window.detail.get("with_new_words")
    if window.verdict in UNJUDGED or count is None or not window.n:
        return replace(window, verdict="not_enough_data" if count is not None else "not_measured")
    figure = intervals.share(int(count), window.n)
    return replace(
        window,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        verdict="alert" if limit.crossed(figure.value) else "ok",
        limit=limit,
    )


def _new_words(window: Measurement) -> list[str]:
    """The most frequent first."""
    return [str(new["word"]) for new in window.detail.get("new_words", ())]


def _beyond(measurement: Measurement) -> bool:
    limit, value = measurement.limit, measurement.value
    return limit is not None and value is not None and limit.crossed(value)


def _is_alert(measurement: Measurement) -> bool:
    return measurement.verdict == "alert"


def _told(name: str, window: Measurement) -> str:
    if window.limit is None or window.value is None or window.low is None or window.high is None:
        return f"{name}: {window.message}"
    figure = intervals.Figure(value=window.value, low=window.low, high=window.high, n=window.n)
    return f"{name} {tell(figure, window.limit.unit)}"


def _relation(window: Measurement) -> str:
    if window.limit is None or window.value is None:
        return "an alert of its monitor"
    return (
        f"{window.limit.relation(window.value)} {show(window.limit.threshold, window.limit.unit)}"
    )


def _clear(window: Measurement) -> str:
    """What it takes for the interval to be clear of the limit."""
    text = "an interval wholly beyond the limit"
    if window.limit is None or window.limit.unit != "share" or window.value is None:
        return text
    cases = cases_needed(window.value, window.limit.threshold)
    return text if cases is None else f"{text} (at this share from n = {cases:,} on)"


def _reached(first: Measurement, windows: int, settings: TriggerSettings) -> datetime:
    """When so many further windows can follow the first one."""
    return first.window_end + windows * (1 - settings.maximum_overlap) * length(first)


def _seen(window: Measurement) -> Seen:
    return Seen(
        monitor=window.monitor,
        start=window.window_start,
        end=window.window_end,
        value=window.value,
        low=window.low,
        high=window.high,
        n=window.n,
        verdict=window.verdict,
    )
