"""Gates: what a candidate must show, fixed before it is asked anything, judged afterwards.

`lock` hashes everything that decides the verdict; the hash is stored before the first answer and
compared after the last. The rule itself is pure: figures in, verdict with reasons out.

A gate must be reached by what was measured, and by so much that a candidate which falls short of it
by more than the decision tolerates would hardly have got there (see `decision`). Where the gate has
a minimum of its own, or small suites are allowed, too few cases are a declared choice: there the
measured value alone is compared. A gate stands on the cases that its own metric counts:
`abstention_recall` on those that are out of scope, and on no others. Too few of them cannot pass a
gate, but they can fail one.

A relative gate (`better than base`, `not worse than production`) stands on the paired comparison of
its metric on the same cases, see `comparison`: where no bar can be named beforehand, as for the
likeness of prose to its references, what is asked for is to be better than somebody.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from tuneloop import intervals
from tuneloop.errors import ConflictError, EvaluationError
from tuneloop.evaluation.bounds import Bounds
from tuneloop.evaluation.comparison import Comparison
from tuneloop.evaluation.decision import DecisionRule
from tuneloop.evaluation.paired import Paired
from tuneloop.evaluation.suites import WATCHED
from tuneloop.hashing import digest_json, short
from tuneloop.intervals import Figure
from tuneloop.modelfile import GateSettings
from tuneloop.modelfile.sections.base import RELATIVE

GateVerdict = Literal["passed", "failed", "refused"]

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
    """one of >=, <=, >, <, or of a relative gate `better than`, `not worse than`"""
    bound: float = 0.0
    """of a relative gate: none"""
    reference: str = ""
    """whom a relative gate compares with: base, production"""
    minimum_cases: int | None = None
    """its own; fewer counted cases pass nothing. None: that of the suite"""

    @property
    def name(self) -> str:
        """As people read it, e.g. `held-out.accuracy`."""
        return f"{self.suite}.{self.metric}"

    @property
    def condition(self) -> str:
        """As in the model file, e.g. `>= 0.9`, `better than base`."""
        return f"{self.comparison} {self.reference or format(self.bound, 'g')}"

    @property
    def is_relative(self) -> bool:
        """Whether it compares with somebody instead of a number."""
        return bool(self.reference)


@dataclass(frozen=True, kw_only=True)
class GateLock:
    """The gates of one evaluation and the digest of all that decides its verdict."""

    gates: tuple[Gate, ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What became of one gate."""

    gate: Gate
    verdict: GateVerdict
    reason: str
    figure: Figure | None
    """what was measured; of a relative gate the difference, where more is better"""


@dataclass(frozen=True, kw_only=True)
class GateOutcome:
    """The verdict on a candidate: passed only if every gate passed."""

    verdict: GateVerdict
    reason: str
    results: tuple[GateResult, ...]


@dataclass(frozen=True, kw_only=True)
class SuiteSize:
    """What the rule for small suites needs to know."""

    cases: int
    minimum_cases: int
    """fewer that a gate's metric counts refuse to pass; 0 where the rule does not apply"""

    def is_declared_for(self, gate: Gate) -> bool:
        """Whether the declared error rate holds: not where fewer cases were allowed knowingly."""
        return gate.minimum_cases is None and self.minimum_cases > 0

    def minimum_for(self, gate: Gate) -> int:
        """What a gate declares for itself goes before what holds for its suite."""
        return self.minimum_cases if gate.minimum_cases is None else gate.minimum_cases


def parse_gates(
    conditions: Mapping[str, str | GateSettings],
    *,
    metrics: Mapping[str, Sequence[str]],
    main_suite: str,
    of_base: Collection[str] = (),
) -> tuple[Gate, ...]:
    """Read the model file's gates; `metrics` is suite name → names of its metrics.

    A key is a metric of the main suite (`accuracy`, `json_field.intent`) or `SUITE.METRIC`.
    `of_base` names suites beside the main one that the untuned base is asked, too.

    Raises:
        EvaluationError: for a condition or a metric that cannot be understood, with the nearest
            name; raised before anything is asked.
    """
    gates = []
    for key, declared in conditions.items():
        own = declared if isinstance(declared, GateSettings) else None
        suite, metric = _find(key, metrics, main_suite)
        gate = replace(
            condition_of(key, declared),
            suite=suite,
            metric=metric,
            minimum_cases=own.minimum_cases if own else None,
        )
        if gate.reference == "base" and suite not in (main_suite, *of_base):
            raise EvaluationError(
                f"Gate {key!r} compares with the base on suite {suite!r}.",
                remedy=f"The base is asked suite {main_suite!r} and those of kind "
                f"{' and '.join(WATCHED)}; compare with production.",
            )
        gates.append(gate)
    return tuple(gates)


def unpaired(gates: Sequence[Gate], paired: Collection[str]) -> str | None:
    """What is wrong with the first relative gate whose metric no two answers are compared by.

    `paired` are the metrics that give each case a score; None: nothing is wrong.
    """
    for gate in gates:
        if gate.is_relative and gate.metric not in paired:
            return f"asks for {gate.metric} {gate.condition}, but it gives no case a score"
    return None


def condition_of(key: str, declared: str | GateSettings) -> Gate:
    """What a gate asks for; `key` stands for its suite and metric.

    Raises:
        EvaluationError: it cannot be understood.
    """
    text = str(declared.condition if isinstance(declared, GateSettings) else declared)
    if match := RELATIVE.fullmatch(text):
        return Gate(suite="", metric=key, comparison=f"{match[1]} than", reference=match[2])
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise EvaluationError(
            f"Gate {key!r} has the condition {text!r}.",
            remedy='Expected a comparison and a number, such as ">= 0.90", or "better than base".',
        )
    return Gate(suite="", metric=key, comparison=match[1], bound=float(match[2]))


def lock(gates: Sequence[Gate], *, terms: Mapping[str, object]) -> GateLock:
    """Fix the gates together with the other terms of the verdict (suites, metrics, margins).

    A gate without a minimum of its own is hashed as in earlier releases: it is no new evaluation.
    """
    listed = [
        [
            *(g.suite, g.metric, g.comparison, g.reference or g.bound),
            *([g.minimum_cases] if g.minimum_cases else []),
        ]
        for g in gates
    ]
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


def apply_gates(
    gate_lock: GateLock,
    *,
    figures: Mapping[str, Mapping[str, Figure]],
    sizes: Mapping[str, SuiteSize],
    comparisons: Iterable[Comparison] = (),
    unusable: Mapping[str, str] = MappingProxyType({}),
    rule: DecisionRule | None = None,
    bounds: Mapping[str, Mapping[str, Bounds]] = MappingProxyType({}),
) -> GateOutcome:
    """The verdict on measured figures; `figures` is suite → metric → figure.

    `bounds` are suite → metric → bounds at the level of the `rule`; None: measured values alone.
    `comparisons` are with whoever was asked the same cases: what relative gates stand on.
    `unusable` are metrics that say nothing on this data, and why: gates on them are refused.
    """
    pairs = {
        (compared.reference, compared.suite): {paired.metric: paired for paired in compared.metrics}
        for compared in comparisons
    }
    references = {reference for reference, _ in pairs}
    results = tuple(
        _not_judged(gate, unusable[gate.metric])
        if gate.metric in unusable
        else _judge_relative(gate, pairs, references, sizes[gate.suite])
        if gate.is_relative
        else _judge_one(
            gate,
            figures.get(gate.suite, {}).get(gate.metric),
            sizes[gate.suite],
            rule,
            bounds.get(gate.suite, {}).get(gate.metric),
        )
        for gate in gate_lock.gates
    )
    if not results:
        return GateOutcome(
            verdict="refused",
            reason="No gate is declared, so nothing can be passed.",
            results=(),
        )
    missed = [
        result
        for verdict in ("failed", "refused")
        for result in results
        if result.verdict == verdict
    ]
    if missed:
        return GateOutcome(
            verdict=missed[0].verdict,
            # What only lacks cases is named beside what fails: both have to be seen to.
            reason="; ".join(result.reason for result in missed),
            results=results,
        )
    plural = "gate" if len(results) == 1 else "gates"
    return GateOutcome(verdict="passed", reason=f"{len(results)} {plural} passed", results=results)


def _judge_one(
    gate: Gate,
    figure: Figure | None,
    size: SuiteSize,
    rule: DecisionRule | None,
    bounds: Bounds | None,
) -> GateResult:
    if figure is None:
        reason = f"{gate.name}: no case of the suite measures it"
        return GateResult(gate=gate, verdict="refused", reason=reason, figure=None)
    minimum, counted = size.minimum_for(gate), min(figure.n, size.cases)
    shown = (
        f"{gate.name} is {_number(figure.value)} ({_number(figure.low)} to {_number(figure.high)}, "
        f"n = {figure.n}), wanted {gate.condition}"
    )
    verdict: GateVerdict = "passed"
    if not _COMPARE[gate.comparison](figure.value, gate.bound):
        verdict = "failed"
    elif counted < minimum:
        verdict = "refused"
        shown += f", but {_too_few(counted, size, minimum)}"
    elif rule and bounds and size.is_declared_for(gate) and (doubt := _doubt(gate, bounds, rule)):
        verdict = "refused"
        shown += f", but {doubt}"
    return GateResult(gate=gate, verdict=verdict, reason=shown, figure=figure)


def is_met(gate: Gate, value: float) -> bool:
    """Whether a measured value reaches the bar, however sure it is."""
    return _COMPARE[gate.comparison](value, gate.bound)


def reaches(gate: Gate, successes: int, size: SuiteSize, rule: DecisionRule) -> bool:
    """Whether so many of the cases of a suite, of which each passes or fails, pass a gate."""
    n = size.cases
    bounds = Bounds(
        low=intervals.lower_bound_of_share(successes, n, level=rule.level),
        high=1 - intervals.lower_bound_of_share(n - successes, n, level=rule.level),
    )
    figure = intervals.share(successes, n)
    return _judge_one(gate, figure, size, rule, bounds).verdict == "passed"


def doubts_flawless(gate: Gate, worth: float, size: SuiteSize, rule: DecisionRule) -> bool:
    """Whether an absolute gate is refused even where no case fails it.

    `worth`: as how many independent cases those that it counts are worth where all come out alike.
    """
    if gate.is_relative or not size.is_declared_for(gate):
        return False
    sure = intervals.lower_bound_of_share(worth, worth, level=rule.level)
    return bool(_doubt(gate, Bounds(low=sure, high=1 - sure), rule))


def _doubt(gate: Gate, bounds: Bounds, rule: DecisionRule) -> str:
    """Why what reaches the bar may fall short of it all the same; empty: it hardly does."""
    upwards = gate.comparison in (">=", ">")
    tolerated = gate.bound - rule.gate_slack if upwards else gate.bound + rule.gate_slack
    sure = bounds.low if upwards else bounds.high
    # A bar that nothing can fall short of by so much needs no proof.
    if not 0 < tolerated < 1 or _COMPARE[gate.comparison](sure, tolerated):
        return ""
    return (
        f"it may be {'below' if upwards else 'above'} {_number(tolerated)} "
        f"({_number(sure)} at the error rate of look {rule.look}, {rule.level:.2g}): "
        "more cases, or a better candidate, would show that it is not"
    )


def _not_judged(gate: Gate, why: str) -> GateResult:
    reason = f"{gate.name} is not used for a verdict on this data: {why}"
    return GateResult(gate=gate, verdict="refused", reason=reason, figure=None)


def _judge_relative(
    gate: Gate,
    pairs: Mapping[tuple[str, str], Mapping[str, Paired]],
    references: Collection[str],
    size: SuiteSize,
) -> GateResult:
    if gate.reference == "production" and gate.reference not in references:
        reason = f"{gate.name}: nothing else is in production to compare with"
        return GateResult(gate=gate, verdict="passed", reason=reason, figure=None)
    paired = pairs.get((gate.reference, gate.suite), {}).get(gate.metric)
    if paired is None:
        reason = f"{gate.name}: no case of the suite compares it with {gate.reference}"
        return GateResult(gate=gate, verdict="refused", reason=reason, figure=None)
    reason = (
        f"{gate.name} is {_number(paired.candidate)} against {_number(paired.reference)} of "
        f"{gate.reference}, {paired.reason}, wanted {gate.condition}"
    )
    verdict = _relative_verdict(gate, paired)
    if verdict == "refused":
        reason += f", but {paired.objection}"
    minimum, counted = size.minimum_for(gate), min(paired.difference.n, size.cases)
    if verdict == "passed" and counted < minimum:
        verdict = "refused"
        reason += f", but {_too_few(counted, size, minimum)}"
    return GateResult(gate=gate, verdict=verdict, reason=reason, figure=paired.difference)


def _relative_verdict(gate: Gate, paired: Paired) -> GateVerdict:
    """Not worse: as the decision on a candidate has it, see docs/decisions/0040-decision.md."""
    if gate.comparison == "better than":
        return "passed" if paired.verdict == "better" else "failed"
    if paired.verdict == "worse":
        return "failed"
    return "passed" if paired.accepted else "refused"


def _too_few(counted: int, size: SuiteSize, minimum: int) -> str:
    cases = f"{counted} cases" if counted == size.cases else f"the {counted} cases that it counts"
    lifted = "; allow_small_suite lifts this, or a minimum_cases of the gate's own"
    if minimum != size.minimum_cases:
        lifted = ", the gate's own minimum_cases"
    return f"{cases} are too few to pass on (at least {minimum}{lifted})"


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
