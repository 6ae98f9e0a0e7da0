"""The report of an evaluation: one JSON value.

The JSON is the report; terminal and HTML are views of it (see `readable_report`), so that a stored
report can be shown again. A figure is always `{"value", "low", "high", "n"}`; shares are in 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from tuneloop.evaluation.baseline import Baseline, baseline_of
from tuneloop.evaluation.comparison import Comparison, standing
from tuneloop.evaluation.decision import DecisionRule
from tuneloop.evaluation.gates import GateOutcome
from tuneloop.evaluation.looks import Look
from tuneloop.evaluation.operating import operating_of
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.results import SuiteResult
from tuneloop.evaluation.suites import REGRESSIONS, Suite
from tuneloop.evaluation.worst_cases import case_row, worst
from tuneloop.intervals import Figure
from tuneloop.registry.weakness import Weakness

FORMAT = 1
CANDIDATE = "candidate"
WORST_CASES = 20
CHANGED_CASES = 20


@dataclass(frozen=True, kw_only=True)
class QuantisationRow:
    """One exported file of the candidate: what it costs and what it keeps (E5)."""

    name: str
    size_bytes: int
    tokens_per_second: float | None
    """generated, measured on the machine of the evaluation"""
    figures: Mapping[str, Figure]
    """metric → figure on the main suite"""


@dataclass(frozen=True, kw_only=True)
class ParityHop:
    """One step of the export and whether the model came through it unchanged (E6)."""

    name: str
    """e.g. `merged → f16`"""
    passed: bool
    checked: int
    """prompts compared"""
    agreed: int
    """prompts with equal greedy answers"""
    largest_difference: float | None = None
    """largest log-probability difference seen"""
    bound: float | None = None
    """largest one allowed"""
    detail: str = ""


def fields_of(suite: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    """Field → figures and counts; nothing for a task without, or in a report of earlier days."""
    fields: Mapping[str, Any] = suite.get("fields", {}).get(label, {})
    return fields


def is_told_by_field(metric: str, suite: Mapping[str, Any]) -> bool:
    """Whether the table of the fields has this figure, so that the list need not."""
    return bool(fields_of(suite, CANDIDATE)) and metric.startswith("json_field.")


def is_of_prose(comparison: Mapping[str, Any]) -> bool:
    """Whether it has measures with ties; reports of earlier days have none."""
    return any(metric.get("tolerance") for metric in comparison["metrics"])


def is_watched(comparison: Mapping[str, Any]) -> bool:
    """Whether it tells what the tuning cost beside the task; those of earlier days do not."""
    return bool(comparison.get("watches"))


def heading(comparison: Mapping[str, Any]) -> str:
    """With whom, on which suite, and what came of it."""
    said = (
        f"Against {comparison['reference']} on suite {comparison['suite']!r}: "
        f"{comparison['verdict'].replace('_', ' ')} (margin {comparison['margin']:g})"
    )
    # Reports of earlier releases do not say it.
    return said if comparison.get("decides", True) else f"{said}; it decides nothing"


def told_first(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Its metrics without the fields of JSON answers that decide nothing."""
    return [m for m in comparison["metrics"] if m not in fields_compared(comparison)]


def lost_slices(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Its slices that are worse, or seem so; reports of earlier releases have none."""
    return [one for one in comparison.get("subgroups", ()) if one["verdict"]]


def fields_compared(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those fields: among many one seems worse by chance."""
    return [
        m
        for m in comparison["metrics"]
        if not m.get("decides", True) and m["metric"].startswith("json_field.")
    ]


def make_report(
    *,
    evaluation: str,
    created_at: datetime,
    plan: EvaluationPlan,
    rule: DecisionRule | None = None,
    looks: Sequence[Look] = (),
    outcome: GateOutcome,
    results: Mapping[str, Sequence[SuiteResult]],
    comparisons: Sequence[Comparison] = (),
    repeatability: Mapping[str, Any] | None = None,
    quantisations: Sequence[QuantisationRow] = (),
    parity: Sequence[ParityHop] = (),
    weakened: Sequence[Weakness] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Put a report together; `results` is label (`candidate` first, `production`, `base`) → suites.

    They are in the order of the plan; a reference may have answered only the first of them.
    `looks` are the earlier ones at the main suite, `rule` is that of this look (None: the first).
    """
    rule = rule or plan.rule
    mine = results[CANDIDATE]
    constant = baseline_of(mine[0])
    report: dict[str, Any] = _plain(
        {
            "format": FORMAT,
            "evaluation": evaluation,
            "model": plan.model,
            "created_at": created_at.isoformat(timespec="seconds"),
            "subjects": {label: of[0].target for label, of in results.items()},
            "verdict": outcome.verdict,
            "reason": outcome.reason,
            "weakened": weakened,
            "warnings": [*_warnings(comparisons), *_beaten_by(constant)],
            "gate_lock": plan.gate_lock.digest,
            "gates": [_gate(result) for result in outcome.results],
            "plan": _plan(plan),
            "decision": {
                **asdict(rule),
                "level": rule.level,
                "says": rule.sentence,
                "cases": len(plan.main_suite.cases),
                "earlier_looks": [look.evaluation for look in looks],
            },
            "operating": _operating(plan, rule, comparisons),
            "suites": [_suite(_of_suite(results, of.suite.name)) for of in mine],
            "comparisons": [_comparison(c, results) for c in comparisons],
            "repeatability": repeatability,
            "quantisations": quantisations,
            "parity": parity,
            "baseline": None
            if constant is None
            else {**asdict(constant), "says": constant.sentence},
            "notes": [*plan.notes, *notes, *_result_notes(mine)],
        }
    )
    return report


def _of_suite(results: Mapping[str, Sequence[SuiteResult]], suite: str) -> dict[str, SuiteResult]:
    """What everybody who was asked a suite answered, the candidate first."""
    return {label: it for label, of in results.items() for it in of if it.suite.name == suite}


def _warnings(comparisons: Sequence[Comparison]) -> list[str]:
    """What a reader must see before anything else: the gates may pass where a part was lost."""
    warnings = []
    for reference, group in groupby(comparisons, key=lambda comparison: comparison.reference):
        of = list(group)
        stands = standing(of)
        lost = [said for compared in of if compared.decides for said in compared.slices_lost]
        told = (*stands.alarms, *lost, *stands.warnings)
        warnings += [f"against {reference}, {said}" for said in told]
    return warnings


def _beaten_by(constant: Baseline | None) -> list[str]:
    """A model that is no better than one word is none, whatever its accuracy."""
    return [] if constant is None or constant.beaten else [constant.sentence]


def _operating(
    plan: EvaluationPlan, rule: DecisionRule, comparisons: Sequence[Comparison]
) -> dict[str, Any] | None:
    """How often the decision against production errs; without one, against one like it."""
    main = [c for c in comparisons if c.suite == plan.main_suite.name]
    against = next((c for c in main if c.reference == "production"), None)
    if against is None:
        return None
    errs = operating_of(against.main, rule, margin=plan.margin)
    return {"metric": against.main_metric, **errs.as_json(), "says": errs.sentence}


def _plan(plan: EvaluationPlan) -> dict[str, Any]:
    return {
        "main_suite": plan.main_suite.name,
        "sampling": plan.sampling.as_request(),
        "margin": plan.margin,
        "minimum_cases": plan.minimum_cases,
        "metrics": [
            {
                "name": metric.name,
                "about": metric.about,
                "counts": metric.counts,
                "higher_is_better": metric.higher_is_better,
            }
            for metric in plan.measured
        ],
    }


def _gate(result: Any) -> dict[str, Any]:
    return {
        "suite": result.gate.suite,
        "metric": result.gate.metric,
        "condition": result.gate.condition,
        "verdict": result.verdict,
        "reason": result.reason,
        "figure": result.figure,
    }


def _suite(results: Mapping[str, SuiteResult]) -> dict[str, Any]:
    mine = results[CANDIDATE]
    others = {label: result for label, result in results.items() if label != CANDIDATE}
    wrong = worst(mine)
    return {
        "name": mine.suite.name,
        "kind": mine.suite.kind,
        "digest": mine.suite.digest,
        "cases": len(mine.suite.cases),
        "live_samples": sum(case.is_live_sample for case in mine.suite.cases),
        "remark": _remark(mine.suite),
        "out_of_scope": sum(case.out_of_scope for case in mine.suite.cases),
        "figures": {label: result.figures for label, result in results.items()},
        "fields": {label: _fields(result) for label, result in results.items()},
        "slices": mine.slices,
        "errors": {label: dict(result.errors) for label, result in results.items()},
        "cut_off": {label: result.cut_off for label, result in results.items()},
        "wrong": len(wrong),
        "worst": [case_row(case, mine.cases[case.id], others) for case in wrong[:WORST_CASES]],
    }


def _remark(suite: Suite) -> str:
    """What its figures stand for, where that is not plain."""
    if suite.kind == REGRESSIONS:
        return (
            "These cases were found because an answer was wrong or rows disagreed. Whoever "
            "answered in production then failed them by construction, so they decide nothing "
            "but the gates that name them."
        )
    if any(case.weight != 1 for case in suite.cases):
        return (
            "The samples of live traffic were drawn with unequal chances, so that small kinds of "
            "request are seen; here each case counts once."
        )
    return ""


def _fields(result: SuiteResult) -> dict[str, dict[str, Any]]:
    """Field of a JSON task → its figures and counts; a field that nobody speaks of is absent."""
    return {
        name: {
            **{
                figure: result.figures.get(f"json_field.{name}.{figure}")
                for figure in ("precision", "recall", "f1")
            },
            **asdict(counts),
        }
        for name, counts in result.fields.items()
        if counts.expected or counts.given
    }


def _comparison(
    comparison: Comparison, results: Mapping[str, Sequence[SuiteResult]]
) -> dict[str, Any]:
    answered = _of_suite(results, comparison.suite)
    mine, theirs = answered[CANDIDATE], answered[comparison.reference]
    cases = {case.id: case for case in mine.suite.cases}

    def shown(ids: Iterable[str]) -> list[dict[str, Any]]:
        other = {comparison.reference: theirs}
        both = {CANDIDATE: mine, **other}
        return [
            {
                **case_row(cases[i], mine.cases[i], other),
                "scores": {
                    label: of.cases[i].scores[comparison.main_metric].value
                    for label, of in both.items()
                    if comparison.main_metric in of.cases[i].scores
                },
            }
            for i in list(ids)[:CHANGED_CASES]
        ]

    return {
        **_plain(comparison),
        "cases": len(theirs.cases),
        "won": len(comparison.won),
        "lost": len(comparison.lost),
        "lost_cases": shown(comparison.lost),
        "won_cases": shown(comparison.won),
    }


def _result_notes(results: Sequence[SuiteResult]) -> list[str]:
    notes = []
    for result in results:
        name = result.suite.name
        loops = sum(of.answer.loops for of in result.cases.values())
        if result.cut_off - loops:
            notes.append(
                f"{result.cut_off - loops} answers in suite {name!r} ended at the token limit"
            )
        if loops:
            notes.append(
                f"{loops} answers in suite {name!r} were ended where they had begun to loop: they "
                "count as cut off, and their scores and latencies are those of the text until there"
            )
        if result.errors:
            listed = ", ".join(f"{code} × {n}" for code, n in sorted(result.errors.items()))
            notes.append(
                f"requests without an answer in suite {name!r}, counted as wrong: {listed}"
            )
        if result.unsliced:
            notes.append(f"too many values for a slice: {', '.join(result.unsliced)}")
    return notes


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as JSON values; lone surrogates become question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(item) for key, item in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
