"""What a candidate will be held to less than others were: reads for `evaluation.weakening`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tuneloop.conversation import Message
from tuneloop.datasets import versions
from tuneloop.datasets.example import Example
from tuneloop.datasets.importing import Cleaning
from tuneloop.errors import EvaluationError, StoreError
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation import weakening
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.modelfile.sections.gates import default_gates
from tuneloop.project import Project
from tuneloop.registry import tombstones
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.weakness import Weakness
from tuneloop.task.kind import is_prose

Prompt = Sequence[Mapping[str, Any]]
"""Its messages, as rows."""
Asked = Mapping[str, frozenset[str]]
"""Suite → what its cases ask, as input keys: a changed system text or a renamed term makes no
other case."""


def of_plan(project: Project, plan: EvaluationPlan) -> tuple[Weakness, ...]:
    """What an evaluation asks for less than by default, and than of the bundle in production."""
    cleaning = cleaning_of(project)
    asked = {
        suite.name: keys_of((case.messages for case in suite.cases), cleaning)
        for suite in plan.suites
    }
    live = project.in_production()
    then = {} if live is None else asked_then(project, project.bundle(live))
    return (*of_cases(project, asked, then), *_not_asked(project, plan))


def of_cases(project: Project, asked: Asked, then: Asked) -> tuple[Weakness, ...]:
    """The same by the model file, and by what is asked now and what production was asked then."""
    model, live = project.model, project.in_production()
    return weakening.weaker(
        model.evaluation.model_dump(mode="json"),
        prose=is_prose(model.task),
        production=project.bundle(live).manifest.evaluation.settings if live else None,
        cases=asked,
        production_cases=then,
    )


def asked_then(project: Project, bundle: Bundle) -> Asked:
    """What a bundle was asked when it was evaluated, but for rows that were erased since.

    Where its answers are no longer kept nothing can be told; that is said.
    """

    def read() -> Asked:
        try:
            done = evaluations.find(project.workspace, bundle.manifest.evaluation.id)
            rows = evaluations.read_answers(project.workspace, done)
        except (EvaluationError, StoreError):
            project.progress.note(
                f"warning: what {bundle.short} in production was asked is not kept here, so nobody "
                "can say whether cases of it are gone"
            )
            return {}
        prompts: dict[str, list[Prompt]] = {}
        for row in rows:
            if row["target"] == CANDIDATE:
                prompts.setdefault(row["suite"], []).append(row["messages"])
        cleaning = cleaning_of(project)
        return {suite: keys_of(of_suite, cleaning) for suite, of_suite in prompts.items()}

    return project.once(("asked then", bundle.id), read)


def added_gates(project: Project) -> list[str]:
    """The default gates of which a model file with gates of its own says nothing, and how one is
    dropped."""
    evaluation = project.model.evaluation
    gates = default_gates(prose=is_prose(project.model.task))
    return [
        f"{metric} {gates[metric].condition} is a default gate, of which the model file says "
        f"nothing; drop it with evaluation.gates.{metric}: {{condition: null, reason: WHY}}"
        for metric in evaluation.added_gates
    ]


def keys_of(prompts: Iterable[Prompt], cleaning: Cleaning) -> frozenset[str]:
    """What prompts ask, by the names of today; without those that were erased."""
    examples = (
        Example(messages=tuple(map(Message.from_row, prompt)), completion="", source="", line=0)
        for prompt in prompts
    )
    return frozenset(
        cleaning.rewritten(example).input_key
        for example in examples
        if not cleaning.was_erased(example)
    )


def cleaning_of(project: Project) -> Cleaning:
    """What is done to every row of this model on its way in."""
    return versions.cleaning_of(project.model_file, tombstones.load(project.workspace))


def _not_asked(project: Project, plan: EvaluationPlan) -> Iterator[Weakness]:
    """Default gates that nobody wrote, on a metric that says nothing on this data."""
    gates = project.model.evaluation.gates
    asked = {gate.metric for gate in plan.gate_lock.gates}
    for metric in project.model.evaluation.added_gates:
        if metric not in asked:
            yield Weakness(
                about=f"evaluation.gates.{metric}",
                than="default",
                now=f"{metric} is not asked",
                was=str(gates[metric].condition),
                reason=f"it says nothing on this data, {plan.unusable[metric]}",
            )
