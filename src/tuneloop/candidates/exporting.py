"""Exports as the cycle needs them: the form that will serve, stored and checked at every hop.

What an earlier export of the same weights made or showed is used again. Other forms are made and
measured when somebody asks for them: `candidates.other_forms`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tuneloop import serving
from tuneloop.deployment.backends.base import Server, ServerHandle
from tuneloop.deployment.export.base import BaseFile, base_file
from tuneloop.deployment.export.child import Child
from tuneloop.deployment.export.forms.form import SAFETENSORS
from tuneloop.deployment.export.parity import ParityVerdict, check_parity, require_parity
from tuneloop.deployment.export.parity_record import ParityRecord
from tuneloop.deployment.export.stage import (
    Export,
    export_candidate,
    is_export_of,
    open_export,
)
from tuneloop.errors import StoreError
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import ParityHop, QuantisationRow
from tuneloop.hashing import digest_file, short
from tuneloop.intervals import Figure
from tuneloop.project import Project
from tuneloop.registry import bundle as bundles
from tuneloop.registry.base_model import verify_base
from tuneloop.registry.gguf_base import check_gguf_belongs
from tuneloop.training.stage import TrainingRun

PARITY_PROMPTS = 8
_EARLIER_EXPORTS = 4
"""So many of the same weights are looked through for files that need not be made again."""


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
    """Rows of the table of quantisations for other forms, from a cycle that was begun by an earlier
    release and measured them."""

    @property
    def served_path(self) -> Path:
        """Where the served file lies."""
        return self.export.folder / self.served.name


def export(project: Project, run: TrainingRun, plan: EvaluationPlan) -> Exported:
    """Export a run and open what was made; see `make`."""
    return reopen(project, make(project, run, plan))


def make(project: Project, run: TrainingRun, plan: EvaluationPlan) -> dict[str, Any]:
    """Export a run in the form that will serve, and check every hop on cases of the plan.

    Returns the JSON value by which `reopen` finds it again in another process.

    Raises:
        BaseModelError: the base is not the one that the run was trained on.
        DeploymentError: a step failed or the disk is full; finished steps are kept.
        GateError: a form diverges from the step before beyond its bound.
    """
    verify_base(project.base(), run.base)
    trained = trained_folder(project, str(run.artifact))
    with Child() as child:
        artifact, made = _files(project, run, trained, child)
        check_gguf_belongs(made.path(project.model.export.serve), project.base().folder)
        verdicts = parity_of(
            project,
            trained,
            made,
            plan,
            serve=lambda form: server_of(project, made, form),
            child=child,
        )
    require_parity(verdicts)
    if not artifact:
        project.progress.step("Storing the export")
        artifact = project.workspace.artifacts.put(made.folder, kind="export")
    work = _work_folder(project, run)
    shutil.rmtree(work, ignore_errors=True)
    work.with_name(f"{work.name}.progress.json").unlink(missing_ok=True)
    return {
        "artifact": artifact,
        "parity": [asdict(hop_of(verdict)) for verdict in verdicts],
    }


def _files(project: Project, run: TrainingRun, trained: Path, child: Child) -> tuple[str, Export]:
    """The export and the artifact that it is; what was made just now is none yet."""
    base, name = project.base(), project.model.name
    forms = [project.model.export.serve]
    earlier = []
    for artifact, folder in islice(_earlier(project, run), _EARLIER_EXPORTS):
        earlier_export = open_export(folder)
        if is_export_of(earlier_export, base=base, trained=trained, quantisations=forms, name=name):
            project.progress.note(
                f"Export {short(artifact)} holds these weights merged, and {', '.join(forms)}; "
                "it is used again"
            )
            return artifact, earlier_export
        earlier.append(folder)
    made = export_candidate(
        base=base,
        trained=trained,
        output=_work_folder(project, run),
        quantisations=forms,
        name=name,
        progress=project.progress,
        earlier=earlier,
        child=child,
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
        unserved=tuple(_row(row) for row in made.get("unserved", ())),
    )


def export_base(project: Project) -> BaseFile:
    """The untuned base in the form that production serves; made once on a machine."""
    return base_file(
        project.base(),
        project.model.export.serve,
        cache=project.workspace.shared_folder("base-exports"),
        progress=project.progress,
    )


def parity_of(
    project: Project,
    trained: Path,
    made: Export,
    plan: EvaluationPlan,
    *,
    serve: Callable[[str], AbstractContextManager[ServerHandle]],
    forms_of: Mapping[str, int] | None = None,
    child: Child | None = None,
) -> list[ParityVerdict]:
    """Parity of every hop of an export, on cases of the plan; what was shown before is known.

    `serve` serves a form here for as long as the context lasts; `forms_of` says on how many cases
    a form is compared, by default on `PARITY_PROMPTS`.

    Raises:
        DeploymentError: a form cannot be loaded, served or asked.
    """
    reader = serving.reader()
    names = {made.path(name): name for name in made.forms}
    return check_parity(
        base=project.base().folder,
        trained=trained,
        export=made,
        prompts=[case.prompt for case in plan.main_suite.cases[:PARITY_PROMPTS]],
        prompts_of=forms_of,
        serve=lambda path: serve(names[path]),
        reader=reader,
        bounds={str(form): bound for form, bound in project.model.export.parity.items()},
        known=ParityRecord(
            project.workspace.folder("cache/parity"),
            made,
            reader=reader.version(),
            served_with=reader.conditions(project.model.endpoint, digest=""),
        ),
        progress=project.progress,
        child=child,
    )


def hop_of(verdict: ParityVerdict) -> ParityHop:
    """A step of an export as reports tell it."""
    return ParityHop(
        name=f"{verdict.reference} → {verdict.hop}",
        passed=verdict.passed,
        checked=verdict.prompts,
        agreed=round((verdict.agreement or 0.0) * verdict.prompts),
        largest_difference=verdict.largest_logprob_difference,
        bound=_finite(verdict.bounds.max_logprob_difference),
        detail=verdict.reason,
    )


def server_of(project: Project, made: Export, form: str) -> Server:
    """Serves a form of an export here, with production's settings."""
    name = f"{form}-{made.forms[form].files[0].digest[:12]}"
    return serving.file_server(
        project.workspace, made.path(form), name=name, endpoint=project.model.endpoint
    )


def other_forms(project: Project) -> Sequence[str]:
    """What the model file lists beside the form that serves: made when somebody asks for it."""
    export = project.model.export
    return [form for form in export.quantisations if form != export.serve]


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


def trained_folder(project: Project, artifact: str) -> Path:
    """The adapter, or the whole model, inside a training run's artifact.

    Raises:
        StoreError: it is no longer in the artifact store.
    """
    folder = project.workspace.artifacts.get(artifact)
    adapter = folder / "adapter"
    return adapter if adapter.is_dir() else folder / "model"
