"""Latency gates are like all others: locked first, held at every rate, refused on too few."""

from __future__ import annotations

import pytest

from tuneloop.candidates.benching import declared_loads, gate_outcome, lock
from tuneloop.deployment.load_figures import LoadComparison, LoadReport
from tuneloop.errors import EvaluationError, UsageError
from tuneloop.evaluation.gates import GateOutcome
from tuneloop.intervals import Figure
from tuneloop.modelfile import BenchSettings, DataSettings, ModelSettings


def model(**bench: object) -> ModelSettings:
    return ModelSettings(
        name="router",
        base="b",
        data=DataSettings(sources=("a",)),
        bench=BenchSettings.model_validate(
            {"rates_per_second": [1, 2], "gates": {"latency_p95_ms": "<= 800"}} | bench
        ),
    )


def figure(value: float, n: int = 60) -> Figure:
    return Figure(value=value, low=value * 0.9, high=value * 1.1, n=n)


def measured(
    rate: float, latency_ms: float, *, requests: int = 60, ratio: float | None = None
) -> LoadComparison:
    report = LoadReport(
        requests=requests, errors=0, figures={"latency_p95_ms": figure(latency_ms, requests)}
    )
    return LoadComparison(
        rate_per_second=rate,
        seconds=60.0,
        bundle=report,
        against=None if ratio is None else report,
        ratios={} if ratio is None else {"latency_p95_ratio": figure(ratio)},
    )


def outcome(settings: ModelSettings, *loads: LoadComparison) -> GateOutcome:
    locked = lock(settings, declared_loads(settings.bench))
    return gate_outcome(locked, loads, minimum_requests=50)


def test_a_gate_holds_at_every_declared_rate() -> None:
    assert outcome(model(), measured(1, 300), measured(2, 700)).verdict == "passed"
    missed = outcome(model(), measured(1, 300), measured(2, 900))
    assert missed.verdict == "failed"
    assert (
        missed.reason.startswith("2/s.latency_p95_ms is 900") and "wanted <= 800" in missed.reason
    )


def test_a_ratio_to_production_can_be_a_gate() -> None:
    settings = model(gates={"latency_p95_ratio": "<= 1.2"}, rates_per_second=[1])
    assert outcome(settings, measured(1, 300, ratio=1.1)).verdict == "passed"
    assert outcome(settings, measured(1, 300, ratio=1.3)).verdict == "failed"
    alone = outcome(settings, measured(1, 300))
    assert alone.verdict == "refused", "nothing was measured that could pass"


def test_too_few_requests_pass_nothing_but_can_fail() -> None:
    settings = model(rates_per_second=[1])
    few = outcome(settings, measured(1, 300, requests=49))
    assert few.verdict == "refused" and "49 cases are too few" in few.reason
    assert outcome(settings, measured(1, 900, requests=49)).verdict == "failed"


def test_gates_are_understood_before_anything_is_asked() -> None:
    with pytest.raises(EvaluationError, match="Did you mean 'latency_p95_ms'"):
        outcome(model(gates={"latency_p95": "<= 800"}))
    with pytest.raises(UsageError, match="declares no latency gate"):
        outcome(model(gates={}))


def test_the_lock_changes_with_all_that_decides() -> None:
    def digest(settings: ModelSettings) -> str:
        return lock(settings, declared_loads(settings.bench)).digest

    assert digest(model()) == digest(model())
    changed = [
        model(gates={"latency_p95_ms": "<= 801"}),
        model(rates_per_second=[1, 3]),
        model(seconds=61),
    ]
    assert len({digest(model()), *map(digest, changed)}) == 4
