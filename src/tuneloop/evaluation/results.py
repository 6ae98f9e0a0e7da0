"""Turns answers into figures: scores per case, then figures over all cases and per slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tuneloop import intervals
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.runner import SuiteAnswers
from tuneloop.evaluation.scorers import Score
from tuneloop.evaluation.suites import Suite
from tuneloop.evaluation.targets import Answer
from tuneloop.intervals import Figure

SLICED_METRICS = (
    *("accuracy", "format", "correct", "abstention_recall"),
    *("chrf", "rouge_l", "answered", "length_fit"),
)
MAXIMUM_SLICE_VALUES = 200
"""A tag with more values than this is an identifier, not a slice."""


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """One answer and what each metric says about it."""

    case: str
    answer: Answer
    scores: Mapping[str, Score]
    """metric → score, for the metrics that count this case"""


@dataclass(frozen=True, kw_only=True)
class FieldCounts:
    """One field of a JSON task over the in-scope cases of a suite."""

    expected: int
    """references with the field"""
    given: int
    """answers with the field"""
    right: int
    """cases where both have it and agree"""
    missing: int
    """expected, but not given"""
    wrong: int
    """given, but not as expected"""
    invented: int
    """given, but not expected"""


@dataclass(frozen=True, kw_only=True)
class SuiteResult:
    """One target's figures on one suite."""

    suite: Suite
    target: str
    figures: Mapping[str, Figure]
    """metric → figure; a metric that counted no case is absent"""
    slices: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    """slice name → value → metric → figure"""
    cases: Mapping[str, CaseResult]
    """case id → result, in the order of the suite; of the cases that the target was asked"""
    errors: Mapping[str, int]
    """reason code of requests that got no answer → how many"""
    cut_off: int
    """answers that ended at the token limit, or were ended on the way there in a loop"""
    unsliced: tuple[str, ...] = ()
    """tags that have too many values to be slices"""
    fields: Mapping[str, FieldCounts] = field(default_factory=dict)
    """field of a JSON task → how often it was right, and what was wrong with it"""


def measure(
    answers: SuiteAnswers, metrics: Sequence[Metric], *, known: Collection[str] = ()
) -> SuiteResult:
    """Score every answer and sum up; pure and repeatable.

    `known` are cases that the target was trained on: they are scored, and stand in no figure but
    those of the run itself (`RUN_METRICS`).
    """
    suite = answers.suite
    metrics = [metric for metric in metrics if metric.is_for(suite.kind)]
    cases = {
        case.id: CaseResult(
            case=case.id,
            answer=answers.answers[case.id],
            scores=_scores(suite, i, answers.answers[case.id], metrics),
        )
        for i, case in enumerate(suite.cases)
        if case.id in answers.answers
    }
    counted = {case: result for case, result in cases.items() if case not in known}
    slices, unsliced = _slices(suite, counted, metrics)
    given = [result.answer for result in cases.values()]
    return SuiteResult(
        suite=suite,
        target=answers.target,
        figures=_figures(counted.values(), metrics) | _run_figures(given),
        slices=slices,
        cases=cases,
        errors=dict(Counter(a.error.split(":")[0] for a in given if a.error is not None)),
        cut_off=sum(answer.is_cut_off for answer in given),
        unsliced=unsliced,
        fields=_fields(counted.values(), metrics),
    )


def _scores(
    suite: Suite, index: int, answer: Answer, metrics: Sequence[Metric]
) -> dict[str, Score]:
    case = suite.cases[index]
    output = answer.text if answer.error is None else None
    scores = {metric.name: metric.score(case, output) for metric in metrics}
    return {name: score for name, score in scores.items() if score is not None}


def _figures(results: Iterable[CaseResult], metrics: Iterable[Metric]) -> dict[str, Figure]:
    results = list(results)
    figures = {}
    for metric in metrics:
        scores = [r.scores[metric.name] for r in results if metric.name in r.scores]
        if scores:
            figures[metric.name] = (
                intervals.mean([score.value for score in scores])
                if metric.figure is None
                else metric.figure(scores)
            )
    return figures


def _fields(results: Iterable[CaseResult], metrics: Iterable[Metric]) -> dict[str, FieldCounts]:
    results = list(results)
    return {
        metric.field: _counts(r.scores[metric.name] for r in results if metric.name in r.scores)
        for metric in metrics
        if metric.field and metric.name == f"json_field.{metric.field}"
    }


def _counts(scores: Iterable[Score]) -> FieldCounts:
    faults = Counter(score.fault for score in scores)
    right, missing, wrong, invented = (
        faults[fault] for fault in (None, "missing", "wrong", "invented")
    )
    return FieldCounts(
        expected=right + missing + wrong,
        given=right + wrong + invented,
        right=right,
        missing=missing,
        wrong=wrong,
        invented=invented,
    )


def _run_figures(answers: Sequence[Answer]) -> dict[str, Figure]:
    failed = sum(answer.error is not None for answer in answers)
    figures = {"error_share": intervals.share(failed, len(answers))}
    answered = [answer for answer in answers if answer.error is None]
    if answered:
        cut_off = sum(answer.is_cut_off for answer in answered)
        figures["truncated_share"] = intervals.share(cut_off, len(answered))
    latencies = [a.latency_ms for a in answered if a.latency_ms > 0]
    if latencies:
        figures["latency_p50_ms"] = intervals.quantile(latencies, 0.5)
        figures["latency_p95_ms"] = intervals.quantile(latencies, 0.95)
    return figures


def _slices(
    suite: Suite, cases: Mapping[str, CaseResult], metrics: Sequence[Metric]
) -> tuple[dict[str, dict[str, dict[str, Figure]]], tuple[str, ...]]:
    members: dict[str, dict[str, list[CaseResult]]] = {}
    for case in suite.cases:
        if case.id not in cases:
            continue
        for name, value in case.slices.items():
            members.setdefault(name, {}).setdefault(value, []).append(cases[case.id])
    unsliced = tuple(name for name, of in members.items() if len(of) > MAXIMUM_SLICE_VALUES)
    sliced = [metric for metric in metrics if metric.name in SLICED_METRICS]
    slices = {
        name: {value: _figures(of[value], sliced) for value in sorted(of)}
        for name, of in sorted(members.items())
        if name not in unsliced
    }
    return slices, unsliced
