"""Whether the declared gates can pass on what is held out: told before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tuneloop.candidates.planning import plan_for
from tuneloop.datasets import versions
from tuneloop.datasets.holdout import Need
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import GateError
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.sizes import (
    DOUBT_HELPS,
    DROPS,
    LIFTS,
    GateSize,
    alike,
    cases_to_decide,
    gate_sizes,
    held_out_requirements,
    named,
    what_decides,
    what_helps,
    what_is_doubted,
    what_is_missing,
)
from tuneloop.evaluation.suites import REGRESSIONS, Case, case_of
from tuneloop.modelfile import HELD_OUT
from tuneloop.modelfile.sections.data import AUTO, LARGEST_SHARE, SMALLEST_SHARE
from tuneloop.online_evaluation import declared_judge
from tuneloop.project import Project
from tuneloop.setup.checks import suites
from tuneloop.task import origin


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out cases of a dataset version against the gates of the model file as it is now."""

    declared: float | None
    """The share in the model file; None: it is chosen for the gates and the decision."""
    share: float | None
    """The one that the version was made with; None for versions of earlier releases."""
    chosen: bool
    """The version's share was chosen for these, not declared."""
    gates: tuple[GateSize, ...]
    cases: str
    """Which of the held-out rows decide, in a sentence."""
    deciding: int
    live_samples: int
    """Of those that decide."""
    regressions: int
    """Cases that were found because something had failed; they decide nothing."""
    wanted: int = 0
    """Cases that the decision asks for; 0: few were chosen knowingly."""

    @property
    def short(self) -> tuple[GateSize, ...]:
        """The gates that have too few cases, unless a model's answers add to them."""
        return tuple(size for size in self.gates if not size.enough)

    @property
    def doubted(self) -> tuple[GateSize, ...]:
        """The gates that have their cases, which say too little for even a flawless candidate."""
        return tuple(size for size in self.gates if size.enough and size.doubt)

    @property
    def impossible(self) -> tuple[GateSize, ...]:
        """Of those, the gates that cannot pass, whatever a model answers."""
        return tuple(size for size in self.gates if not size.possible)

    @property
    def why(self) -> str:
        """Which share is held out and for what, in a sentence."""
        if self.share is None:
            return "the version does not say which share it holds out"
        if not self.chosen:
            return f"holdout_share {self.share:g}, as the model file said"
        sizes = [size for size in self.gates if size.rows is not None]
        served = [size for size in sizes if size.enough]
        limits = f"{SMALLEST_SHARE:g} to {LARGEST_SHARE:g}"
        if sizes and not served:
            return f"holdout_share {self.share:g}: no share of {limits} serves a gate"
        listed = ", ".join(map(_served, alike(served)))
        decision = f"the decision ({self.deciding} cases, wants {self.wanted})"
        if self.wanted > self.deciding and self.share == LARGEST_SHARE:
            serves = f" It serves {listed}." if served else ""
            return f"holdout_share {self.share:g}, the largest of {limits}, for {decision}.{serves}"
        if self.wanted and self.deciding >= self.wanted:
            listed = " and ".join(filter(None, (listed, decision)))
        for_these = f"serves {listed}" if listed else "there is, as no gate asks for more"
        return f"holdout_share {self.share:g}, the smallest of {limits} that {for_these}"

    def help_for(self, size: GateSize) -> str:
        """What would let a gate pass."""
        return what_helps(size, share=self.declared, automatic_up_to=LARGEST_SHARE)

    def warnings(self) -> list[str]:
        """What is missing and what helps, a text for all gates that have the same too few cases."""
        missing = [
            f"{what_is_missing(*sizes)}. What helps{' each' if len(sizes) > 1 else ''}: "
            f"{self.help_for(sizes[0])}"
            for sizes in alike(self.short)
        ]
        doubted = [
            f"{what_is_doubted(*sizes)}. What helps: {DOUBT_HELPS}" for sizes in alike(self.doubted)
        ]
        return missing + doubted

    @property
    def lifts(self) -> str:
        """What helps all of them, knowingly; empty where it would not."""
        return _lifts(self.short)

    def remedy(self) -> str:
        """What helps, for all gates together that cannot pass."""
        told = []
        for sizes in alike(self.impossible):
            # The message has just named those of the only one.
            names = "each" if self.impossible == sizes else f"each of {named(sizes)}"
            of = names if len(sizes) > 1 else named(sizes)
            told.append(f"For {of}: {self.help_for(sizes[0])}.")
        return " ".join([*told, _lifts(self.impossible)]).strip()

    def as_row(self) -> dict[str, Any]:
        """In JSON form."""
        return {
            "declared": "auto" if self.declared is None else self.declared,
            "share": self.share,
            "why": self.why,
            **({"cases_wanted_by_the_decision": self.wanted} if self.wanted else {}),
            # Of versions without approved answers it stays what it was.
            **(
                {
                    "deciding_cases": self.deciding,
                    "live_samples": self.live_samples,
                    "regressions": self.regressions,
                }
                if self.live_samples or self.regressions
                else {}
            ),
            "gates": [
                {
                    "gate": size.gate.name,
                    "condition": size.gate.condition,
                    "cases": size.counted,
                    "at_most": size.at_most,
                    "minimum_cases": size.minimum,
                    "enough": size.enough,
                    "helps": "" if size.enough else self.help_for(size),
                }
                for size in self.gates
            ],
        }


def needs(project: Project) -> tuple[Need, ...]:
    """What the gates and the decision ask of the held-out cases of the version to be made.

    Raises:
        EvaluationError: a gate or a metric cannot be understood.
    """
    model = project.model
    requirements = held_out_requirements(
        model.task, model.evaluation, judge=lambda: _uncalled_judge(project)
    )
    return tuple(suites.needs(model, requirements))


def held_out(
    project: Project,
    version: DatasetVersion,
    *,
    judge: Callable[[], Metric] | None = None,
    plan: EvaluationPlan | None = None,
) -> HeldOut:
    """Count what every gate of the model file would stand on; `judge` is not called.

    `plan`: that of this version, where it is made already.

    Raises:
        EvaluationError: a gate, a metric or a suite file cannot be understood.
    """
    declared = project.model.data.holdout_share
    plan = plan or plan_to_count(project, version, judge=judge)
    tags = [
        case.provenance
        for suite in plan.suites
        if suite.kind in (HELD_OUT, REGRESSIONS)
        for case in suite.cases
    ]
    asked = cases_to_decide(project.model.task, project.model.evaluation)
    return HeldOut(
        declared=None if isinstance(declared, str) else declared,
        share=versions.share_of(version),
        chosen=version.report["recipe"]["data"]["holdout_share"] == AUTO,
        gates=gate_sizes(plan, trained=_trained(project, version)),
        cases=what_decides(tags),
        deciding=sum(map(origin.decides, tags)),
        live_samples=sum(map(origin.is_live_sample, tags)),
        regressions=sum(not origin.decides(of) for of in tags),
        wanted=0 if asked is None else asked.wanted,
    )


def plan_to_count(
    project: Project, version: DatasetVersion, *, judge: Callable[[], Metric] | None = None
) -> EvaluationPlan:
    """The evaluation that a version calls for; by default its judge cannot be called.

    Raises:
        EvaluationError: a gate, a metric or a suite file cannot be understood.
    """
    return plan_for(project, version, judge=judge or (lambda: _uncalled_judge(project)))


def _trained(project: Project, version: DatasetVersion) -> Iterator[Case]:
    """The rows that are trained on, read one by one and only when asked for."""
    for row in versions.read_rows(project.workspace, version, "train"):
        yield case_of(row, task=project.model.task)


def check(project: Project, version: DatasetVersion) -> None:
    """Refuse to train what could not pass.

    Raises:
        GateError: a gate has too few cases, whatever is answered, or its metric says nothing on
            this data; says which, on how many, and what helps.
        EvaluationError: a gate, a metric or a suite file cannot be understood.
        UsageError: a gate needs a judge, and there is none that could be asked.
    """
    asked = partial(declared_judge.metric, project)
    plan = plan_for(project, version, judge=asked)
    barred = [
        f"{gate.name} ({plan.unusable[gate.metric]})"
        for gate in plan.gate_lock.gates
        if gate.metric in plan.unusable
    ]
    if barred:
        raise GateError(
            f"Nothing was trained, since no verdict can stand on {'; '.join(barred)}.",
            remedy=f"Drop the gate ({DROPS}), or stand it on a metric that tells something here: "
            "`tuneloop check` lists them.",
        )
    held = held_out(project, version, judge=asked)
    if held.impossible:
        raise GateError(
            "Nothing was trained, since no candidate could pass: "
            + "; ".join(what_is_missing(*sizes) for sizes in alike(held.impossible))
            + ".",
            remedy=held.remedy(),
        )


def _served(sizes: Sequence[GateSize]) -> str:
    """`chrf, answered (54 cases each, need 50)`."""
    first, *others = sizes
    metrics = ", ".join(size.gate.metric for size in sizes)
    each, needs = (" each", "need") if others else ("", "needs")
    return f"{metrics} ({first.counted} cases{each}, {needs} {first.minimum})"


def _lifts(sizes: Sequence[GateSize]) -> str:
    general = any(size.counted and size.gate.minimum_cases is None for size in sizes)
    return f"{LIFTS}." if general else ""


def _uncalled_judge(project: Project) -> Metric:
    if project.model.judge is None:
        return declared_judge.metric(project)  # which says what to declare
    return judging.uncalled(project.model.judge)
