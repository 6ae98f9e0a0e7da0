"""The golden suites on the live endpoint: asked as a client asks, through the gateway.

The requests carry the tag `probe`, which keeps them out of every figure about production.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuneloop import intervals
from tuneloop.deployment import rollouts, up
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import EvaluationError
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.comparison import MAIN_METRICS, Paired, paired
from tuneloop.evaluation.metrics import Metric, metrics_for
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.results import CaseResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask
from tuneloop.evaluation.suites import Case, Suite, as_served, load_suite
from tuneloop.evaluation.targets import OpenAITarget
from tuneloop.gateway.requests import TAGS_HEADER
from tuneloop.modelfile import GoldenSettings, TaskSettings
from tuneloop.monitoring import alerts, series
from tuneloop.monitoring.measurement import Limit, Measurement, judge, not_measured
from tuneloop.monitoring.window import PROBE_TAG, Window
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import serving

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop

MONITOR = "golden_set"
KEY_VARIABLE = "TUNELOOP_API_KEY"
_FAILED_CASES = 5
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One golden case as it was answered now."""

    suite: str
    case: Case
    output: str
    passed: bool
    at_release: bool | None
    """whether the bundle passed the same case in its evaluation; None: it was not asked"""


def run_golden(loop: Loop, now: datetime, *, url: str | None = None) -> Measurement | None:
    """Ask every golden case, store the pass rate, move its alert; None without golden suites.

    `url` is the gateway's, up to and with `/v1`; by default where `tuneloop up` serves.

    Raises:
        UsageError: nothing is in production.
        EvaluationError: a suite file cannot be used.
    """
    if not _suites(loop):
        return None
    bundle = loop.bundle("production")
    window = Window(endpoint=loop.model.endpoint_name, bundle=bundle.id, start=now, end=now)
    url = url or up.gateway_url(loop.workspace)
    if url is None:
        measurement = not_measured(MONITOR, window, "nothing is being served")
    else:
        measurement = _measured(loop, bundle, window, url)
    series.store(
        loop.workspace, [measurement], bundle=bundle, endpoint=loop.model.endpoint_name, now=now
    )
    alerts.apply(
        loop.workspace,
        model=loop.model.name,
        measurements=[measurement],
        now=now,
        bundle=bundle.id,
    )
    loop.progress.note(f"{MONITOR}: {measurement.message}")
    return measurement


def golden_measurement(
    window: Window,
    outcomes: Sequence[Outcome],
    settings: GoldenSettings,
    *,
    margin: float,
    mixed_by: str | None = None,
) -> Measurement:
    """The verdict on the pass rate: against its limit, and against the release on the same cases.

    `mixed_by` names a rollout under way: some answers are its candidate's, so that nothing is
    compared with the release.
    """
    passed = sum(one.passed for one in outcomes)
    before = _against_release(outcomes, margin) if mixed_by is None else None
    found = judge(
        MONITOR,
        window,
        intervals.share(passed, len(outcomes)) if outcomes else None,
        what="golden cases passed",
        limit=Limit(threshold=settings.pass_rate_below, unit="share", side="below"),
        minimum=settings.minimum_cases,
        detail={
            "bundle": window.bundle,
            "rollout": mixed_by,
            "at_release": before and _told(before),
            "failed": [_shown(one) for one in outcomes if not one.passed][:_FAILED_CASES],
        },
    )
    if mixed_by is not None:
        told = f"; during rollout {mixed_by}, so some answers are its candidate's"
        return replace(found, message=found.message + told)
    if before is None:
        return replace(found, message=found.message + "; no case was asked at release")
    message = f"{found.message}; against the release on the same cases: {before.reason}"
    if before.verdict == "worse" and found.verdict != "not_enough_data":
        return replace(found, verdict="alert", message=message)
    return replace(found, message=message)


def _against_release(outcomes: Sequence[Outcome], margin: float) -> Paired | None:
    pairs = [
        (float(one.passed), float(one.at_release)) for one in outcomes if one.at_release is not None
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


def _suites(loop: Loop) -> list[Any]:
    return [suite for suite in loop.model.evaluation.suites if suite.kind == "golden"]


def _measured(loop: Loop, bundle: Bundle, window: Window, url: str) -> Measurement:
    task = TaskSettings.model_validate(bundle.manifest["task"])
    suites = [
        load_suite(
            loop.model_file.folder / one.file,
            name=one.name,
            kind=one.kind,
            task=task,
            columns=loop.model.data.columns,
        )
        for one in _suites(loop)
    ]
    try:
        answers = [_asked(loop, bundle, suite, task, url) for suite in suites]
    except EvaluationError as e:
        return not_measured(MONITOR, window, e.message)
    outcomes = [one for given in answers for one in _outcomes(loop, bundle, given, task)]
    running = [one for one in rollouts.listing(loop.workspace, loop.model.name) if _mixes(one)]
    return golden_measurement(
        window,
        outcomes,
        loop.model.golden,
        margin=loop.model.evaluation.margin,
        mixed_by=running[0].id if running else None,
    )


def _mixes(rollout: Rollout) -> bool:
    return rollout.active and rollout.stage.name == "canary"


def _asked(loop: Loop, bundle: Bundle, suite: Suite, task: TaskSettings, url: str) -> SuiteAnswers:
    target = OpenAITarget(
        base_url=url,
        model=loop.model.endpoint_name,
        identity=bundle.id,
        sampling=serving.sampling_in(bundle),
        api_key=os.environ.get(KEY_VARIABLE),
        headers={TAGS_HEADER: f"{PROBE_TAG}=golden"},
    )
    loop.progress.step(f"Asking {loop.model.endpoint_name} {len(suite.cases)} golden cases")
    # As a client that sends no system text: the endpoint puts the bundle's before it.
    asked = as_served(suite, task_system=task.system, system="")
    answers = ask(
        asked, target, concurrency=loop.model.evaluation.concurrency, progress=loop.progress
    )
    return replace(answers, suite=suite)


def _outcomes(loop: Loop, bundle: Bundle, given: SuiteAnswers, task: TaskSettings) -> list[Outcome]:
    suite, found = given.suite, measure(given, metrics_for(task))
    then = _at_release(loop, bundle, suite)
    return [
        Outcome(
            suite=suite.name,
            case=case,
            output=_said(found.cases[case.id]),
            passed=_passes({n: s.value for n, s in found.cases[case.id].scores.items()}),
            at_release=then.get(case.id),
        )
        for case in suite.cases
    ]


def _at_release(loop: Loop, bundle: Bundle, suite: Suite) -> dict[str, bool]:
    """Case → whether the bundle's evaluation passed it; a case changed since is another one."""
    cases = {case.id: case for case in suite.cases}
    row = evaluation.find(loop.workspace, bundle.manifest["evaluation"]["id"])
    return {
        answer["case"]: _passes(answer["scores"])
        for answer in evaluation.read_answers(loop.workspace, row)
        if answer["target"] == CANDIDATE
        and answer["suite"] == suite.name
        and (case := cases.get(answer["case"])) is not None
        and answer["expected"] == case.expected
        and answer["messages"] == [dict(message) for message in case.messages]
    }


def _passes(scores: Mapping[str, float]) -> bool:
    """A case passes by the task's main metric; one that has no right answer by its form."""
    for name in (*MAIN_METRICS, "format"):
        if name in scores:
            return scores[name] == 1
    return False


def _said(result: CaseResult) -> str:
    error = result.answer.error
    return result.answer.text if error is None else f"(no answer: {error})"


def _shown(one: Outcome) -> dict[str, Any]:
    return {
        "suite": one.suite,
        "case": one.case.id,
        "asked": one.case.question[:_SHOWN_CHARACTERS],
        "answered": one.output[:_SHOWN_CHARACTERS],
        "expected": one.case.expected,
    }
