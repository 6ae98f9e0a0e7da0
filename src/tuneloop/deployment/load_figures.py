"""The figures of a load: percentiles with intervals, and their ratio to another bundle's.

All times count from the moment at which a request was to be sent. One that got no whole answer
counts as having taken the whole time-out: a server that lets its slowest requests go must not look
fast for it.

Percentiles have distribution-free intervals between order statistics (`intervals.quantile`). The
interval of a ratio comes from those of its two percentiles at 97.5 % each, so that both hold with
at least 95 % (Bonferroni): wide, and true whatever the two distributions look like. Of too few
requests a percentile's interval ends at the slowest one and holds in less than 95 %, which
`LoadReport.coverage` says, and that of its ratio with it. Requests that
wait for the same queue are alike, which no interval here knows: of an overloaded server they are
too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tuneloop.intervals import CONFIDENCE, Figure, quantile, quantile_coverage, share

_PERCENTILES: Mapping[str, tuple[int, ...]] = {
    "first_token": (50, 95, 99),
    "latency": (50, 95, 99),
    "tokens_per_second": (50, 5, 1),  # the slow end: more is better here
}
_UNITS = {"first_token": "_ms", "latency": "_ms", "tokens_per_second": ""}
_EACH_OF_TWO = 1 - (1 - CONFIDENCE) / 2

FIGURES = (
    *(f"{what}_p{p}{_UNITS[what]}" for what, all_p in _PERCENTILES.items() for p in all_p),
    "error_share",
)
"""first_token_p50_ms … latency_p99_ms, tokens_per_second_p50, _p5, _p1, error_share"""
RATIOS = tuple(f"{what}_p{p}_ratio" for what, all_p in _PERCENTILES.items() for p in all_p)
"""The same percentiles over those of the bundle that it is compared with."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One request; seconds from its scheduled time."""

    first_token_seconds: float | None
    """None: no token came."""
    seconds: float
    tokens: int
    error: str | None


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What one bundle's server did under a load."""

    requests: int
    errors: int
    """Requests without a whole answer."""
    figures: Mapping[str, Figure]
    """By the names in `FIGURES`; what no request measured is absent."""
    coverage: Mapping[str, float] = field(default_factory=dict)
    """Percentile → how often its interval holds the true one, where the requests are too few for
    95 %."""


@dataclass(frozen=True, kw_only=True)
class LoadComparison:
    """What a bundle's server did under a load, beside another one's in the same minutes."""

    rate_per_second: float
    seconds: float
    """How long requests were sent to each."""
    bundle: LoadReport
    against: LoadReport | None
    """None: it was measured alone."""
    ratios: Mapping[str, Figure]
    """By the names in `RATIOS`: the bundle's figure over the other one's."""


def report(timings: Sequence[Timing], *, timeout_seconds: float) -> LoadReport:
    """The figures of many requests."""
    samples = _samples(timings, timeout_seconds)
    errors = sum(timing.error is not None for timing in timings)
    figures = {
        f"{what}_p{p}{_UNITS[what]}": quantile(values, p / 100)
        for what, values in samples.items()
        for p in _PERCENTILES[what]
        if values
    }
    if timings:
        figures["error_share"] = share(errors, len(timings))
    return LoadReport(
        requests=len(timings), errors=errors, figures=figures, coverage=dict(_short(samples))
    )


def ratios(
    bundle: Sequence[Timing], against: Sequence[Timing], *, timeout_seconds: float
) -> dict[str, Figure]:
    """The percentiles of `bundle` over those of `against`, where both have them."""
    ours, theirs = _samples(bundle, timeout_seconds), _samples(against, timeout_seconds)
    return {
        f"{what}_p{p}_ratio": _ratio(ours[what], theirs[what], p / 100)
        for what, all_p in _PERCENTILES.items()
        for p in all_p
        if ours[what] and theirs[what]
    }


def _short(samples: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, float]]:
    for what, values in samples.items():
        for p in _PERCENTILES[what]:
            holds = quantile_coverage(len(values), p / 100) if values else CONFIDENCE
            if holds < CONFIDENCE:
                yield f"{what}_p{p}{_UNITS[what]}", holds


def _ratio(ours: Sequence[float], theirs: Sequence[float], q: float) -> Figure:
    over = quantile(ours, q, confidence=_EACH_OF_TWO)
    under = quantile(theirs, q, confidence=_EACH_OF_TWO)
    return Figure(
        value=over.value / under.value,
        low=over.low / under.high,
        high=over.high / under.low,
        n=min(over.n, under.n),
    )


def _samples(timings: Sequence[Timing], timeout_seconds: float) -> dict[str, list[float]]:
    """What is measured → values above 0: ms, ms, tokens a second."""
    whole = [timing for timing in timings if timing.error is None]
    lost = [timeout_seconds for _ in range(len(timings) - len(whole))]
    firsts = [
        timing.first_token_seconds for timing in whole if timing.first_token_seconds is not None
    ]
    return {
        "first_token": [_milliseconds(seconds) for seconds in [*firsts, *lost]],
        "latency": [
            _milliseconds(seconds) for seconds in [*(timing.seconds for timing in whole), *lost]
        ],
        "tokens_per_second": [
            round((timing.tokens - 1) / (timing.seconds - timing.first_token_seconds), 2)
            for timing in whole
            if timing.first_token_seconds is not None
            and timing.tokens > 1
            and timing.seconds > timing.first_token_seconds
        ],
    }


def _milliseconds(seconds: float) -> float:
    return max(round(seconds * 1_000, 1), 0.1)
