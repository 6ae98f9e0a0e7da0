"""Gates: what a candidate must show, fixed before it is asked anything, judged afterwards.

`lock` hashes everything that decides the verdict; the hash is stored before the first answer and
compared after the last. The rule itself is pure: figures in, verdict with reasons out.

A gate compares the measured value, not an end of its interval; the interval stands beside it in
the report. A suite of held-out cases that is too small cannot pass a gate, but it can fail one.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tuneloop.errors import ConflictError, EvaluationError
from tuneloop.hashing import digest_json, short
from tuneloop.intervals import Figure

Verdict = Literal["passed", "failed", "refused"]

_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*([0-9]+(?:\.[0-9]+)?)\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition on one metric of one suite."""

    suite: str
    metric: str
    comparison: str
    """one of >=, <=, >, <"""
    bound: float

    @property
    def condition(self) -> str:
        """As in the model file, e.g. `>= 0.9`."""
        return f"{self.comparison} {self.bound:g}"


@dataclass(frozen=True, kw_only=True)
class GateLock:
    """The gates of one evaluation and the digest of all that decides its verdict."""

    gates: tuple[Gate, ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What became of one gate."""

    gate: Gate
    verdict: Verdict
    reason: str
    figure: Figure | None


@dataclass(frozen=True, kw_only=True)
class GateOutcome:
    """The verdict on a candidate: passed only if every gate passed."""

    verdict: Verdict
    reason: str
    results: tuple[GateResult, ...]


@dataclass(frozen=True, kw_only=True)
class SuiteSize:
    """What the rule for small suites needs to know."""

    cases: int
    minimum_cases: int
    """fewer than this refuse to pass; 0 where the rule does not apply"""

    @property
    def too_small(self) -> bool:
        """Whether a pass on this suite would mean nothing."""
        return self.cases < self.minimum_cases


def parse_gates(
    conditions: Mapping[str, str], *, metrics: Mapping[str, Sequence[str]], main_suite: str
) -> tuple[Gate, ...]:
    """Read the model file's gates; `metrics` is suite name → names of its metrics.

    A key is a metric of the main suite (`accuracy`, `json_field.intent`) or `SUITE.METRIC`.

    Raises:
        EvaluationError: for a condition or a metric that cannot be understood, with the nearest
            name; raised before anything is asked.
    """
    gates = []
    for key, text in conditions.items():
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise EvaluationError(
                f"Gate {key!r} has the condition {text!r}.",
                remedy='Expected a comparison and a number, such as ">= 0.90".',
            )
        suite, metric = _find(key, metrics, main_suite)
        gates.append(Gate(suite=suite, metric=metric, comparison=match[1], bound=float(match[2])))
    return tuple(gates)


def lock(gates: Sequence[Gate], *, terms: Mapping[str, object]) -> GateLock:
    """Fix the gates together with the other terms of the verdict (suites, metrics, margins)."""
    listed = [[g.suite, g.metric, g.comparison, g.bound] for g in gates]
    digest = digest_json({"gates": sorted(listed), "terms": dict(terms)})
    return GateLock(gates=tuple(gates), digest=digest)


def check_lock(gate_lock: GateLock, stored_digest: str) -> None:
    """Prove that the gates judged now are those stored before the first answer.

    Raises:
        ConflictError: they are not.
    """
    if gate_lock.digest != stored_digest:
        raise ConflictError(
            f"The gates changed during the evaluation: locked as {short(stored_digest)}, "
            f"now {short(gate_lock.digest)}.",
            remedy="A changed gate is a new evaluation: start one.",
        )


def judge(
    gate_lock: GateLock,
    *,
    figures: Mapping[str, Mapping[str, Figure]],
    sizes: Mapping[str, SuiteSize],
) -> GateOutcome:
    """The verdict on measured figures; `figures` is suite → metric → figure."""
    results = tuple(
        _judge_one(gate, figures.get(gate.suite, {}).get(gate.metric), sizes[gate.suite])
        for gate in gate_lock.gates
    )
    if not results:
        return GateOutcome(
            verdict="refused",
            reason="No gate is declared, so nothing can be passed.",
            results=(),
        )
    for verdict in ("failed", "refused"):
        found = [result for result in results if result.verdict == verdict]
        if found:
            return GateOutcome(
                verdict=verdict,
                reason="; ".join(result.reason for result in found),
                results=results,
            )
    plural = "gate" if len(results) == 1 else "gates"
    return GateOutcome(verdict="passed", reason=f"{len(results)} {plural} passed", results=results)


def _judge_one(gate: Gate, figure: Figure | None, size: SuiteSize) -> GateResult:
    name = f"{gate.suite}.{gate.metric}"
    if figure is None:
        reason = f"{name}: no case of the suite measures it"
        return GateResult(gate=gate, verdict="refused", reason=reason, figure=None)
    shown = (
        f"{name} is {_number(figure.value)} ({_number(figure.low)} to {_number(figure.high)}, "
        f"n = {figure.n}), wanted {gate.condition}"
    )
    verdict: Verdict = "passed"
    if not _COMPARE[gate.comparison](figure.value, gate.bound):
        verdict = "failed"
    elif size.too_small:
        verdict = "refused"
        shown += (
            f", but {size.cases} cases are too few to pass on (at least {size.minimum_cases}; "
            "allow_small_suite lifts this)"
        )
    return GateResult(gate=gate, verdict=verdict, reason=shown, figure=figure)


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.0f}"


def _find(key: str, metrics: Mapping[str, Sequence[str]], main_suite: str) -> tuple[str, str]:
    suite, dot, metric = key.partition(".")
    if dot and suite in metrics and metric in metrics[suite]:
        return suite, metric
    if key in metrics[main_suite]:
        return main_suite, key
    known = [*metrics[main_suite]]
    known += [f"{name}.{m}" for name, of in metrics.items() if name != main_suite for m in of]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
    raise EvaluationError(f"Gate {key!r} names no metric of this task or suite.", remedy=hint)
