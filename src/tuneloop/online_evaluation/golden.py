"""The golden suites on the live endpoint: asked as a client asks, through the gateway.

The requests carry the tag `probe`, which keeps them out of every figure about production.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from tuneloop import intervals, serving
from tuneloop.deployment import rollouts, up
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import EvaluationError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.comparison import MAIN_METRICS
from tuneloop.evaluation.gates import parse_gates
from tuneloop.evaluation.metrics import Metric, metrics_for
from tuneloop.evaluation.paired import Paired, paired
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.results import CaseResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask
from tuneloop.evaluation.scorers.phrases import NAME as PHRASES
from tuneloop.evaluation.scorers.phrases import phrases
from tuneloop.evaluation.suites import Case, Suite, as_served, load_suite
from tuneloop.evaluation.targets import OpenAITarget
from tuneloop.gateway.requests import TAGS_HEADER
from tuneloop.modelfile import GateSettings, GoldenSettings, TaskSettings
from tuneloop.monitoring import alerts, golden_limit, series
from tuneloop.monitoring.golden_limit import SuiteNow
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit, not_measured
from tuneloop.monitoring.window import Window
from tuneloop.online_evaluation.golden_prose import MeasuredAnswer, faults
from tuneloop.project import Project
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.captured import PROBE_TAG
from tuneloop.task.kind import is_prose

MONITOR = "golden_set"
KEY_VARIABLE = "TUNELOOP_API_KEY"
_FAILED_CASES = 5
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """One golden case as it was answered now."""

    suite: str
    case: Case
    output: str
    passed: bool
    at_release: bool | None
    """whether the bundle passed the same case in its evaluation; None: it was not asked"""
    why: tuple[str, ...] = ()
    """what an answer of prose breaks, see `golden_prose`"""


def run_golden(project: Project, now: datetime, *, url: str | None = None) -> Measurement | None:
    """Ask every golden case, store the pass rate, move its alert; None without golden suites.

    `url` is the gateway's, up to and with `/v1`; by default where `tuneloop up` serves.

    Raises:
        UsageError: nothing is in production.
        EvaluationError: a suite file cannot be used.
    """
    if not _suites(project):
        return None
    bundle = project.bundle("production")
    window = Window(endpoint=project.model.endpoint_name, bundle=bundle.id, start=now, end=now)
    url = url or up.gateway_url(project.workspace)
    if url is None:
        measurement = not_measured(MONITOR, window, "nothing is being served")
    else:
        measurement = _measured(project, bundle, window, url)
    series.store(
        project.workspace,
        [measurement],
        bundle=bundle,
        endpoint=project.model.endpoint_name,
        now=now,
    )
    alerts.apply(
        project.workspace,
        model=project.model.name,
        measurements=[measurement],
        now=now,
        bundle=bundle.id,
    )
    project.progress.note(f"{MONITOR}: {measurement.message}")
    return measurement


def golden_measurement(
    window: Window,
    outcomes: Sequence[CaseOutcome],
    settings: GoldenSettings,
    *,
    margin: float,
    bounds: Mapping[str, float] | None = None,
    mixed_by: str | None = None,
) -> Measurement:
    """The verdict on the pass rate: against its limit, and against the release on the same cases.

    `bounds`: suite → pass rate that a gate on it asks for, 0..1. `mixed_by` names a rollout under
    way: some answers are its candidate's, so that nothing is compared with the release.
    """
    failed = [outcome for outcome in outcomes if not outcome.passed]
    passed = len(outcomes) - len(failed)
    before = _against_release(outcomes, margin) if mixed_by is None else None
    suites = _by_suite(outcomes, bounds or {}, mixed=mixed_by is not None)
    declared = settings.pass_rate_below
    if declared is not None or not suites:
        threshold = golden_limit.UNKNOWN_RELEASE if declared is None else declared
        limit = Limit(threshold=threshold, unit="share", side="below")
    else:
        limit = golden_limit.pooled(suites)
    measurement = against_limit(
        MONITOR,
        window,
        intervals.share(passed, len(outcomes)) if outcomes else None,
        what="golden cases passed",
        limit=limit,
        minimum=settings.minimum_cases,
        sampled=False,
        detail={
            "bundle": window.bundle,
            "rollout": mixed_by,
            "at_release": before and _told(before),
            "failed": [_shown(outcome) for outcome in failed[:_FAILED_CASES]],
        },
    )
    if declared is None and measurement.verdict != "not_enough_data":
        measurement = _by_own_limits(measurement, suites)
    if mixed_by is not None:
        told = f"; during rollout {mixed_by}, so some answers are its candidate's"
        return replace(measurement, message=measurement.message + told)
    if before is None:
        return replace(measurement, message=measurement.message + "; no case was asked at release")
    message = f"{measurement.message}; against the release on the same cases: {before.reason}"
    if before.verdict == "worse" and measurement.verdict != "not_enough_data":
        return replace(measurement, verdict="alert", message=message)
    return replace(measurement, message=message)


def _by_suite(
    outcomes: Sequence[CaseOutcome], bounds: Mapping[str, float], *, mixed: bool
) -> list[SuiteNow]:
    by_suite: dict[str, list[CaseOutcome]] = {}
    for outcome in outcomes:
        by_suite.setdefault(outcome.suite, []).append(outcome)
    return [
        SuiteNow(
            name=name,
            passed=sum(outcome.passed for outcome in given),
            cases=len(given),
            bound=bounds.get(name),
            released=_released(given),
            mixed=mixed,
        )
        for name, given in by_suite.items()
    ]


def _released(outcomes: Sequence[CaseOutcome]) -> intervals.Figure | None:
    known = [outcome.at_release for outcome in outcomes if outcome.at_release is not None]
    return intervals.share(sum(known), len(known)) if known else None


def _by_own_limits(measurement: Measurement, suites: Sequence[SuiteNow]) -> Measurement:
    """A suite that is below its own limit is an alert, whatever all of them show together."""
    message = f"{measurement.message} ({golden_limit.explained(suites)})"
    low = golden_limit.below(suites)
    if measurement.verdict == "ok" and low:
        names = ", ".join(f"{suite.name} ({suite.passed} of {suite.cases})" for suite in low)
        return replace(
            measurement, verdict="alert", message=f"{message}; below its own limit: {names}"
        )
    return replace(measurement, message=message)


def _against_release(outcomes: Sequence[CaseOutcome], margin: float) -> Paired | None:
    pairs = [
        (float(outcome.passed), float(outcome.at_release))
        for outcome in outcomes
        if outcome.at_release is not None
    ]
    metric = Metric(name=MONITOR, about="golden cases passed", scorer=lambda case, output: None)
    return paired(metric, pairs, margin=margin) if pairs else None


def _told(before: Paired) -> dict[str, Any]:
    return {
        "verdict": before.verdict,
        "difference": before.difference.as_list(),
        "p_value": before.p_value,
        "now_only": before.won,
        "then_only": before.lost,
    }


def _suites(project: Project) -> list[Any]:
    return [suite for suite in project.model.evaluation.suites if suite.kind == "golden"]


def _measured(project: Project, bundle: Bundle, window: Window, url: str) -> Measurement:
    task = _task(project, bundle)
    suites = [
        load_suite(
            project.model_file.folder / declared.file,
            name=declared.name,
            kind=declared.kind,
            task=task,
            columns=project.model.data.columns,
            control_tokens=bundle.manifest.serving.control_tokens or (),
        )
        for declared in _suites(project)
    ]
    try:
        answers = [_asked(project, bundle, suite, task, url) for suite in suites]
    except EvaluationError as e:
        return not_measured(MONITOR, window, e.message)
    outcomes = [outcome for given in answers for outcome in _outcomes(project, bundle, given, task)]
    running = [
        rollout
        for rollout in rollouts.listing(project.workspace, project.model.name)
        if _mixes(rollout)
    ]
    return golden_measurement(
        window,
        outcomes,
        project.model.golden,
        margin=project.model.evaluation.margin,
        # Of prose no metric is the share of cases that pass, so no gate asks for one.
        bounds={} if is_prose(task) else _bounds(project, bundle),
        mixed_by=running[0].id if running else None,
    )


def _task(project: Project, bundle: Bundle) -> TaskSettings:
    """The bundle's task; of one that was made before kinds could be declared, the declared kind."""
    task = TaskSettings.model_validate(bundle.manifest.task.as_json())
    if task.kind is None and task.output_schema is None:
        return task.model_copy(update={"kind": project.model.task.kind})
    return task


def _mixes(rollout: Rollout) -> bool:
    return rollout.active and rollout.stage.name == "canary"


def _asked(
    project: Project, bundle: Bundle, suite: Suite, task: TaskSettings, url: str
) -> SuiteAnswers:
    target = OpenAITarget(
        base_url=url,
        model=project.model.endpoint_name,
        identity=bundle.id,
        sampling=serving.sampling_in(bundle),
        api_key=os.environ.get(KEY_VARIABLE),
        headers={TAGS_HEADER: f"{PROBE_TAG}=golden"},
    )
    project.progress.step(f"Asking {project.model.endpoint_name} {len(suite.cases)} golden cases")
    # As a client that sends no system text: the endpoint puts the bundle's before it.
    asked = as_served(suite, task_system=task.system, system="")
    answers = ask(
        asked, target, concurrency=project.model.cases_at_a_time, progress=project.progress
    )
    return replace(answers, suite=suite)


def _outcomes(
    project: Project, bundle: Bundle, given: SuiteAnswers, task: TaskSettings
) -> list[CaseOutcome]:
    suite, result = given.suite, measure(given, metrics_for(task))
    then = _at_release(project, bundle, suite)
    judged = (
        partial(_prose_outcome, drop=project.model.golden.likeness_drop)
        if is_prose(task)
        else _outcome
    )
    return [
        judged(suite.name, case, result.cases[case.id], then.get(case.id)) for case in suite.cases
    ]


def _outcome(
    suite: str, case: Case, result: CaseResult, then: MeasuredAnswer | None
) -> CaseOutcome:
    return CaseOutcome(
        suite=suite,
        case=case,
        output=_said(result),
        passed=_passes({name: score.value for name, score in result.scores.items()}),
        at_release=None if then is None else _passes(then.scores),
    )


def _prose_outcome(
    suite: str, case: Case, result: CaseResult, then: MeasuredAnswer | None, *, drop: float
) -> CaseOutcome:
    now = MeasuredAnswer(
        scores={name: score.value for name, score in result.scores.items()},
        cut_off=result.answer.finish_reason == "length",
        details={name: score.detail for name, score in result.scores.items()},
    )
    if then is not None and not then.is_known:
        then = None
    why = ("no answer",) if result.answer.error is not None else faults(now, then, drop=drop)
    return CaseOutcome(
        suite=suite,
        case=case,
        output=_said(result),
        passed=not why,
        at_release=None if then is None else not faults(then, then, drop=drop),
        why=why,
    )


def _at_release(project: Project, bundle: Bundle, suite: Suite) -> dict[str, MeasuredAnswer]:
    """Case → what the bundle's evaluation measured; a case changed since is another one."""
    cases = {case.id: case for case in suite.cases}
    row = evaluations.find(project.workspace, bundle.manifest.evaluation.id)
    return {
        case.id: MeasuredAnswer(
            scores={**answer["scores"], **_phrases(case, answer["answer"])},
            cut_off=answer["answer"]["finish_reason"] == "length",
        )
        for answer in evaluations.read_answers(project.workspace, row)
        if answer["target"] == CANDIDATE
        and answer["suite"] == suite.name
        and (case := cases.get(answer["case"])) is not None
        and answer["expected"] == case.expected
        and answer["messages"] == [dict(message) for message in case.messages]
    }


def _phrases(case: Case, answer: Mapping[str, Any]) -> dict[str, float]:
    """Phrases may have been declared since, and hold of the old answer, too."""
    score = phrases(case, answer["text"] if answer["error"] is None else "")
    return {} if score is None else {PHRASES: score.value}


def _bounds(project: Project, bundle: Bundle) -> dict[str, float]:
    """Suite → the pass rate that a gate asks for: one that the bundle was held against, else one
    that the model file declares."""
    row = evaluations.find(project.workspace, bundle.manifest.evaluation.id)
    declared = project.model.evaluation.gates_in_force
    held = {
        f"{gate['suite']}.{gate['metric']}": gate["condition"]
        for gate in evaluations.read_report(project.workspace, row).as_json()["gates"]
    }
    names = [suite.name for suite in _suites(project)]
    bounds = {name: pass_bound(held, name) or pass_bound(declared, name) for name in names}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def pass_bound(conditions: Mapping[str, str | GateSettings], suite: str) -> float | None:
    """The pass rate that gates ask of a suite: a lower bound on its main metric."""
    wanted = {key: conditions[key] for m in MAIN_METRICS if (key := f"{suite}.{m}") in conditions}
    gates = parse_gates(wanted, metrics={suite: MAIN_METRICS}, main_suite=suite)
    return next((gate.bound for gate in gates if gate.comparison in (">=", ">")), None)


def _passes(scores: Mapping[str, float]) -> bool:
    """A case passes by the task's main metric; one that has no right answer by its form."""
    for name in (*MAIN_METRICS, "format"):
        if name in scores:
            return scores[name] == 1
    return False


def _said(result: CaseResult) -> str:
    error = result.answer.error
    return result.answer.text if error is None else f"(no answer: {error})"


def _shown(outcome: CaseOutcome) -> dict[str, Any]:
    return {
        "suite": outcome.suite,
        "case": outcome.case.id,
        "asked": outcome.case.question[:_SHOWN_CHARACTERS],
        "answered": outcome.output[:_SHOWN_CHARACTERS],
        "expected": outcome.case.expected,
        **({"why": list(outcome.why)} if outcome.why else {}),
    }
