"""What an evaluation will ask and what it must show, complete before the first question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuneloop import intervals
from tuneloop.embedders import Embedder
from tuneloop.errors import EvaluationError
from tuneloop.evaluation import gates, watched
from tuneloop.evaluation.comparison import GUARD_METRICS, MAIN_METRICS, PROSE_GUARD_METRICS
from tuneloop.evaluation.decision import DecisionName, DecisionRule, rule_of
from tuneloop.evaluation.declared import load_declared
from tuneloop.evaluation.gates import Gate, GateLock, SuiteSize
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.metrics import Metric, unfit_references
from tuneloop.evaluation.paired import LIKENESS_METRICS
from tuneloop.evaluation.planned_metrics import (
    measured_in,
    metrics_of,
    of_base,
    watched_metrics,
)
from tuneloop.evaluation.scorers import classes, safety
from tuneloop.evaluation.scorers.prose import similarity_by
from tuneloop.evaluation.suites import (
    REGRESSIONS,
    SAFETY,
    Suite,
    held_out_suites,
)
from tuneloop.evaluation.targets import Sampling
from tuneloop.hashing import digest_json
from tuneloop.modelfile import (
    HELD_OUT,
    ColumnSettings,
    EvaluationSettings,
    GateSettings,
    TaskSettings,
)
from tuneloop.modelfile.sections.evaluation import FORGETTING
from tuneloop.task.kind import is_prose

_LATENCY = "latency_"
"""How the names of those metrics begin."""


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """Suites, metrics, sampling and locked gates of one evaluation."""

    model: str
    suites: tuple[Suite, ...]
    """the first is the main one: gates without a suite name are on it; it decides comparisons"""
    metrics: tuple[Metric, ...]
    sampling: Sampling
    """of the candidate"""
    system: str
    """the task's system text: stands before every case whose client sends none"""
    margin: float
    """share by which a candidate may be worse than production and still count as not worse"""
    minimum_cases: int
    """a gate that counts fewer held-out cases passes nothing; 0: any number will do"""
    gate_lock: GateLock
    rule: DecisionRule
    """what the verdicts stand on, at the first look"""
    main_metrics: tuple[str, ...] = MAIN_METRICS
    """the verdict of a comparison is that of the first of these that both have"""
    guards: tuple[str, ...] = GUARD_METRICS
    """a candidate that is worse in one of these is worse"""
    told: tuple[Metric, ...] = ()
    """reported beside the metrics; no part of the lock, since no gate stands on them"""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """metrics that cannot tell right from wrong on this data, and why: no verdict stands on them"""
    concurrency: int = 4
    base_cases: int | None = None
    """that the untuned base is asked, at most, of the main suite and of each that watches the
    tuning, drawn by their ids; None: all"""
    notes: tuple[str, ...] = ()
    """what a reader of the report should know about the suites"""
    forgetting: float = FORGETTING
    """how much less than the base a candidate may know before that is warned of; 0 to 1"""

    @property
    def main_suite(self) -> Suite:
        """Where unqualified gates look, and what decides comparisons."""
        return self.suites[0]

    @property
    def measured(self) -> tuple[Metric, ...]:
        """All that answers are scored by."""
        return (*self.metrics, *self.told)

    @property
    def judges_latency(self) -> bool:
        """Whether a gate stands on how long answers took."""
        return any(gate.metric.startswith(_LATENCY) for gate in self.gate_lock.gates)

    @property
    def suites_digest(self) -> str:
        """The identity of all suites together."""
        return digest_json([suite.digest for suite in self.suites])

    def sizes(self) -> dict[str, SuiteSize]:
        """What the small-suite rule needs: only held-out suites stand for unseen traffic."""
        return {
            suite.name: SuiteSize(
                cases=len(suite.cases),
                minimum_cases=self.minimum_cases if suite.kind == "held-out" else 0,
            )
            for suite in self.suites
        }

    def without(self, known: Mapping[str, Collection[str]]) -> EvaluationPlan:
        """The plan without cases that the candidate was trained on: suite → ids of its cases.

        Regressions that were all trained on are no suite any more, and no gate stands on them.

        Raises:
            EvaluationError: no case of another suite is left.
        """
        left_out = {suite.name: set(known.get(suite.name, ())) for suite in self.suites}
        if not any(left_out.values()):
            return self
        suites = tuple(
            suite.without(left_out[suite.name])
            for suite in self.suites
            if suite.kind != REGRESSIONS or len(left_out[suite.name]) < len(suite.cases)
        )
        kept = {suite.name for suite in suites}
        asked = tuple(gate for gate in self.gate_lock.gates if gate.suite in kept)
        notes = [
            f"{len(cases)} cases of suite {suite!r} are left out: the candidate was trained on them"
            for suite, cases in left_out.items()
            if cases
        ]
        changed = replace(
            self,
            suites=suites,
            gate_lock=replace(self.gate_lock, gates=asked),
            notes=(*self.notes, *notes),
        )
        return replace(changed, gate_lock=changed.locked())

    def locked(self) -> GateLock:
        """The lock computed afresh from what this plan holds."""
        return gates.lock(self.gate_lock.gates, terms=self._terms())

    def _terms(self) -> dict[str, Any]:
        return _terms(
            self.suites,
            self.metrics,
            self.sampling,
            self.margin,
            self.minimum_cases,
            self.base_cases,
            self.unusable,
            self.rule,
        )


def plan_evaluation(
    *,
    model: str,
    task: TaskSettings,
    settings: EvaluationSettings,
    sampling: Sampling,
    dataset: Path | None,
    folder: Path,
    scorers: Sequence[str] = (),
    judge: Callable[[], Metric] | None = None,
    unusable: Mapping[str, str] | None = None,
    embedder: Embedder | None = None,
    columns: ColumnSettings | None = None,
    control_tokens: Sequence[str] = (),
    slots: int = 4,
) -> EvaluationPlan:
    """Plan from the model file.

    `dataset` is the folder of a dataset version (its `eval.jsonl` becomes the main suite and, of
    rows that were found because something had failed, `regressions`), `folder` is what suite files
    are relative to, `scorers` names further metrics (`token_f1`, `module:function`, `judge`); a
    gate on such a metric brings it along by itself. `judge` makes the metric of that name, if
    something asks for it. `embedder` measures `similarity` instead of the local one. `columns`
    names prompt and answer in suite files. `control_tokens` are the base's, which are no part of
    anybody's words. `slots` is how many requests the server works on at a time: so many cases are
    asked, unless the settings say.

    Raises:
        EvaluationError: there is no suite, a file or a gate cannot be understood, or a reference
            answer cannot be scored.
        ModelFileError: the task's schema cannot be used.
    """
    suites = (
        [*held_out_suites(dataset, task=task, control_tokens=control_tokens)] if dataset else []
    )
    suites += [
        load_declared(suite, folder, task=task, columns=columns, control_tokens=control_tokens)
        for suite in settings.suites
    ]
    names = [suite.name for suite in suites]
    _check_names(names)
    settings, unfounded = _without_unfounded(settings, names)
    return make_plan(
        model=model,
        suites=suites,
        metrics=[
            metric if embedder is None or metric.name != "similarity" else similarity_by(embedder)
            for metric in metrics_of(task, settings, names, scorers=scorers, judge=judge)
        ],
        conditions=settings.gates_in_force,
        sampling=sampling,
        system=task.system,
        margin=settings.margin,
        decision=settings.decision,
        minimum_cases=minimum_of(settings),
        concurrency=settings.concurrency or slots,
        base_cases=base_cases_of(task, settings),
        notes=[*_notes(suites, task), *unfounded],
        prose=is_prose(task),
        unusable=unusable,
        told=[
            *classes.metrics_of(task),
            *watched_metrics(task, (suite.kind for suite in suites)),
        ],
        forgetting=settings.forgetting,
    )


BASE_CASES_OF_PROSE = 50
"""That the base is asked unless the model file says otherwise: docs/decisions/0036."""


def base_cases_of(task: TaskSettings, settings: EvaluationSettings) -> int | None:
    """How many held-out cases the untuned base is asked; None: all of them."""
    return settings.base_cases or (BASE_CASES_OF_PROSE if is_prose(task) else None)


def minimum_of(settings: EvaluationSettings) -> int:
    """Held-out cases that a gate must count unless it says otherwise; 0: any number will do."""
    return 0 if settings.allow_small_suite else settings.minimum_cases


def make_plan(
    *,
    model: str,
    suites: Sequence[Suite],
    metrics: Sequence[Metric],
    conditions: Mapping[str, str | GateSettings],
    sampling: Sampling,
    system: str = "",
    margin: float = 0.02,
    decision: DecisionName = "balanced",
    minimum_cases: int = 50,
    concurrency: int = 4,
    base_cases: int | None = None,
    notes: Sequence[str] = (),
    prose: bool = False,
    unusable: Mapping[str, str] | None = None,
    told: Sequence[Metric] = (),
    forgetting: float = FORGETTING,
) -> EvaluationPlan:
    """Plan from parts: parse the gates and lock them; `prose`: answers match in no words."""
    unusable = unusable or {}
    kinds = {suite.name: suite.kind for suite in suites}
    parsed = gates.parse_gates(
        conditions,
        metrics=measured_in(kinds, metrics),
        main_suite=suites[0].name,
        of_base=of_base(kinds),
    )
    names = [metric.name for metric in metrics]
    if wrong := gates.unpaired(parsed, [name for name in names if name not in classes.NAMES]):
        raise EvaluationError(f"A gate {wrong}.", remedy='Name a bound, such as "<= 0.05".')
    rule = rule_of(decision, margin=margin)
    terms = _terms(suites, metrics, sampling, margin, minimum_cases, base_cases, unusable, rule)
    return EvaluationPlan(
        model=model,
        suites=tuple(suites),
        metrics=tuple(metrics),
        sampling=sampling,
        system=system,
        margin=margin,
        minimum_cases=minimum_cases,
        gate_lock=gates.lock(parsed, terms=terms),
        rule=rule,
        main_metrics=_main_metrics(parsed, prose=prose, unusable=unusable),
        guards=PROSE_GUARD_METRICS if prose else GUARD_METRICS,
        concurrency=concurrency,
        base_cases=base_cases,
        told=tuple(metric for metric in told if metric.name not in names),
        unusable=unusable,
        notes=tuple(notes),
        forgetting=forgetting,
    )


def _main_metrics(
    parsed: Sequence[Gate], *, prose: bool, unusable: Collection[str]
) -> tuple[str, ...]:
    """Of prose: what a judge says, else what gates compare by, else likeness to the reference.

    Where no likeness says anything, it is whether there is an answer at all.
    """
    # What tuning cost is none of the task's.
    compared = [g.metric for g in parsed if g.is_relative and g.metric not in watched.NAMES]
    if not prose:
        return tuple(dict.fromkeys((*MAIN_METRICS, *compared)))
    usual = ("accuracy", judging.NAME, *compared, *LIKENESS_METRICS, "answered")
    return tuple(name for name in dict.fromkeys(usual) if name not in unusable)


def _terms(
    suites: Sequence[Suite],
    metrics: Sequence[Metric],
    sampling: Sampling,
    margin: float,
    minimum_cases: int,
    base_cases: int | None,
    unusable: Collection[str],
    rule: DecisionRule,
) -> dict[str, Any]:
    return {
        "decision": [rule.name, rule.worse_by, rule.rate, rule.gate_slack],
        # Left out where there is nothing to say, so that locks from before it could be said stay.
        **({} if base_cases is None else {"base_cases": base_cases}),
        **({"unusable": sorted(unusable)} if unusable else {}),
        "suites": [suite.digest for suite in suites],
        "metrics": [
            [m.name, m.about, m.counts, m.higher_is_better, m.source_digest] for m in metrics
        ],
        "sampling": sampling.as_request(),
        "margin": margin,
        "minimum_cases": minimum_cases,
        "confidence": intervals.CONFIDENCE,
        "bootstrap": [intervals.BOOTSTRAP_RESAMPLES, intervals.BOOTSTRAP_SEED],
    }


def _without_unfounded(
    settings: EvaluationSettings, names: Sequence[str]
) -> tuple[EvaluationSettings, list[str]]:
    """The settings without gates on regressions where there are none, and what to say of these.

    They are declared before the first thing fails, and hold from then on.
    """
    left_out = [key for key in settings.gates if key.startswith(f"{REGRESSIONS}.")]
    if REGRESSIONS in names or not left_out:
        return settings, []
    gates = {key: gate for key, gate in settings.gates.items() if key not in left_out}
    return settings.model_copy(update={"gates": gates}), [
        f"the gate {key} does not apply yet: no held-out case was found because something had "
        "failed"
        for key in left_out
    ]


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise EvaluationError(
            "There is nothing to evaluate on: no dataset version and no suite file.",
            remedy="Prepare a dataset, or name a file under `evaluation.suites`.",
        )
    for name in names:
        if names.count(name) > 1:
            raise EvaluationError(
                f"Two suites are called {name!r}.",
                remedy=f"Rename one under `evaluation.suites`; {HELD_OUT!r} and {REGRESSIONS!r} "
                "are the dataset's own.",
            )


def _notes(suites: Sequence[Suite], task: TaskSettings) -> list[str]:
    notes = []
    for suite in suites:
        unfit = unfit_references(suite, task)
        if unfit:
            notes.append(
                f"{len(unfit)} of {len(suite.cases)} reference answers in suite {suite.name!r} "
                f"break the task's own output form, e.g. case {unfit[0].id}"
            )
        unsaid = safety.tagged(suite.cases)[2] if suite.kind == SAFETY else 0
        if unsaid:
            notes.append(
                f"{unsaid} of {len(suite.cases)} cases of suite {suite.name!r} have no tag "
                "harmful: yes or no, so no refusal of them counts"
            )
        out_of_scope = sum(case.out_of_scope for case in suite.cases)
        if task.abstain is not None and suite.kind == "held-out" and out_of_scope == 0:
            notes.append(
                f"suite {suite.name!r} has no out-of-scope case, so abstention is not measured"
            )
    return notes
