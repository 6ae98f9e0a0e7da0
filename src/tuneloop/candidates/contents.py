"""What a bundle is made of, as its manifest says, and the settings that make it another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneloop import serving
from tuneloop.candidates.exporting import Exported
from tuneloop.candidates.preparing import corrections_in
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.plan import base_cases_of
from tuneloop.evaluation.record import Evaluation
from tuneloop.project import Project
from tuneloop.registry.manifest import (
    Artifacts,
    Base,
    Dataset,
    Evaluated,
    Manifest,
    Routing,
    Serving,
    Task,
    Training,
)
from tuneloop.training.stage import TrainingRun

_RUN_FIGURES = ("latency", "tokens", "error")


def task_part(project: Project) -> dict[str, Any]:
    """The part of a manifest that says what the model is for."""
    return project.model.task.model_dump(mode="json")


def serving_settings(project: Project) -> dict[str, Any]:
    """The settings that decide how a bundle is exported and run."""
    return {
        "serve": project.model.export.serve,
        "sampling": serving.sampling_of(project.model).as_request(),
        **serving.backend_of(project.model).settings(project.model.endpoint),
    }


def evaluation_settings(project: Project) -> dict[str, Any]:
    """The settings that an evaluation is held to."""
    settings = project.model.evaluation.model_dump(mode="json", exclude={"base_cases"})
    settings["concurrency"] = project.model.cases_at_a_time
    # Left out where all are asked, as in bundles from before this could be said.
    base_cases = base_cases_of(project.model.task, project.model.evaluation)
    return settings if base_cases is None else {**settings, "base_cases": base_cases}


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `evaluation_settings` that decide a verdict, and not only how soon it is there."""
    return {name: value for name, value in settings.items() if name != "concurrency"}


def manifest(
    project: Project,
    dataset: DatasetVersion,
    run: TrainingRun,
    exported: Exported,
    done: Evaluation,
    proof: Mapping[str, Any] | None,
) -> Manifest:
    """The manifest of a candidate; `proof` where its weights are proven by answers."""
    base = project.base()
    return Manifest(
        model=project.model.name,
        base=Base(spec=base.spec, revision=base.revision, digest=base.digest),
        artifacts=Artifacts(
            dataset=dataset.digest,
            trained=str(run.artifact),
            export=exported.artifact,
            evaluation=str(done.artifact),
        ),
        dataset=Dataset(
            digest=dataset.digest,
            label=dataset.label,
            rows_train=dataset.rows_train,
            rows_eval=dataset.rows_eval,
            recipe=dataset.report["recipe"]["digest"],
            reviewers=list(dataset.report["reviewers"]),
            corrections=corrections_in(dataset),
        ),
        training=Training(run=run.id, config=run.config, hyperparameters=dict(run.hyperparameters)),
        task=Task.of(task_part(project)),
        serving=_serving_part(project, exported, proof),
        evaluation=_evaluation_part(project, done),
        routing=Routing(
            endpoint=project.model.endpoint_name,
            rollout=project.model.rollout.model_dump(mode="json"),
        ),
    )


def _serving_part(project: Project, exported: Exported, proof: Mapping[str, Any] | None) -> Serving:
    """With what its backend writes of itself in it, as it decides answers like the rest."""
    backend, file = serving.backend_of(project.model), exported.served
    return Serving.of(
        {
            "backend": backend.name,
            "quantisation": project.model.export.serve,
            "file": file.name,
            "digest": file.digest,
            "chat_template": exported.chat_template,
            **({"control_tokens": list(tokens)} if (tokens := project.control_tokens()) else {}),
            **serving.conditions(project.model, backend, digest=file.digest),
            "settings": serving_settings(project),
            **({"proof": dict(proof)} if proof else {}),
        }
    )


def _evaluation_part(project: Project, done: Evaluation) -> Evaluated:
    report = evaluations.read_report(project.workspace, done)
    main = next(iter(done.figures["suites"].values()))
    latency = main.get("latency_p95_ms")
    return Evaluated(
        id=done.id,
        verdict=done.verdict or "",
        reason=report.reason,
        gates=done.gates,
        suites=done.suites,
        settings=evaluation_settings(project),
        scores={name: it for name, it in main.items() if not name.startswith(_RUN_FIGURES)},
        latency_p95_ms=latency[0] if latency else None,
        comparisons=done.figures["comparisons"],
        production=report.as_json()["subjects"].get("production"),
        repeatability=done.figures.get("repeatability"),
        weakened=done.figures.get("weakened"),
    )
