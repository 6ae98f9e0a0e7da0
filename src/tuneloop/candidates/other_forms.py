"""Forms of a bundle beside the one that serves: made, compared and measured when they are wanted.

A cycle makes the file that will serve and nothing else (docs/decisions/0018). Each other form is
served once here, for its parity and for its row in the table of quantisations.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tuneloop import serving
from tuneloop.candidates import answered, exporting
from tuneloop.candidates.exporting import Exported
from tuneloop.candidates.planning import cuts_loops, plan_for
from tuneloop.datasets import versions
from tuneloop.deployment.backends.base import ServerHandle
from tuneloop.deployment.export.child import Child
from tuneloop.deployment.export.disk import partial_file, require_free_bytes
from tuneloop.deployment.export.forms.form import F16
from tuneloop.deployment.export.forms.table import in_order
from tuneloop.deployment.export.stage import Export, ExportedForm, export_candidate
from tuneloop.errors import UsageError
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import ParityHop, QuantisationRow
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask
from tuneloop.evaluation.suites import Suite, make_suite
from tuneloop.evaluation.targets import ChatTarget
from tuneloop.project import Project
from tuneloop.registry.base_model import verify_base
from tuneloop.registry.bundle import Bundle

TABLE_CASES = 16
"""Cases that each form is asked for the table; the gates see all cases."""
_PARITY_PROMPTS = 4
"""For quantisations that do not serve: their parity is told and refuses nothing."""
_TABLE_METRICS = ("correct", "accuracy", "format", "abstention_recall", "chrf", "ungrounded")
"""Those of them that the kind of task has."""


@dataclass(frozen=True, kw_only=True)
class OtherForm:
    """A form of a bundle that was made on demand."""

    form: str
    path: Path
    """The file, or the folder, that was written."""
    digests: Mapping[str, str]
    """Its files, by name: SHA-256 of the bytes."""
    row: QuantisationRow | None
    """What it costs and keeps, on the first cases of the main suite; None: no server here reads
    it, or its parity was not looked at."""
    parity: ParityHop | None
    """How far it is from what it was made from; None: as above."""


def make(
    project: Project, bundle: Bundle, forms: Sequence[str] = (), *, output: Path
) -> list[OtherForm]:
    """Write forms of a bundle into `output`, compared and measured; by default those of the model
    file that do not serve.

    Raises:
        UsageError: there is no form to make.
        DeploymentError: a step failed, a form is not known, or the disk is full.
        BaseModelError: the base is not the bundle's.
        StoreError: what the bundle was made of is no longer in the store.
    """
    wanted = [form.name for form in in_order(forms or exporting.other_forms(project))]
    if not wanted:
        raise UsageError(
            f"The model file lists no form beside {project.model.export.serve}, which serves.",
            remedy="Name one: tuneloop export --form q4_k_m",
        )
    output.mkdir(parents=True, exist_ok=True)
    verify_base(project.base(), bundle.manifest.base.digest)
    artifacts = bundle.manifest.artifacts
    trained = exporting.trained_folder(project, artifacts.trained)
    work = project.workspace.folder("work/exports") / f"{bundle.short}-other-forms"
    with Child() as child:
        made = export_candidate(
            base=project.base(),
            trained=trained,
            output=work,
            quantisations=wanted,
            name=project.model.name,
            progress=project.progress,
            earlier=[project.workspace.artifacts.get(artifacts.export)],
            child=child,
        )
        hops, rows = _measured_forms(project, bundle, trained, made, child)
    written = [
        OtherForm(
            form=name,
            path=_written(made.forms[name], made.path(name), output),
            digests={
                file.path.removeprefix(f"{name}/"): file.digest for file in made.forms[name].files
            },
            row=rows.get(name),
            parity=hops.get(name),
        )
        for name in wanted
    ]
    shutil.rmtree(work, ignore_errors=True)
    work.with_name(f"{work.name}.progress.json").unlink(missing_ok=True)
    return written


def _written(form: ExportedForm, source: Path, output: Path) -> Path:
    """A copy, since what the store shares with the export is nobody's to change."""
    target = output / source.name
    if source.is_dir():
        require_free_bytes(output, form.size_bytes)
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        with partial_file(target, needed_bytes=form.size_bytes) as partial:
            shutil.copyfile(source, partial)
    return target


def quantisation_table(
    exported: Exported, plan: EvaluationPlan, main: SuiteResult
) -> list[QuantisationRow]:
    """Size, quality and speed of the file that serves, on the first cases of the main suite.

    `main` is the candidate's result on it. The rows of other forms are those of a cycle that an
    earlier release began.
    """
    suite = _table_suite(plan)
    answers = {case.id: main.cases[case.id].answer for case in suite.cases}
    served = SuiteAnswers(suite=suite, target=main.target, answers=answers)
    rows = {row.name: row for row in exported.unserved}
    for form in exported.export.forms.values():
        if form.files[0].digest == exported.served.digest:
            rows[form.name] = _row(form, served, plan)
    return [rows[name] for name in exported.export.forms if name in rows]


def not_made(project: Project) -> list[str]:
    """What a report says of the forms that a cycle does not make; nothing where there is none."""
    forms = exporting.other_forms(project)
    if not forms:
        return []
    return [
        f"not made, and so not measured: {', '.join(forms)}; to have them: "
        "tuneloop export candidate"
    ]


def _measured_forms(
    project: Project, bundle: Bundle, trained: Path, made: Export, child: Child
) -> tuple[Mapping[str, ParityHop], Mapping[str, QuantisationRow]]:
    """Of each form that can be served here."""
    plan = plan_for(
        project,
        versions.load(project.workspace, project.model.name, bundle.manifest.dataset.digest),
        system=bundle.manifest.task.system,
        sampling=serving.sampling_in(bundle),
    )
    names = [name for name, form in made.forms.items() if form.is_gguf]
    rows: dict[str, QuantisationRow] = {}

    @contextmanager
    def serve(name: str) -> Iterator[ServerHandle]:
        form = made.forms[name]
        with exporting.server_of(project, made, name) as handle:
            yield handle
            target = serving.target_at(
                handle,
                identity=form.files[0].digest,
                sampling=plan.sampling,
                cut_loops=cuts_loops(project, plan),
                total_seconds=project.model.endpoint.total_seconds,
            )
            rows[name] = _asked(project, form, target, plan)

    verdicts = exporting.parity_of(
        project,
        trained,
        made,
        plan,
        serve=serve,
        forms_of=dict.fromkeys(set(names) - {F16}, _PARITY_PROMPTS),
        child=child,
    )
    with ExitStack() as servers:
        for name in [name for name in names if name not in rows]:
            target = _on_demand(project, servers, made, name, plan)
            rows[name] = _asked(project, made.forms[name], target, plan)
    return {verdict.hop: exporting.hop_of(verdict) for verdict in verdicts}, rows


def _asked(
    project: Project, form: ExportedForm, target: ChatTarget, plan: EvaluationPlan
) -> QuantisationRow:
    suite = _table_suite(plan)
    project.progress.step(f"Measuring {form.name} on {len(suite.cases)} cases")
    answers = ask(
        suite,
        target,
        folder=answered.tables_folder(project),
        known=answered.by_file(project, target.identity, serving.reader(), alone=True),
        concurrency=plan.concurrency,
        progress=project.progress,
    )
    if answers.reused:
        project.progress.note(f"{answers.reused} of them were answered in an earlier run")
    return _row(form, answers, plan)


def _on_demand(
    project: Project, servers: ExitStack, made: Export, form: str, plan: EvaluationPlan
) -> serving.OnDemand:
    return serving.OnDemand(
        servers,
        lambda: exporting.server_of(project, made, form),
        identity=made.forms[form].files[0].digest,
        sampling=plan.sampling,
        anew=serving.reader().anew,
        cut_loops=cuts_loops(project, plan),
        total_seconds=project.model.endpoint.total_seconds,
    )


def _row(form: ExportedForm, answers: SuiteAnswers, plan: EvaluationPlan) -> QuantisationRow:
    result = measure(answers, plan.metrics)
    return QuantisationRow(
        name=form.name,
        size_bytes=form.size_bytes,
        tokens_per_second=_tokens_per_second(result),
        figures={m: f for m, f in result.figures.items() if m in _TABLE_METRICS},
    )


def _table_suite(plan: EvaluationPlan) -> Suite:
    main = plan.main_suite
    return make_suite(main.name, main.kind, main.cases[:TABLE_CASES])


def _tokens_per_second(result: SuiteResult) -> float | None:
    """Generated tokens by the time their requests took, prompts included."""
    answers = [r.answer for r in result.cases.values() if r.answer.error is None]
    seconds = sum(answer.latency_ms for answer in answers) / 1_000
    return sum(a.completion_tokens for a in answers) / seconds if seconds > 0 else None
