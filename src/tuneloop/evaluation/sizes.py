"""How many cases each gate can stand on: known before anything is trained or asked.

The references give a number, which a share is chosen for and a person is warned by. A model may add
to it: a field that it invents is counted as well. Only what no answers could mend is refused.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuneloop.evaluation import gates
from tuneloop.evaluation.case_pairs import cluster_of
from tuneloop.evaluation.clusters import worth_if_alike
from tuneloop.evaluation.decision import DecisionRule, rule_of
from tuneloop.evaluation.declared import kinds_of
from tuneloop.evaluation.gates import Gate, SuiteSize
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.operating import HARDLY_EVER, WANTED, cases_for
from tuneloop.evaluation.plan import EvaluationPlan, minimum_of
from tuneloop.evaluation.planned_metrics import measured_in, metrics_of, of_base, suite_names
from tuneloop.evaluation.suites import REGRESSIONS, Case
from tuneloop.modelfile import HELD_OUT, EvaluationSettings, TaskSettings
from tuneloop.task import origin
from tuneloop.task.kind import is_prose

_LARGEST_SHARE = 0.5
"""Of the rows; the model file allows no larger one."""
_SLACK = 1.05
"""A share holds out groups, not rows: on average what it says, now and then a little less."""

MOST_TO_DECIDE = 500
"""Cases that the decision asks for at most: every evaluation answers them, and `strict` alone would
have more of them."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What a gate asks of the cases of its suite."""

    gate: Gate
    metric: Metric | None
    """None for a figure of the run itself, such as a latency"""
    minimum: int
    """cases that the metric must count for the gate to pass, at least 1"""

    def counts(self, case: Case) -> bool:
        """Whether the metric counts a case that is answered as its reference is.

        What depends on the answer (`abstention_precision`, a judge, a team's own function) may
        count any case of its scope: a requirement never asks for more than an evaluation does.
        """
        metric = self.metric
        if metric is None:
            return True
        if metric.counts != "all" and case.out_of_scope != (metric.counts == "out-of-scope"):
            return False
        if metric.needs_answer or metric.source_digest:
            return True
        return metric.score(case, case.expected or "") is not None

    def may_count(self, case: Case) -> bool:
        """Whether some answer has the metric count a case: one that gives a field unasked, too.

        So a field's metrics may count every case in scope, but for its recall.
        """
        if self.counts(case):
            return True
        metric = self.metric
        if metric is None or not metric.field:
            return False
        return metric.score(case, json.dumps({metric.field: None})) is not None

    def doubted(
        self, cases: Sequence[Case], *, size: SuiteSize, rule: DecisionRule
    ) -> Doubt | None:
        """What the rule would say even if none of these cases failed; None: nothing, or unknown.

        Known where the figure is the mean of one score a case; a ratio over answers, such as
        `ungrounded`, depends on how much they say, and an F1 on their classes.
        """
        of_cases = self.metric is not None and not (self.metric.figure or self.metric.figure_at)
        clusters = [cluster_of(case) for case in cases if self.counts(case)]
        if not of_cases or not clusters:
            return None
        worth = worth_if_alike(clusters)
        if not gates.doubts_flawless(self.gate, worth, size, rule):
            return None
        return Doubt(groups=len(set(clusters)), worth=worth)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Why a gate would be refused even where no case fails it: they say too little."""

    groups: int
    """that the cases which it counts fall into: one customer's, one conversation's, nearly alike"""
    worth: float
    """as how many independent cases they are worth to the decision where all come out alike"""


@dataclass(frozen=True, kw_only=True)
class GateSize:
    """The cases that a gate stands on, against those that it takes."""

    gate: Gate
    counted: int
    """cases of its suite that its metric counts by their references"""
    at_most: int
    """the same, and those that it counts only where a model's answer gives the field unasked"""
    minimum: int
    rows: int | None = None
    """rows of the dataset version, trained and held out, that the metric counts; of those held out
    alone where these are enough; None: its suite is a file"""
    doubt: Doubt | None = None
    """what is held against even a flawless candidate"""

    @property
    def enough(self) -> bool:
        """Whether the gate has its cases, whatever a model answers."""
        return self.counted >= self.minimum

    @property
    def possible(self) -> bool:
        """Whether the gate can pass at all."""
        return self.at_most >= self.minimum


def held_out_requirements(
    task: TaskSettings, settings: EvaluationSettings, *, judge: Callable[[], Metric] | None = None
) -> tuple[Requirement, ...]:
    """What the declared gates ask of the held-out cases, whichever these will be.

    Raises:
        EvaluationError: a gate or a metric cannot be understood.
    """
    return requirements_of(HELD_OUT, "held-out", task=task, settings=settings, judge=judge)


def requirements_of(
    suite: str,
    kind: str,
    *,
    task: TaskSettings,
    settings: EvaluationSettings,
    judge: Callable[[], Metric] | None = None,
) -> tuple[Requirement, ...]:
    """What the declared gates ask of the cases of the suite with this name and kind.

    Raises:
        EvaluationError: a gate or a metric cannot be understood.
    """
    names = suite_names(settings)
    metrics = metrics_of(task, settings, names, judge=judge)
    kinds = kinds_of(settings)
    parsed = gates.parse_gates(
        settings.gates_in_force,
        metrics=measured_in(kinds, metrics),
        main_suite=HELD_OUT,
        of_base=of_base(kinds),
    )
    # Only held-out suites stand for unseen traffic, of which few cases say little.
    minimum = minimum_of(settings) if kind == "held-out" else 0
    return tuple(_requirement(gate, metrics, minimum) for gate in parsed if gate.suite == suite)


@dataclass(frozen=True, kw_only=True)
class CasesToDecide:
    """What the decision against production asks of the held-out cases."""

    wanted: int
    """on so many an equal candidate is let through as often as `operating.WANTED` at the first
    look; or as many as are asked for at most"""
    useful_from: int
    """fewer are no use: hardly any candidate passes, for gates take more, or for the decision"""


def cases_to_decide(task: TaskSettings, settings: EvaluationSettings) -> CasesToDecide | None:
    """What the decision asks for; None: few cases were chosen knowingly."""
    minimum = minimum_of(settings)
    if not minimum:
        return None
    rule = rule_of(settings.decision, margin=settings.margin).at(1)
    wanted, useful = (
        cases_for(rule, passing=passing, margin=settings.margin, graded=is_prose(task))
        or MOST_TO_DECIDE
        for passing in (WANTED, 1 - HARDLY_EVER)
    )
    return CasesToDecide(
        wanted=min(wanted, MOST_TO_DECIDE), useful_from=min(max(useful, minimum), MOST_TO_DECIDE)
    )


def gate_sizes(plan: EvaluationPlan, *, trained: Iterable[Case] = ()) -> tuple[GateSize, ...]:
    """Every gate of a plan with the cases that it can stand on.

    `trained` are the rows on the other side of the split, as cases: with them a size says how many
    rows there are to hold out. They are gone through only where a gate has too few cases.
    """
    sizes, suites = plan.sizes(), {suite.name: suite for suite in plan.suites}
    per_gate, short = [], {}
    for index, gate in enumerate(plan.gate_lock.gates):
        suite = suites[gate.suite]
        wanted = _requirement(gate, plan.metrics, sizes[gate.suite].minimum_cases)
        counted = sum(map(wanted.counts, suite.cases))
        held_out = suite.kind == "held-out"
        size = GateSize(
            gate=gate,
            counted=counted,
            at_most=sum(map(wanted.may_count, suite.cases)),
            minimum=wanted.minimum,
            rows=counted if held_out else None,
            doubt=wanted.doubted(suite.cases, size=sizes[gate.suite], rule=plan.rule),
        )
        per_gate.append(size)
        if held_out and not size.enough:
            short[index] = wanted
    for index, rows in _counted(trained, short).items():
        per_gate[index] = replace(per_gate[index], rows=per_gate[index].counted + rows)
    return tuple(per_gate)


def _counted(cases: Iterable[Case], wanted: Mapping[int, Requirement]) -> Mapping[int, int]:
    """How many of the cases each requirement counts, of those that would decide."""
    counts: Counter[int] = Counter()
    if wanted:
        for case in filter(lambda case: case.decides, cases):
            counts.update(index for index, one in wanted.items() if one.counts(case))
    return counts


def alike(sizes: Iterable[GateSize]) -> list[tuple[GateSize, ...]]:
    """Gates of which the same is to be said, together, in the order of the first of each."""
    together: dict[tuple[object, ...], list[GateSize]] = {}
    for size in sizes:
        counts = (size.counted, size.at_most, size.minimum, size.rows, size.enough and size.doubt)
        said = (size.gate.suite, size.gate.minimum_cases, *counts)
        together.setdefault(said, []).append(size)
    return list(map(tuple, together.values()))


def named(sizes: Sequence[GateSize]) -> str:
    """`held-out.chrf, answered and no_loops`, of gates of one suite."""
    first, *others = sizes
    names = [first.gate.name, *(other.gate.metric for other in others)]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def what_is_missing(size: GateSize, *others: GateSize) -> str:
    """A sentence on a gate that stands on too few cases, and on `others` that are `alike`."""
    cases = "held-out cases" if size.rows is not None else f"cases of suite {size.gate.suite!r}"
    counted = f"{size.counted} {cases}" if size.counted else f"none of the {cases}"
    if size.at_most > size.counted:
        counted += f", at most {size.at_most} with values that a model invents,"
    counts, needs = ("count", "need") if others else ("counts", "needs")
    return f"{named((size, *others))} {counts} {counted} and {needs} {size.minimum}"


def what_is_doubted(size: GateSize, *others: GateSize) -> str:
    """A sentence on gates that refuse even a flawless candidate, as their cases say too little."""
    counts, doubt = ("count" if others else "counts"), size.doubt
    cases = f"{size.counted:,} held-out cases"
    if doubt and doubt.groups < size.counted:
        cases += (
            f" that are {doubt.groups:,} groups (of one customer or conversation, or nearly alike) "
            f"and worth {doubt.worth:.0f}"
        )
    return (
        f"{named((size, *others))} {counts} {cases}: too few to be sure, so even a candidate that "
        "fails none of them would be refused"
    )


DOUBT_HELPS = (
    "add rows that are unlike these, or raise data.holdout_share; evaluation.decision: lenient "
    "tolerates more, and a gate with a minimum_cases of its own is held to what was measured alone"
)
"""What helps a gate that would refuse even a flawless candidate."""


def what_decides(held_out: Sequence[Mapping[str, str]]) -> str:
    """Which held-out rows decide and which do not, by their tags, as a part of a sentence."""
    deciding = [tags for tags in held_out if origin.decides(tags)]
    samples = sum(map(origin.is_live_sample, deciding))
    said = f"{len(deciding):,} held-out cases decide"
    if samples:
        said += f", {samples:,} of them samples of live traffic"
    if regressions := len(held_out) - len(deciding):
        were = "was" if regressions == 1 else "were"
        said += (
            f"; {regressions:,} {were} found because something failed: "
            f"suite {REGRESSIONS!r}, which decides nothing"
        )
    return said


LIFTS = (
    "A gate may have a minimum_cases of its own, and evaluation.allow_small_suite: true lifts the "
    "general one"
)
"""What helps every gate that stands on a few cases, and is to be done knowingly."""


DROPS = "condition: null, and the reason"
"""How the model file says that a gate is not asked; a default gate that is only removed holds."""


def what_helps(size: GateSize, *, share: float | None, automatic_up_to: float) -> str:
    """What would let the gate pass, most helpful first; `LIFTS` apart.

    `share` is the declared share of rows that is held out, None where it is chosen by itself, at
    most `automatic_up_to`. Numbers of rows are estimates: groups differ in size.
    """
    if size.gate.suite == REGRESSIONS:
        return "approve more corrections, of which a share is held out, or remove the gate"
    if size.rows is None:
        more = size.minimum - size.counted
        return f"add {more} {'case' if more == 1 else 'cases'} that it counts to the suite's file"
    remedies = []
    tried = max(share or 0.0, automatic_up_to)
    needed = math.ceil(100 * _SLACK * size.minimum / size.rows) / 100 if size.rows else 1.0
    if share is not None and share < automatic_up_to and needed <= automatic_up_to:
        remedies.append("set data.holdout_share: auto")
    else:
        more = math.ceil(_SLACK * size.minimum / tried) - size.rows
        # Enough on average, but not here: the groups that are held out happen to be small.
        needed = max(needed, round(tried + 0.02, 2))
        remedies.append(f"add about {max(more, math.ceil(0.1 * size.rows))} rows that it counts")
        if needed < _LARGEST_SHARE:
            remedies.append(f"set data.holdout_share: {needed:g}")
    if not size.counted:
        remedies.append(f"drop the gate ({DROPS})")
    elif size.gate.minimum_cases is not None:
        remedies.append("lower its own minimum_cases")
    return ", or ".join(remedies)


def _requirement(gate: Gate, metrics: Sequence[Metric], minimum: int) -> Requirement:
    of_gate = minimum if gate.minimum_cases is None else gate.minimum_cases
    return Requirement(
        gate=gate,
        metric=next((metric for metric in metrics if metric.name == gate.metric), None),
        minimum=max(1, of_gate),
    )
