"""Exports as the cycle needs them: stored, checked at every hop, with a table of size and speed.

Each form is served once for the checks: parity and, unless it is the one that will serve, the
table. The served form's row comes from the candidate's own evaluation. What an earlier export of
the same weights made or showed is used again: files, parity, answers.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tuneloop import serving
from tuneloop.candidates import answered
from tuneloop.deployment.backends.base import Server, ServerHandle
from tuneloop.deployment.export.base import BaseFile, base_file
from tuneloop.deployment.export.forms.form import F16, SAFETENSORS
from tuneloop.deployment.export.parity import (
    MERGED,
    ParityVerdict,
    check_parity,
    require_parity,
)
from tuneloop.deployment.export.parity_record import ParityRecord
from tuneloop.deployment.export.stage import (
    Export,
    ExportedForm,
    export_candidate,
    is_export_of,
    open_export,
)
from tuneloop.errors import StoreError
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import ParityHop, QuantisationRow
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask
from tuneloop.evaluation.suites import Suite, make_suite
from tuneloop.evaluation.targets import ChatTarget, OpenAITarget
from tuneloop.hashing import digest_file, short
from tuneloop.intervals import Figure
from tuneloop.project import Project
from tuneloop.registry import bundle as bundles
from tuneloop.registry.base_model import verify_base
from tuneloop.registry.gguf_base import check_gguf_belongs
from tuneloop.training.stage import TrainingRun

PARITY_PROMPTS = 8
UNSERVED_PARITY_PROMPTS = 4
"""For quantisations that do not serve: their parity is told and refuses nothing."""
TABLE_CASES = 16
"""Cases that each quantisation is asked for the table; the gates see all cases."""
_EARLIER_EXPORTS = 4
"""So many of the same weights are looked through for files that need not be made again."""
_TABLE_METRICS = ("correct", "accuracy", "format", "abstention_recall")


@dataclass(frozen=True, kw_only=True)
class ServedFile:
    """The file that a server loads."""

    name: str
    """Inside the export."""
    digest: str
    """SHA-256 of its bytes."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A finished export in the artifact store."""

    artifact: str
    export: Export
    served: ServedFile
    chat_template: str
    """SHA-256 of the chat template."""
    parity: tuple[ParityHop, ...] = ()
    unserved: tuple[QuantisationRow, ...] = ()
    """Rows of the table of quantisations, but for the one that serves."""

    @property
    def served_path(self) -> Path:
        """Where the served file lies."""
        return self.export.folder / self.served.name


def export(project: Project, run: TrainingRun, plan: EvaluationPlan) -> Exported:
    """Export a run and open what was made; see `make`."""
    return reopen(project, make(project, run, plan))


def make(project: Project, run: TrainingRun, plan: EvaluationPlan) -> dict[str, Any]:
    """Export a run in the forms of the model file, and check every hop on cases of the plan.

    Returns the JSON value by which `reopen` finds it again in another process.

    Raises:
        BaseModelError: the base is not the one that the run was trained on.
        DeploymentError: a step failed or the disk is full; finished steps are kept.
        GateError: a form diverges from the step before beyond its bound.
    """
    verify_base(project.base(), run.base)
    trained = _trained_folder(project.workspace.artifacts.get(str(run.artifact)))
    artifact, made = _files(project, run, trained)
    check_gguf_belongs(made.path(project.model.export.serve), project.base().folder)
    hops, rows = _check(project, trained, made, plan)
    if not artifact:
        project.progress.step("Storing the export")
        artifact = project.workspace.artifacts.put(made.folder, kind="export")
    work = _work_folder(project, run)
    shutil.rmtree(work, ignore_errors=True)
    work.with_name(f"{work.name}.progress.json").unlink(missing_ok=True)
    return {
        "artifact": artifact,
        "parity": [asdict(hop) for hop in hops],
        "unserved": [asdict(row) for row in rows],
    }


def _files(project: Project, run: TrainingRun, trained: Path) -> tuple[str, Export]:
    """The export and the artifact that it is; what was made just now is none yet."""
    base, name = project.base(), project.model.name
    forms = sorted({*project.model.export.quantisations, project.model.export.serve})
    earlier = []
    for artifact, folder in islice(_earlier(project, run), _EARLIER_EXPORTS):
        found = open_export(folder)
        if is_export_of(found, base=base, trained=trained, quantisations=forms, name=name):
            project.progress.note(
                f"Export {short(artifact)} holds these weights merged, and {', '.join(forms)}; "
                "it is used again"
            )
            return artifact, found
        earlier.append(folder)
    made = export_candidate(
        base=base,
        trained=trained,
        output=_work_folder(project, run),
        quantisations=forms,
        name=name,
        progress=project.progress,
        earlier=earlier,
    )
    return "", made


def _earlier(project: Project, run: TrainingRun) -> Iterator[tuple[str, Path]]:
    """Exports of the same weights that are whole in the store, the newest first."""
    mine, seen = _weights(project, str(run.artifact)), set()
    for bundle in bundles.listing(project.workspace, model=project.model.name):
        artifact, trained = bundle.manifest.artifacts.export, bundle.manifest.artifacts.trained
        if artifact in seen:
            continue
        seen.add(artifact)
        try:
            if _weights(project, trained) == mine:
                yield artifact, project.workspace.artifacts.get(artifact)
        except StoreError:
            continue  # it is made again, which is how a damaged one is mended


def _weights(project: Project, trained: str) -> set[tuple[str, str]]:
    """Path and digest of what a training made; its record, with its times, is left out."""
    files = project.workspace.artifacts.describe(trained).files
    return {(file.path, file.digest) for file in files if "/" in file.path}


def _work_folder(project: Project, run: TrainingRun) -> Path:
    return project.workspace.folder("work/exports") / run.id


def reopen(project: Project, made: Mapping[str, Any]) -> Exported:
    """The export that `make` described.

    Raises:
        StoreError: it is no longer in the artifact store.
        CorruptArtifactError: its bytes have changed.
    """
    return _exported(
        project,
        made["artifact"],
        open_export(project.workspace.artifacts.get(made["artifact"])),
        parity=tuple(ParityHop(**hop) for hop in made["parity"]),
        unserved=tuple(_row(row) for row in made["unserved"]),
    )


def export_base(project: Project) -> BaseFile:
    """The untuned base in the form that production serves; made once in a workspace."""
    return base_file(
        project.base(),
        project.model.export.serve,
        cache=project.workspace.folder("cache/base-exports"),
        progress=project.progress,
    )


def quantisation_table(
    exported: Exported, plan: EvaluationPlan, main: SuiteResult
) -> list[QuantisationRow]:
    """Size, quality and speed of every exported file, on the first cases of the main suite.

    `main` is the candidate's result on it: its answers are those of the served form.
    """
    suite = _table_suite(plan)
    answers = {case.id: main.cases[case.id].answer for case in suite.cases}
    served = SuiteAnswers(suite=suite, target=main.target, answers=answers)
    rows = {row.name: row for row in exported.unserved}
    for form in exported.export.forms.values():
        if form.files[0].digest == exported.served.digest:
            rows[form.name] = _measured(form, served, plan)
    return [rows[name] for name in exported.export.forms if name in rows]


def _check(
    project: Project, trained: Path, made: Export, plan: EvaluationPlan
) -> tuple[list[ParityHop], list[QuantisationRow]]:
    """Parity of every hop, and the table of the forms that do not serve."""
    serves, reader = project.model.export.serve, serving.reader()
    forms = {made.path(name): form for name, form in made.forms.items()}
    unserved = [name for name, form in made.forms.items() if form.is_gguf and name != serves]
    rows: dict[str, QuantisationRow] = {}

    @contextmanager
    def serve(path: Path) -> Iterator[ServerHandle]:
        form = forms[path]
        with _server(project, path, form) as handle:
            yield handle
            if form.name in unserved:
                rows[form.name] = _asked(project, form, _target(form, handle, plan), plan)

    verdicts = check_parity(
        base=project.base().folder,
        trained=trained,
        export=made,
        prompts=[case.messages for case in plan.main_suite.cases[:PARITY_PROMPTS]],
        prompts_of=dict.fromkeys(set(unserved) - {F16}, UNSERVED_PARITY_PROMPTS),
        serve=serve,
        reader=reader,
        bounds={str(form): bound for form, bound in project.model.export.parity.items()},
        known=ParityRecord(
            project.workspace.folder("cache/parity"),
            made,
            reader=reader.version(),
            served_with=reader.conditions(project.model.endpoint, digest=""),
        ),
        progress=project.progress,
    )
    # What is not served may diverge: the report says so.
    require_parity([v for v in verdicts if v.hop in (MERGED, F16, serves)])
    with ExitStack() as servers:
        for name in [name for name in unserved if name not in rows]:
            form = made.forms[name]
            target = _on_demand(project, servers, made.path(name), form, plan)
            rows[name] = _asked(project, form, target, plan)
    return [_hop(verdict) for verdict in verdicts], [rows[name] for name in unserved]


def _hop(verdict: ParityVerdict) -> ParityHop:
    return ParityHop(
        name=f"{verdict.reference} → {verdict.hop}",
        passed=verdict.passed,
        checked=verdict.prompts,
        agreed=round((verdict.agreement or 0.0) * verdict.prompts),
        largest_difference=verdict.largest_logprob_difference,
        bound=_finite(verdict.bounds.max_logprob_difference),
        detail=verdict.reason,
    )


def _asked(
    project: Project, form: ExportedForm, target: ChatTarget, plan: EvaluationPlan
) -> QuantisationRow:
    suite = _table_suite(plan)
    project.progress.step(f"Measuring {form.name} on {len(suite.cases)} cases")
    answers = ask(
        suite,
        target,
        folder=answered.tables_folder(project),
        known=answered.by_file(project, target.identity, serving.reader()),
        concurrency=plan.concurrency,
        progress=project.progress,
    )
    if answers.reused:
        project.progress.note(f"{answers.reused} of them were answered in an earlier run")
    return _measured(form, answers, plan)


def _server(project: Project, path: Path, form: ExportedForm) -> Server:
    name = f"{form.name}-{form.files[0].digest[:12]}"
    return serving.file_server(project.workspace, path, name=name, endpoint=project.model.endpoint)


def _target(form: ExportedForm, handle: ServerHandle, plan: EvaluationPlan) -> OpenAITarget:
    return serving.target_at(handle, identity=form.files[0].digest, sampling=plan.sampling)


def _on_demand(
    project: Project, servers: ExitStack, path: Path, form: ExportedForm, plan: EvaluationPlan
) -> serving.OnDemand:
    return serving.OnDemand(
        servers,
        lambda: _server(project, path, form),
        identity=form.files[0].digest,
        sampling=plan.sampling,
        anew=serving.reader().anew,
    )


def _measured(form: ExportedForm, answers: SuiteAnswers, plan: EvaluationPlan) -> QuantisationRow:
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


def _row(row: Mapping[str, Any]) -> QuantisationRow:
    figures = {name: Figure(**figure) for name, figure in row["figures"].items()}
    return QuantisationRow(**{**row, "figures": figures})


def _exported(
    project: Project,
    artifact: str,
    made: Export,
    *,
    parity: tuple[ParityHop, ...] = (),
    unserved: tuple[QuantisationRow, ...] = (),
) -> Exported:
    serve = project.model.export.serve
    form = made.forms[serve]
    template = made.folder / SAFETENSORS / "chat_template.jinja"
    return Exported(
        artifact=artifact,
        export=made,
        served=ServedFile(name=form.place, digest=form.files[0].digest),
        chat_template=digest_file(template) if template.is_file() else "",
        parity=parity,
        unserved=unserved,
    )


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _trained_folder(artifact: Path) -> Path:
    """The adapter, or the whole model, inside a training run's artifact."""
    adapter = artifact / "adapter"
    return adapter if adapter.is_dir() else artifact / "model"


def _tokens_per_second(result: SuiteResult) -> float | None:
    """Generated tokens by the time their requests took, prompts included."""
    answers = [r.answer for r in result.cases.values() if r.answer.error is None]
    seconds = sum(answer.latency_ms for answer in answers) / 1_000
    return sum(a.completion_tokens for a in answers) / seconds if seconds > 0 else None
