"""A quarter of traffic as the monitors see it.

Traffic is numbers: how often answers are bad, how long they are. Summing up a day is the sketches',
merging seven days into a window the tallies', and baselines and verdicts are the product's own
rules: every monitor of a label task that looks daily or weekly is its own `Tally`, measured on the
last seven days for thirteen weeks; those that look hourly are in `verdict_bench.requests`, and
share the declared rate. Two are not fed in full: `novelty` is the share that its rule judges,
`vocabulary_diversity` an estimate with the error of a jackknife of 16 groups (its sketch of 16,384
buckets would take most of the time). The prompts of `embedding_drift` are points of 40 clusters;
each quarter has one of `REFERENCES` bundles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from tuneloop import intervals
from tuneloop.modelfile import DataSettings, ModelSettings, MonitorSettings
from tuneloop.monitoring.bounds import Estimate, student
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts, drift_reference
from tuneloop.monitoring.drift.sketch import DaySums, DriftSketch
from tuneloop.monitoring.drift.verdict import verdict
from tuneloop.monitoring.feedback import FeedbackSample
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit, measured
from tuneloop.monitoring.monitors.answers import Errors, FormatCompliance, Refusals
from tuneloop.monitoring.monitors.people import Accuracy, EditRate, Escalations, JudgeQuality
from tuneloop.monitoring.monitors.table import Monitor, chosen, levels
from tuneloop.monitoring.monitors.tally import Tally
from tuneloop.monitoring.monitors.usage import Confidence, Cost, LatencyP95, OutputLength
from tuneloop.monitoring.shift import Baseline, Margin, assess_shift
from tuneloop.monitoring.watched import baseline_of
from tuneloop.monitoring.window import Window
from verdict_bench.scenario import Random

SEED = 20_261_130
DAYS, WINDOW_DAYS = 91, 7
MONTHS = DAYS / (365.25 / 12)
REFERENCES = 8
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = ModelSettings(name="desk", base="tiny", data=DataSettings(sources=("a.jsonl",)))
SETTINGS = MODEL.monitors
TASK: Mapping[str, Any] = {}
NOBODY = FeedbackSample(
    rows=pl.DataFrame(schema=dict.fromkeys(("interaction", "kind", "value"), pl.String))
)


@dataclass(frozen=True, kw_only=True)
class World:
    """What the traffic of a day is like."""

    requests: int = 60
    accuracy: float = 0.94
    scored: float = 0.3
    """Of the answers, how many a person or a judge scores."""
    format: float = 0.985
    edits: float = 0.06
    novel: float = 0.08
    errors: float = 0.005
    refusals: float = 0.04
    escalations: float = 0.02
    judge: float = 0.85
    tokens: float = 60.0
    tokens_spread: float = 0.6
    """Of the logarithm."""
    latency_ms: float = 400.0
    logprob: float = -0.08
    words: float = 300.0
    days_differ: float = 0.0
    """Standard deviation, from day to day, of the logits of shares and the logarithms of means."""
    other_prompts: float = 0.0
    """Share of prompts of a kind that the bundle was never taught."""

    def today(self, rng: Random) -> World:
        """The same, a little different from day to day."""
        if not self.days_differ:
            return self
        moved = {}
        for name in ("accuracy", "format", "edits", "novel", "errors", "refusals", "escalations"):
            share = getattr(self, name)
            logit = math.log(share / (1 - share)) + rng.normal(0, self.days_differ)
            moved[name] = 1 / (1 + math.exp(-logit))
        for name in ("tokens", "latency_ms", "words"):
            moved[name] = getattr(self, name) * math.exp(rng.normal(0, self.days_differ / 3))
        return replace(self, **moved)


@dataclass(kw_only=True)
class Subject:
    """A bundle to watch, whose baselines are its own earlier windows."""

    settings: MonitorSettings = SETTINGS
    task: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    patience_ms: float | None = None
    history: dict[str, list[Measurement]] = field(default_factory=dict)
    window: Window | None = None

    def baseline(self, monitor: str, **_: object) -> Baseline | None:
        """By the rule of the product, of what was measured before."""
        assert self.window is not None
        return baseline_of(self.history[monitor], self.window)

    def accepted_baseline(self, _: str) -> Baseline | None:
        """Nobody called anything normal."""
        return None

    def sample_weights(self) -> Mapping[str, float]:
        """The scores are those of a simple random sample."""
        return {}

    def feedback(self, *_: str) -> FeedbackSample:
        """What is said is counted, not read."""
        return NOBODY

    def heard(self, *_: str) -> bool:
        """People do speak of answers."""
        return True


Fill = Callable[[Any, World, Random], None]


def _share(name: str, part: str) -> Fill:
    def fill(tally: Any, world: World, rng: Random) -> None:
        hits = int(rng.binomial(world.requests, getattr(world, name)))
        getattr(tally, part).add(hits, world.requests)

    return fill


def _accuracy(tally: Accuracy, world: World, rng: Random) -> None:
    n = int(rng.binomial(world.requests, world.scored))
    tally.scores.n += n
    tally.scores.total += int(rng.binomial(n, world.accuracy))
    tally.kinds.add({"label": n})


def _judged(tally: JudgeQuality, world: World, rng: Random) -> None:
    n = int(rng.binomial(world.requests, world.scored))
    tally.judges.of["j"].n += n
    tally.judges.of["j"].total += float(rng.binomial(n, world.judge))


def _lengths(n: int, mean: float, world: World, rng: Random) -> np.ndarray:
    middle = math.log(mean) - world.tokens_spread**2 / 2
    return np.maximum(1.0, np.round(rng.lognormal(middle, world.tokens_spread, n)))


def _tokens(tally: OutputLength, world: World, rng: Random) -> None:
    tally.tokens.add(_lengths(world.requests, world.tokens, world, rng))


def _cost(tally: Cost, world: World, rng: Random) -> None:
    prompt = _lengths(world.requests, 2 * world.tokens, world, rng)
    completion = _lengths(world.requests, world.tokens, world, rng)
    tally.prompt.add(prompt)
    tally.completion.add(completion)
    tally.both.add(prompt + completion)


def _latency(tally: LatencyP95, world: World, rng: Random) -> None:
    tally.latencies.add(rng.lognormal(math.log(world.latency_ms), 0.5, world.requests))


def _logprobs(tally: Confidence, world: World, rng: Random) -> None:
    tally.logprobs.add(-rng.gamma(1.0, -world.logprob, world.requests))


FED: Mapping[type[Tally], Fill] = {
    Accuracy: _accuracy,
    FormatCompliance: _share("format", "fitting"),
    EditRate: _share("edits", "edited"),
    Confidence: _logprobs,
    LatencyP95: _latency,
    JudgeQuality: _judged,
    OutputLength: _tokens,
    Refusals: _share("refusals", "refused"),
    Escalations: _share("escalations", "escalated"),
    Errors: _share("errors", "failed"),
    Cost: _cost,
}
"""How a day of a monitor is drawn."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Prompts that a bundle was taught, and those that are asked."""

    reference: DriftReference
    vectors: np.ndarray
    topics: np.ndarray
    bins: np.ndarray
    taught: int
    """So many of the prompts are of a kind that it was taught; the others are not."""

    def day(self, world: World, rng: Random) -> DaySums:
        """The sums of one day's prompts."""
        other = int(rng.binomial(world.requests, world.other_prompts))
        at = np.concatenate(
            [
                rng.integers(0, self.taught, world.requests - other),
                rng.integers(self.taught, len(self.vectors), other),
            ]
        )
        return DaySums(
            n=len(at),
            total=self.vectors[at].sum(axis=0, dtype=np.float64),
            topics=np.bincount(self.topics[at], minlength=len(self.reference.topics.counts)),
            bins=np.bincount(self.bins[at], minlength=len(self.reference.familiarity.own)),
        )


@cache
def bundle(number: int) -> Bundle:
    """One of the bundles, with the product's own reference of its prompts."""
    rng = np.random.default_rng([SEED, number])
    centres = rng.normal(size=(44, 24))
    of = np.concatenate([rng.integers(0, 40, 5_600), rng.integers(40, 44, 400)])
    points = centres[of] + 0.9 * rng.normal(size=(6_000, 24))
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    class Points:
        name = f"points {number}"

        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return vectors[[int(text) for text in texts]]

    own = [str(row) for row in range(600)]
    reference = drift_reference(
        OwnPrompts(texts=own[:540]), OwnPrompts(texts=own[540:]), embedder=Points()
    )
    asked = vectors[600:]
    topics, cosines = reference.topics.assign(asked)
    return Bundle(
        reference=reference,
        vectors=asked,
        topics=topics,
        bins=reference.familiarity.bins(cosines),
        taught=5_000,
    )


class Watch:
    """One quarter of a bundle's traffic, as its monitors see it."""

    def __init__(
        self,
        rng: Random,
        *,
        only: Sequence[str] | None = None,
        peers: bool = False,
        number: int = 0,
    ) -> None:
        self.subject = Subject()
        self.monitors = {
            name: monitor
            for name, monitor in label_monitors().items()
            if only is None or name in only
        }
        self.subject.history.update({name: [] for name in self.monitors})
        self._rng, self._peers, self._number = rng, peers, number
        self._days: dict[str, list[Any]] = {name: [] for name in self.monitors}
        self._levels = _levels()

    def looks(self, worlds: Callable[[int], World]) -> Iterator[tuple[int, Measurement]]:
        """Every measurement of the quarter with its day; `worlds` says what each day is like."""
        for day in range(DAYS):
            world = worlds(day).today(self._rng)
            end = BEGIN + timedelta(days=day + 1)
            for name, monitor in self.monitors.items():
                self._days[name].append(self._day(monitor, world))
                if monitor.every == "week" and day % 7 != 6:
                    continue
                start = end - timedelta(days=WINDOW_DAYS)
                window = Window(
                    endpoint="desk", bundle="b", start=start, end=end, level=self._levels[name]
                )
                self.subject.window = window
                found = self._measured(monitor, self._days[name][-WINDOW_DAYS:], window)
                if found.verdict in ("ok", "alert"):
                    self.subject.history[name].append(found)
                yield day, found

    def _day(self, monitor: Monitor, world: World) -> Any:
        if monitor.tally in FED:
            tally = monitor.tally(self.subject)
            FED[monitor.tally](tally, world, self._rng)
            return tally
        match monitor.name:
            case "novelty":
                hits = int(self._rng.binomial(world.requests, world.novel))
                return hits, world.requests
            case "vocabulary_diversity":
                error = world.words / math.sqrt(world.requests)
                return world.requests, self._rng.normal(world.words, error), error
            case "embedding_drift":
                return bundle(self._number % REFERENCES).day(world, self._rng)
        raise AssertionError(monitor.name)

    def _measured(self, monitor: Monitor, days: Sequence[Any], window: Window) -> Measurement:
        if monitor.tally in FED:
            whole = monitor.tally(self.subject)
            for day in days:
                whole.merge(day)
            found = whole.measure(window)
        else:
            found = _MEASURED[monitor.name](self, days, window)
        return _by_peers(found, self.subject.history[monitor.name]) if self._peers else found

    def novelty(self, days: Sequence[tuple[int, int]], window: Window) -> Measurement:
        """By the rule of the monitor."""
        hits, n = map(sum, zip(*days, strict=True))
        return against_limit(
            "novelty",
            window,
            intervals.share(hits, n),
            what="novel",
            limit=Limit(threshold=SETTINGS.novelty_above, unit="share", side="above"),
            minimum=SETTINGS.minimum_samples,
        )

    def vocabulary(self, days: Sequence[tuple[int, float, float]], window: Window) -> Measurement:
        """By the rule of the monitor, on an estimate with a jackknife's error."""
        n = sum(day[0] for day in days)
        value = sum(day[0] * day[1] for day in days) / n
        truly = math.sqrt(sum((day[0] * day[2]) ** 2 for day in days)) / n
        error = truly * math.sqrt(self._rng.chisquare(15) / 15)

        def at(level: float) -> tuple[float, float]:
            half = student(level, 15) * error
            return value - half, value + half

        low, high = at(0.025)
        return assess_shift(
            "vocabulary_diversity",
            window,
            Estimate(value=value, low=low, high=high, n=n, at=at),
            what="words",
            unit="words",
            baseline=self.subject.baseline("vocabulary_diversity"),
            margin=Margin(distance=SETTINGS.relative_shift, relative=True),
            minimum=SETTINGS.minimum_samples,
        )

    def drift(self, days: Sequence[DaySums], window: Window) -> Measurement:
        """By the verdict of the monitor."""
        sketch = DriftSketch(bundle(self._number % REFERENCES).reference)
        for number, day in enumerate(days):
            sketch.days[(window.start + timedelta(days=number)).date()] = day
        found = verdict(
            sketch,
            sketch.reference,
            minimum_rows=SETTINGS.minimum_samples,
            level=None if self._peers else window.level,
        )
        states = {"drift": "alert", "no_drift": "ok", "not_enough_data": "not_enough_data"}
        return measured(
            "embedding_drift", window, None, verdict=states[found.state], message=found.message
        )


_MEASURED: Mapping[str, Callable[[Watch, Any, Window], Measurement]] = {
    "novelty": Watch.novelty,
    "vocabulary_diversity": Watch.vocabulary,
    "embedding_drift": Watch.drift,
}


@cache
def label_monitors() -> Mapping[str, Monitor]:
    """Those of a label task that look daily or weekly."""
    return {
        name: monitor
        for name, monitor in chosen(task=TASK).items()
        if isinstance(monitor, Monitor) and monitor.every != "hour"
    }


@cache
def _levels() -> Mapping[str, float]:
    return levels(MODEL, TASK)


def _by_peers(found: Measurement, history: Sequence[Measurement]) -> Measurement:
    """The verdict of a point beyond its limit; of a shift, beyond the first window's margin."""
    limit = found.limit
    if found.verdict not in ("ok", "alert") or limit is None or found.value is None:
        return found
    if "baseline" in found.detail and history:
        first = history[0].value
        now = found.detail["baseline"][0]
        assert first is not None
        relative = limit.unit not in ("share", "score", "nats")
        threshold = limit.threshold * first / now if relative else limit.threshold + first - now
        limit = replace(limit, threshold=threshold, best=first)
    return replace(found, limit=limit, verdict="alert" if limit.crossed(found.value) else "ok")
