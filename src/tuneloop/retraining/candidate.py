"""From a training run to a bundle: export, parity, evaluation of the served file, registration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tuneloop.deployment import outcomes, release, servers
from tuneloop.deployment.release import AsFound, Release
from tuneloop.deployment.smoke import QUERIES, Probe
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.comparison import Standing
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.stage import Evaluation
from tuneloop.evaluation.subjects import Subject
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import answered, exporting, proving, serving, trained_on
from tuneloop.retraining.decision import Decision, Verdict, decide
from tuneloop.retraining.planning import plan_for
from tuneloop.retraining.preparing import corrections_in
from tuneloop.workspace import Workspace, actor

if TYPE_CHECKING:
    from tuneloop.datasets.versions import DatasetVersion
    from tuneloop.deployment.rollouts import Rollout
    from tuneloop.retraining.exporting import Exported
    from tuneloop.retraining.loop import Loop
    from tuneloop.training.stage import TrainingRun


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A registered bundle with its evaluation."""

    bundle: Bundle
    evaluation: Evaluation
    decision: Decision

    @property
    def passed(self) -> bool:
        """Whether it may replace production."""
        return self.decision.deploy


def make_candidate(loop: Loop, dataset: DatasetVersion, run: TrainingRun) -> Candidate:
    """Export, check, evaluate what will be served, and register it as `candidate`.

    Raises:
        DeploymentError: the export fails.
        GateError: a file diverges from the step before beyond its bound.
        EvaluationError: a server does not answer.
    """
    exported = exporting.export(loop, run, plan_for(loop, dataset, run))
    return evaluate_export(loop, dataset, run, exported)


def evaluate_export(
    loop: Loop,
    dataset: DatasetVersion,
    run: TrainingRun,
    exported: Exported,
    *,
    afresh: bool = False,
) -> Candidate:
    """Evaluate the file of an export that will be served, and register it as `candidate`.

    What the same file answered before under the same conditions is scored anew and not asked again,
    unless `afresh`.

    Raises:
        EvaluationError: a server does not answer.
    """
    plan, file = plan_for(loop, dataset, run), exported.served.digest
    with ExitStack() as open_servers:
        target = serving.file_target(
            loop.workspace,
            open_servers,
            serving.backend_of(loop.model),
            exported.served_path,
            digest=file,
            label=loop.model.name,
            endpoint=loop.model.endpoint,
            sampling=plan.sampling,
        )
        proof = proving.prove(
            loop.workspace, loop.model, exported, plan.main_suite, target, progress=loop.progress
        )
        done = evaluation.evaluate(
            loop.workspace,
            plan=plan,
            target=target,
            known={} if afresh else answered.before(loop, target, file),
            ask_again=lambda main: answered.again(
                loop, target, main, known=None if afresh else answered.repeats_of(loop, file)
            ),
            references=_references(loop, open_servers, plan),
            quantisations=lambda main: exporting.quantisation_table(exported, plan, main),
            parity=exported.parity,
            progress=loop.progress,
        )
    bundle = bundles.register(loop.workspace, _manifest(loop, dataset, run, exported, done, proof))
    _name_candidate(loop, bundle)
    loop.progress.note(f"bundle {bundle.short}")
    return Candidate(bundle=bundle, evaluation=done, decision=decision_of(bundle))


def evaluate_bundle(loop: Loop, bundle: Bundle) -> Evaluation:
    """A new evaluation of a bundle as it is served, on the suites and gates of the model file.

    Cases that it was trained on, as those of a suite that was written since may be, are left out.

    Raises:
        EvaluationError: it was trained on every case of a suite, or a server does not answer.
    """
    dataset = loop.dataset(bundle.manifest["dataset"]["digest"])
    plan = plan_for(
        loop,
        dataset,
        system=bundle.manifest["task"]["system"],
        sampling=serving.sampling_in(bundle),
    )
    plan = plan.without(trained_on.known_to_bundle(loop, bundle, plan.suites))
    try:
        with ExitStack() as open_servers:
            target = serving.bundle_target(loop.workspace, open_servers, bundle)
            return evaluation.evaluate(
                loop.workspace,
                plan=plan,
                target=target,
                ask_again=lambda main: answered.again(loop, target, main, known=None),
                references=_references(loop, open_servers, plan, without=bundle),
                progress=loop.progress,
            )
    finally:
        servers.release_unused(loop.workspace, keep=set())


def decision_of(bundle: Bundle) -> Decision:
    """Whether the bundle may replace what was in production when it was evaluated."""
    found = bundle.manifest["evaluation"]
    production = found["comparisons"].get("production")
    return decide(
        gates=found["verdict"],
        gates_reason=found["reason"],
        production=None if production is None else Standing(**production),
    )


def verdict_of(bundle: Bundle) -> Verdict:
    """How the bundle was judged, and against what."""
    found = bundle.manifest["evaluation"]
    return Verdict(
        bundle=bundle.id,
        gates=found["verdict"],
        compared_with=found.get("production"),
        decision=decision_of(bundle),
    )


def deploy(
    loop: Loop,
    bundle: Bundle,
    *,
    reason: str,
    expected: str | AsFound | None = AsFound.AS_FOUND,
) -> Release:
    """Verify, load, smoke-test and switch; `expected` and errors are `release.deploy`'s."""
    return release.deploy(
        loop.workspace,
        model=loop.model,
        bundle=bundle,
        probes=probes_of(loop.workspace, bundle),
        actor=actor(),
        reason=reason,
        progress=loop.progress,
        expected=expected,
    )


def roll_out(loop: Loop, bundle: Bundle) -> Rollout:
    """Verify, load, smoke-test and begin a rollout on the model file's plan."""
    workspace, name = loop.workspace, loop.model.endpoint_name
    loop.ingest()
    production = aliases.current(workspace, loop.model.name).get("production")
    plan = outcomes.plan_for(
        workspace.traffic,
        loop.model.rollout,
        endpoint=name,
        bundle=production.bundle if production else "",
        now=workspace.now(),
    )
    return release.roll_out(
        workspace,
        model=loop.model,
        bundle=bundle,
        plan=plan,
        probes=probes_of(workspace, bundle),
        actor=actor(),
        progress=loop.progress,
    )


def probes_of(workspace: Workspace, bundle: Bundle) -> list[Probe]:
    """Queries for the smoke test, spread over the cases that the bundle was evaluated on."""
    greedy = serving.sampling_in(bundle).temperature == 0
    row = evaluation.find(workspace, bundle.manifest["evaluation"]["id"])
    answers = evaluation.read_answers(workspace, row)
    main = answers[0]["suite"] if answers else ""
    base = {a["case"]: a["answer"]["text"] for a in answers if a["target"] == "base"}
    mine = [
        a
        for a in answers
        if a["target"] == CANDIDATE and a["suite"] == main and a["answer"]["text"].strip()
    ]
    # Those that were asked again first: of them it is known what else the file may say.
    asked_again = [a for a in mine if a.get("repeats")]
    others = [a for a in mine if not a.get("repeats")]
    step = max(1, len(others) // QUERIES)
    return [
        Probe(
            messages=tuple(a["messages"]),
            evaluated=a["answer"]["text"] if greedy else None,
            base=base.get(a["case"]),
            repeats=tuple(a.get("repeats", ())) if greedy else (),
        )
        for a in [*asked_again, *others[::step]][:QUERIES]
    ]


def task_part(loop: Loop) -> dict[str, Any]:
    """The part of a manifest that says what the model is for."""
    return loop.model.task.model_dump(mode="json")


def serving_settings(loop: Loop) -> dict[str, Any]:
    """The settings that decide how a bundle is exported and run."""
    return {
        "serve": loop.model.export.serve,
        "sampling": serving.sampling_of(loop.model).as_request(),
        **serving.backend_of(loop.model).settings(loop.model.endpoint),
    }


def evaluation_settings(loop: Loop) -> dict[str, Any]:
    """The settings that an evaluation is held to."""
    return loop.model.evaluation.model_dump(mode="json")


def _references(
    loop: Loop, open_servers: ExitStack, plan: EvaluationPlan, *, without: Bundle | None = None
) -> dict[str, Subject]:
    """Production, if there is one, as it is served; and the untuned base, asked as the candidate.

    The base is asked the main suite only: that the tuning has an effect is shown there, and the
    other suites are compared with nobody.
    """
    found: dict[str, Subject] = {}
    alias = aliases.current(loop.workspace, loop.model.name).get("production")
    if alias is not None and (without is None or alias.bundle != without.id):
        bundle = bundles.find(loop.workspace, alias.bundle)
        target = serving.bundle_target(loop.workspace, open_servers, bundle)
        known = trained_on.known_to_bundle(loop, bundle, plan.suites)
        found["production"] = replace(answered.production(loop, bundle, target), trained_on=known)
    base = exporting.export_base(loop)
    target = serving.file_target(
        loop.workspace,
        open_servers,
        serving.reader(),
        base.path,
        digest=base.digest,
        label="base",
        endpoint=loop.model.endpoint,
        sampling=plan.sampling,
    )
    found["base"] = Subject(
        target=target, conditions=answered.conditions(loop), main_suite_only=True
    )
    return found


def _manifest(
    loop: Loop,
    dataset: DatasetVersion,
    run: TrainingRun,
    exported: Exported,
    done: Evaluation,
    proof: Mapping[str, Any] | None,
) -> dict[str, Any]:
    base, backend = loop.base(), serving.backend_of(loop.model)
    return bundles.manifest(
        model=loop.model.name,
        base={"spec": base.spec, "revision": base.revision, "digest": base.digest},
        artifacts={
            "dataset": dataset.digest,
            "trained": str(run.artifact),
            "export": exported.artifact,
            "evaluation": str(done.artifact),
        },
        dataset={
            "digest": dataset.digest,
            "label": dataset.label,
            "rows_train": dataset.rows_train,
            "rows_eval": dataset.rows_eval,
            "recipe": dataset.report["recipe"]["digest"],
            "reviewers": list(dataset.report["reviewers"]),
            "corrections": corrections_in(dataset),
        },
        training={"run": run.id, "config": run.config, "hyperparameters": run.hyperparameters},
        task=task_part(loop),
        serving={
            "backend": backend.name,
            "quantisation": loop.model.export.serve,
            "file": exported.served.name,
            "digest": exported.served.digest,
            "chat_template": exported.chat_template,
            **serving.conditions(loop.model, backend, digest=exported.served.digest),
            "settings": serving_settings(loop),
            **({"proof": dict(proof)} if proof else {}),
        },
        evaluation=_evaluation_part(loop, done),
        routing={
            "endpoint": loop.model.endpoint_name,
            "rollout": loop.model.rollout.model_dump(mode="json"),
        },
    )


def _evaluation_part(loop: Loop, done: Evaluation) -> dict[str, Any]:
    report = evaluation.read_report(loop.workspace, done)
    main = next(iter(done.figures["suites"].values()))
    latency = main.get("latency_p95_ms")
    return {
        "id": done.id,
        "verdict": done.verdict,
        "reason": report.reason,
        "gates": done.gates,
        "suites": done.suites,
        "settings": evaluation_settings(loop),
        "scores": {
            name: figure for name, figure in main.items() if not name.startswith(_RUN_FIGURES)
        },
        "latency_p95_ms": latency[0] if latency else None,
        "comparisons": done.figures["comparisons"],
        "production": report.as_json()["subjects"].get("production"),
        **{key: done.figures[key] for key in ("repeatability",) if key in done.figures},
    }


_RUN_FIGURES = ("latency", "tokens", "error")


def _name_candidate(loop: Loop, bundle: Bundle) -> None:
    known = aliases.current(loop.workspace, loop.model.name)
    if "production" in known and known["production"].bundle == bundle.id:
        return
    with loop.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model=loop.model.name,
            name="candidate",
            bundle=bundle.id,
            expected=known.get("candidate"),
            actor=actor(),
            reason="evaluated",
            now=loop.workspace.now(),
        )
