"""The evaluation that a dataset version and the model file call for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tuneloop import serving
from tuneloop.candidates import trained_on
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.embedders import Embedder, embedder_of
from tuneloop.evaluation import frozen
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.metrics import Metric
from tuneloop.evaluation.plan import EvaluationPlan, plan_evaluation
from tuneloop.evaluation.planned_metrics import metrics_in_gates, suite_names
from tuneloop.evaluation.targets import Sampling
from tuneloop.evaluation.validity import Validity, measures_by, of_rows
from tuneloop.online_evaluation import declared_judge
from tuneloop.project import Project
from tuneloop.setup import judged
from tuneloop.task.kind import is_prose
from tuneloop.training.stage import TrainingRun


def plan_for(
    project: Project,
    dataset: DatasetVersion,
    run: TrainingRun | None = None,
    *,
    system: str | None = None,
    sampling: Sampling | None = None,
    judge: Callable[[], Metric] | None = None,
) -> EvaluationPlan:
    """Suites and locked gates: a dataset version's held-out rows and the model file's suites.

    `run` made what is asked: cases that it was trained on are left out. `system` and `sampling`
    are those of what is asked, `judge` makes the metric of that name; None: the model file's.
    """
    task, unusable = project.model.task, _unusable(project, dataset)
    plan = plan_evaluation(
        model=project.model.name,
        task=task if system is None else task.model_copy(update={"system": system}),
        # One that nobody wrote, and that no verdict could stand on, bars nobody; that is told.
        settings=project.model.evaluation.without_added(unusable),
        sampling=sampling or serving.sampling_of(project.model),
        dataset=project.workspace.artifacts.get(dataset.digest),
        folder=project.model_file.folder,
        judge=judge or (lambda: declared_judge.metric(project)),
        unusable=unusable,
        embedder=_embedder(project),
        columns=project.model.data.columns,
        control_tokens=project.control_tokens(),
        slots=project.model.endpoint.parallel_requests,
    )
    since_frozen = frozen.notes(
        project.workspace,
        model=project.model.name,
        suites=project.model.evaluation.suites,
        folder=project.model_file.folder,
        task=task,
        columns=project.model.data.columns,
    )
    plan = replace(plan, notes=(*plan.notes, *since_frozen))
    if run is None:
        return plan
    return plan.without(trained_on.known_to_run(project, run, dataset.digest, plan.suites))


def _embedder(project: Project) -> Embedder | None:
    """The declared one; None: the local one that needs no model."""
    declared = project.model.monitors.embedder
    if declared == "static":
        return None
    return embedder_of(declared, folder=project.model_file.folder)


def _unusable(project: Project, dataset: DatasetVersion) -> Mapping[str, str]:
    """Metrics on which no verdict stands, and why: those of a judge of whom nobody knows how far
    people agree, and of prose measures that cannot tell a row's own answer from another's."""
    prose = is_prose(project.model.task)
    unusable = dict(_of_prose(project, dataset)) if prose else {}
    settings = project.model.evaluation
    asked = metrics_in_gates(settings.gates_in_force, suite_names(settings))
    of_judge = {name: name for name in asked if judging.is_judged(name)}
    of_judge |= {"accuracy": judging.NAME} if prose else {}
    objections = {name: judged.objection(project, by) for name, by in of_judge.items()}
    return unusable | {name: objection for name, objection in objections.items() if objection}


def _of_prose(project: Project, dataset: DatasetVersion) -> Mapping[str, str]:

    def looked() -> Mapping[str, Validity]:
        examples = versions.read_examples(project.workspace, dataset, "train")
        rows = [(row.question, row.completion) for row in examples if not row.calls_tools]
        return of_rows(rows, measures_by(project.model.monitors.embedder))

    measured = project.once(("validity", dataset.digest), looked)
    return {name: of.reason for name, of in measured.items() if not of.valid}


def cuts_loops(project: Project, plan: EvaluationPlan) -> bool:
    """Whether whoever is asked is stopped where an answer loops: prose alone is long enough for it
    to matter. Not where a gate judges latency, which would be that of a shorter answer."""
    return is_prose(project.model.task) and not plan.judges_latency
