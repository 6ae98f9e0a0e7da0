"""Counters of a gateway, in Prometheus text format.

    served = captured + dropped(reason), for each endpoint, always

The three are counted in one step, when it is known what became of the record. Processes that share
a port leave their counters for each other (`shared_counts`), and whichever is asked adds them up:
those of the others are up to a second old. What a process counted stays when it ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

_COUNTERS = (
    "requests",
    "errors",
    "refused",
    "served",
    "captured",
    "dropped",
    "feedback",
    "failovers",
    "shadows",
)
_HISTOGRAMS = ("latency", "first_token")

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of durations by upper bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(_BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


class Metrics:
    """Everything that `/metrics` shows of requests; used from the event loop only."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.captured: Counter[str] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.feedback: Counter[str] = Counter()
        self.failovers: Counter[tuple[str, str]] = Counter()
        self.shadows: Counter[tuple[str, str]] = Counter()
        self.latency: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.first_token: defaultdict[str, Histogram] = defaultdict(Histogram)

    def answered(
        self,
        endpoint: str,
        *,
        status: int,
        error: str | None,
        seconds: float,
        first_token_seconds: float | None,
    ) -> None:
        """Count one routed request when its answer is complete."""
        self.requests[endpoint, status] += 1
        if error is not None:
            self.errors[endpoint, error] += 1
        self.latency[endpoint].observe(seconds)
        if first_token_seconds is not None:
            self.first_token[endpoint].observe(first_token_seconds)

    def accounted(self, endpoint: str, reason: str | None) -> None:
        """Count one interaction as captured, or as dropped for a reason."""
        self.served[endpoint] += 1
        if reason is None:
            self.captured[endpoint] += 1
        else:
            self.dropped[endpoint, reason] += 1

    def state(self) -> bytes:
        """All counts, for `add`."""
        counters = {name: list(getattr(self, name).items()) for name in _COUNTERS}
        histograms = {
            name: {e: [h.counts, h.sum_seconds] for e, h in getattr(self, name).items()}
            for name in _HISTOGRAMS
        }
        return msgspec.json.encode(counters | histograms)

    def add(self, state: bytes) -> None:
        """Count what another process has counted."""
        counted: dict[str, Any] = msgspec.json.decode(state)
        for name in _COUNTERS:
            counter = getattr(self, name)
            for key, count in counted.get(name, ()):
                counter[tuple(key) if isinstance(key, list) else key] += count
        for name in _HISTOGRAMS:
            for endpoint, (counts, seconds) in counted.get(name, {}).items():
                histogram = getattr(self, name)[endpoint]
                histogram.counts = [a + b for a, b in zip(histogram.counts, counts, strict=True)]
                histogram.sum_seconds += seconds

    def render(self, gauges: Mapping[str, float]) -> str:
        """The text that Prometheus reads; `gauges` are values that others hold."""
        lines: list[str] = []
        for name, help_text, counts in self._counters():
            lines += _header(name, "counter", help_text)
            lines += [f"{name}{_braces(labels)} {value}" for labels, value in counts]
        for name, help_text, histograms in (
            ("tuneloop_request_seconds", "From request to end of answer.", self.latency),
            ("tuneloop_first_token_seconds", "From request to first token.", self.first_token),
        ):
            lines += _header(name, "histogram", help_text)
            for endpoint, histogram in histograms.items():
                lines += _histogram_lines(name, endpoint, histogram)
        for name, value in gauges.items():
            lines += [*_header(name, "gauge", ""), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _counters(self) -> Iterable[tuple[str, str, list[tuple[Labels, int]]]]:
        by_endpoint = (
            ("tuneloop_served_total", "Routed requests, captured or dropped.", self.served),
            ("tuneloop_captured_total", "Interactions written to the spool.", self.captured),
        )
        for name, help_text, counter in by_endpoint:
            yield name, help_text, [((("endpoint", e),), n) for e, n in counter.items()]
        yield (
            "tuneloop_dropped_total",
            "Interactions that were not captured, by reason.",
            [((("endpoint", e), ("reason", r)), n) for (e, r), n in self.dropped.items()],
        )
        yield (
            "tuneloop_requests_total",
            "Routed requests by HTTP status.",
            [((("endpoint", e), ("status", str(s))), n) for (e, s), n in self.requests.items()],
        )
        yield (
            "tuneloop_errors_total",
            "Routed requests that failed, by reason.",
            [((("endpoint", e), ("reason", r)), n) for (e, r), n in self.errors.items()],
        )
        yield (
            "tuneloop_refused_total",
            "Requests refused before they were routed, by reason.",
            [((("reason", r),), n) for r, n in self.refused.items()],
        )
        yield (
            "tuneloop_failovers_total",
            "Requests that another bundle answered because the one named here could not.",
            [((("endpoint", e), ("bundle", b)), n) for (e, b), n in self.failovers.items()],
        )
        yield (
            "tuneloop_shadows_total",
            "Copies for a candidate, by what became of them.",
            [((("endpoint", e), ("outcome", o)), n) for (e, o), n in self.shadows.items()],
        )
        yield (
            "tuneloop_feedback_total",
            "Feedback accepted, by kind.",
            [((("kind", k),), n) for k, n in self.feedback.items()],
        )


def _header(name: str, kind: str, help_text: str) -> list[str]:
    described = [f"# HELP {name} {help_text}"] if help_text else []
    return [*described, f"# TYPE {name} {kind}"]


def _histogram_lines(name: str, endpoint: str, histogram: Histogram) -> list[str]:
    lines, total = [], 0
    bounds = [*(f"{bound:g}" for bound in _BUCKETS_SECONDS), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        lines.append(f"{name}_bucket{_braces((('endpoint', endpoint), ('le', bound)))} {total}")
    labels = _braces((("endpoint", endpoint),))
    return [
        *lines,
        f"{name}_sum{labels} {histogram.sum_seconds:.6f}",
        f"{name}_count{labels} {total}",
    ]


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
