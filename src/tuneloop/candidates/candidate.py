"""From a training run to a bundle: export, parity, evaluation of the served file, registration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from tuneloop import serving
from tuneloop.candidates import answered, contents, exporting, other_forms, proving, trained_on
from tuneloop.candidates.exporting import Exported
from tuneloop.candidates.planning import cuts_loops, plan_for
from tuneloop.candidates.promotion import Decision, JudgedCandidate, decide
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import outcomes, release, servers
from tuneloop.deployment.release import AsFound, Release
from tuneloop.deployment.rollouts import Rollout
from tuneloop.deployment.smoke import QUERIES, Probe
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.comparison import Standing
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.record import Evaluation
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.evaluation.streamed import LOOP
from tuneloop.evaluation.subjects import Subject
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.setup import weakened
from tuneloop.training.stage import TrainingRun
from tuneloop.workspace import Workspace


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


def make_candidate(project: Project, dataset: DatasetVersion, run: TrainingRun) -> Candidate:
    """Export, check, evaluate what will be served, and register it as `candidate`.

    Raises:
        DeploymentError: the export fails.
        GateError: a file diverges from the step before beyond its bound.
        EvaluationError: a server does not answer.
    """
    exported = exporting.export(project, run, plan_for(project, dataset, run))
    return evaluate_export(project, dataset, run, exported)


def evaluate_export(
    project: Project,
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
    plan, file = plan_for(project, dataset, run), exported.served.digest
    with ExitStack() as open_servers:
        target = serving.file_target(
            project.workspace,
            open_servers,
            serving.backend_of(project.model),
            exported.served_path,
            digest=file,
            label=project.model.name,
            endpoint=project.model.endpoint,
            sampling=plan.sampling,
            cut_loops=cuts_loops(project, plan),
        )
        proof = proving.prove(
            project.workspace,
            project.model,
            exported,
            plan.main_suite,
            target,
            progress=project.progress,
        )
        done = evaluation.evaluate(
            project.workspace,
            plan=plan,
            target=target,
            known={} if afresh else answered.before(project, target, file),
            ask_again=lambda main: answered.again(
                project, target, main, known=None if afresh else answered.repeats_of(project, file)
            ),
            references=_references(project, open_servers, plan),
            beside=serving.two_fit(project.model),
            quantisations=lambda main: other_forms.quantisation_table(exported, plan, main),
            parity=exported.parity,
            weakened=weakened.of_plan(project, plan),
            notes=[*other_forms.not_made(project), *weakened.added_gates(project)],
            progress=project.progress,
        )
    bundle = bundles.register(
        project.workspace, contents.manifest(project, dataset, run, exported, done, proof)
    )
    _name_candidate(project, bundle)
    project.progress.note(f"bundle {bundle.short}")
    return Candidate(bundle=bundle, evaluation=done, decision=decision_of(bundle))


def evaluate_bundle(project: Project, bundle: Bundle) -> Evaluation:
    """A new evaluation of a bundle as it is served, on the suites and gates of the model file.

    Cases that it was trained on, as those of a suite that was written since may be, are left out.

    Raises:
        EvaluationError: it was trained on every case of a suite, or a server does not answer.
    """
    dataset = versions.load(project.workspace, project.model.name, bundle.manifest.dataset.digest)
    plan = plan_for(
        project,
        dataset,
        system=bundle.manifest.task.system,
        sampling=serving.sampling_in(bundle),
    )
    plan = plan.without(trained_on.known_to_bundle(project, bundle, plan.suites))
    try:
        with ExitStack() as open_servers:
            target = serving.bundle_target(
                project.workspace,
                open_servers,
                bundle,
                endpoint=project.model.endpoint,
                cut_loops=cuts_loops(project, plan),
            )
            return evaluation.evaluate(
                project.workspace,
                plan=plan,
                target=target,
                ask_again=lambda main: answered.again(project, target, main, known=None),
                references=_references(project, open_servers, plan, without=bundle),
                weakened=weakened.of_plan(project, plan),
                notes=weakened.added_gates(project),
                beside=serving.two_fit(project.model),
                progress=project.progress,
            )
    finally:
        servers.release_unused(project.workspace, keep=set())


def decision_of(bundle: Bundle) -> Decision:
    """Whether the bundle may replace what was in production when it was evaluated."""
    evaluated = bundle.manifest.evaluation
    stands = {who: Standing(**stored) for who, stored in evaluated.comparisons.items()}
    return decide(
        gates=evaluated.verdict,
        gates_reason=evaluated.reason,
        production=stands.get("production"),
        base=stands.get("base"),
    )


def verdict_of(bundle: Bundle) -> JudgedCandidate:
    """How the bundle was judged, and against what."""
    evaluated = bundle.manifest.evaluation
    return JudgedCandidate(
        bundle=bundle.id,
        gates=evaluated.verdict,
        compared_with=evaluated.production,
        decision=decision_of(bundle),
    )


def deploy(
    project: Project,
    bundle: Bundle,
    *,
    reason: str,
    expected: str | AsFound | None = AsFound.AS_FOUND,
) -> Release:
    """Verify, load, smoke-test and switch; `expected` and errors are `release.deploy`'s."""
    return release.deploy(
        project.workspace,
        model=project.model,
        bundle=bundle,
        probes=probes_of(project.workspace, bundle),
        actor=project.actor,
        reason=reason,
        progress=project.progress,
        expected=expected,
    )


def roll_out(project: Project, bundle: Bundle) -> Rollout:
    """Verify, load, smoke-test and begin a rollout on the model file's plan."""
    workspace, name = project.workspace, project.model.endpoint_name
    project.ingest()
    plan = outcomes.plan_for(
        workspace.traffic,
        project.model.rollout,
        endpoint=name,
        bundle=project.in_production() or "",
        timeout_seconds=project.model.endpoint.first_token_seconds,
        now=workspace.now(),
    )
    return release.roll_out(
        workspace,
        model=project.model,
        bundle=bundle,
        plan=plan,
        probes=probes_of(workspace, bundle),
        actor=project.actor,
        progress=project.progress,
    )


def probes_of(workspace: Workspace, bundle: Bundle) -> list[Probe]:
    """Queries for the smoke test, spread over the cases that the bundle was evaluated on."""
    greedy = serving.sampling_in(bundle).temperature == 0
    row = evaluations.find(workspace, bundle.manifest.evaluation.id)
    answers = evaluations.read_answers(workspace, row)
    main = answers[0]["suite"] if answers else ""
    base = {
        a["case"]: a["answer"]["text"] for a in answers if a["target"] == "base" and _is_whole(a)
    }
    mine = [
        a
        for a in answers
        if a["target"] == CANDIDATE and a["suite"] == main and a["answer"]["text"].strip()
    ]
    mine = [a for a in mine if _is_whole(a)] or mine
    # Those that were asked again first: of them it is known what else the file may say.
    asked_again = [a for a in mine if a.get("repeats")]
    others = [a for a in mine if not a.get("repeats")]
    step = max(1, len(others) // QUERIES)
    return [
        Probe(
            messages=tuple(a["messages"]),
            evaluated=a["answer"]["text"] if greedy and _is_whole(a) else None,
            base=base.get(a["case"]),
            repeats=tuple(a.get("repeats", ())) if greedy else (),
            tools=tuple(a.get("tools", ())),
        )
        for a in [*asked_again, *others[::step]][:QUERIES]
    ]


def _is_whole(row: Mapping[str, Any]) -> bool:
    """Of an answer that was ended in a loop only the beginning is known: nobody says that again."""
    return bool(row["answer"]["finish_reason"] != LOOP)


def _references(
    project: Project,
    open_servers: ExitStack,
    plan: EvaluationPlan,
    *,
    without: Bundle | None = None,
) -> dict[str, Subject]:
    """Production, if there is one, as it is served; and the untuned base, asked as the candidate.

    The base is asked the main suite, where the tuning shows its effect, and the suites that tell
    what it cost; the other suites are compared with production alone.
    """
    subjects: dict[str, Subject] = {}
    cut_loops = cuts_loops(project, plan)
    live = project.in_production()
    if live is not None and (without is None or live != without.id):
        bundle = bundles.find(project.workspace, live)
        target = serving.bundle_target(
            project.workspace,
            open_servers,
            bundle,
            endpoint=project.model.endpoint,
            cut_loops=cut_loops,
        )
        known = trained_on.known_to_bundle(project, bundle, plan.suites)
        subjects["production"] = replace(
            answered.production(project, bundle, target), trained_on=known
        )
    base = exporting.export_base(project)
    target = serving.file_target(
        project.workspace,
        open_servers,
        serving.reader(),
        base.path,
        digest=base.digest,
        label="base",
        endpoint=project.model.endpoint,
        sampling=plan.sampling,
        cut_loops=cut_loops,
    )
    subjects["base"] = Subject(
        target=target,
        conditions=answered.conditions(project),
        main_suite_only=True,
        main_cases=plan.base_cases,
    )
    return subjects


def _name_candidate(project: Project, bundle: Bundle) -> None:
    if project.in_production() == bundle.id:
        return
    known = aliases.current(project.workspace, project.model.name)
    with project.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model=project.model.name,
            name="candidate",
            bundle=bundle.id,
            expected=known.get("candidate"),
            actor=project.actor,
            reason="evaluated",
            now=project.workspace.now(),
        )
