"""Exports as the cycle needs them: stored, checked at every hop, with a table of size and speed.

Each form is served once for the checks: parity and, unless it is the one that will serve, the
table. The served form's row comes from the candidate's own evaluation.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.deployment.backends.base import ServerHandle
from tuneloop.deployment.export.parity import (
    MERGED,
    ParityVerdict,
    check_parity,
    require_parity,
)
from tuneloop.deployment.export.stage import (
    F16,
    MANIFEST,
    SAFETENSORS,
    Export,
    ExportedForm,
    export_candidate,
    gguf_name,
    open_export,
)
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import ParityHop, QuantisationRow
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers, ask
from tuneloop.evaluation.suites import Suite, make_suite
from tuneloop.evaluation.targets import OpenAITarget
from tuneloop.hashing import digest_file
from tuneloop.intervals import Figure
from tuneloop.registry.base_model import verify_base
from tuneloop.registry.gguf_base import check_gguf_belongs
from tuneloop.retraining import serving

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop
    from tuneloop.training.stage import TrainingRun

PARITY_PROMPTS = 8
UNSERVED_PARITY_PROMPTS = 4
"""For quantisations that do not serve: their parity is told and refuses nothing."""
TABLE_CASES = 16
"""Cases that each quantisation is asked for the table; the gates see all cases."""
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


def export(loop: Loop, run: TrainingRun, plan: EvaluationPlan) -> Exported:
    """Export a run and open what was made; see `make`."""
    return reopen(loop, make(loop, run, plan))


def make(loop: Loop, run: TrainingRun, plan: EvaluationPlan) -> dict[str, Any]:
    """Export a run in the forms of the model file, and check every hop on cases of the plan.

    Returns the JSON value by which `reopen` finds it again in another process.

    Raises:
        BaseModelError: the base is not the one that the run was trained on.
        DeploymentError: a step failed or the disk is full; finished steps are kept.
        GateError: a form diverges from the step before beyond its bound.
    """
    base = loop.base()
    verify_base(base, run.base)
    forms = sorted({*loop.model.export.quantisations, loop.model.export.serve})
    trained = _trained_folder(loop.workspace.artifacts.get(str(run.artifact)))
    work = loop.workspace.folder("work/exports") / run.id
    made = export_candidate(
        base=base,
        trained=trained,
        output=work,
        quantisations=forms,
        name=loop.model.name,
        progress=loop.progress,
    )
    check_gguf_belongs(made.path(loop.model.export.serve), base.folder)
    hops, rows = _check(loop, trained, made, plan)
    loop.progress.step("Storing the export")
    artifact = loop.workspace.artifacts.put(made.folder, kind="export")
    shutil.rmtree(work, ignore_errors=True)
    work.with_name(f"{work.name}.progress.json").unlink(missing_ok=True)
    return {
        "artifact": artifact,
        "parity": [asdict(hop) for hop in hops],
        "unserved": [asdict(row) for row in rows],
    }


def reopen(loop: Loop, made: Mapping[str, Any]) -> Exported:
    """The export that `make` described.

    Raises:
        StoreError: it is no longer in the artifact store.
        CorruptArtifactError: its bytes have changed.
    """
    return _exported(
        loop,
        made["artifact"],
        open_export(loop.workspace.artifacts.get(made["artifact"])),
        parity=tuple(ParityHop(**hop) for hop in made["parity"]),
        unserved=tuple(_row(row) for row in made["unserved"]),
    )


def export_base(loop: Loop) -> Exported:
    """The untuned base in the form that production serves; made once and kept in the cache."""
    base = loop.base()
    output = (
        loop.workspace.folder("cache/base-exports") / f"{base.digest}-{loop.model.export.serve}"
    )
    if (output / MANIFEST).is_file():
        return _exported(loop, "", open_export(output))
    made = export_candidate(
        base=base,
        trained=base.folder,
        output=output,
        quantisations=[loop.model.export.serve],
        name="base",
        progress=loop.progress,
    )
    return _exported(loop, "", made)


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
    loop: Loop, trained: Path, made: Export, plan: EvaluationPlan
) -> tuple[list[ParityHop], list[QuantisationRow]]:
    """Parity of every hop, and the table of the forms that do not serve."""
    serves = loop.model.export.serve
    forms = {made.path(name): form for name, form in made.forms.items()}
    rows: list[QuantisationRow] = []

    @contextmanager
    def serve(path: Path) -> Iterator[ServerHandle]:
        form = forms[path]
        name = f"{form.name}-{form.files[0].digest[:12]}"
        with serving.file_server(
            loop.workspace, path, name=name, endpoint=loop.model.endpoint
        ) as url:
            yield ServerHandle(base_url=url, served_name=name)
            if form.name != serves:
                rows.append(_asked(loop, form, url, name, plan))

    spot_checked = made.forms.keys() - {SAFETENSORS, F16, serves}
    verdicts = check_parity(
        base=loop.base().folder,
        trained=trained,
        export=made,
        prompts=[case.messages for case in plan.main_suite.cases[:PARITY_PROMPTS]],
        prompts_of=dict.fromkeys(spot_checked, UNSERVED_PARITY_PROMPTS),
        serve=serve,
        bounds={str(form): bound for form, bound in loop.model.export.parity.items()},
        progress=loop.progress,
    )
    # What is not served may diverge: the report says so.
    require_parity([v for v in verdicts if v.hop in (MERGED, F16, serves)])
    return [_hop(verdict) for verdict in verdicts], rows


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
    loop: Loop, form: ExportedForm, url: str, name: str, plan: EvaluationPlan
) -> QuantisationRow:
    suite = _table_suite(plan)
    loop.progress.step(f"Measuring {form.name} on {len(suite.cases)} cases")
    target = OpenAITarget(
        base_url=url, model=name, identity=form.files[0].digest, sampling=plan.sampling
    )
    answers = ask(
        suite,
        target,
        folder=loop.workspace.folder("work/answers/quantisations"),
        concurrency=plan.concurrency,
        progress=loop.progress,
    )
    return _measured(form, answers, plan)


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
    loop: Loop,
    artifact: str,
    made: Export,
    *,
    parity: tuple[ParityHop, ...] = (),
    unserved: tuple[QuantisationRow, ...] = (),
) -> Exported:
    serve = loop.model.export.serve
    form = made.forms[serve]
    template = made.folder / SAFETENSORS / "chat_template.jinja"
    return Exported(
        artifact=artifact,
        export=made,
        served=ServedFile(name=gguf_name(serve), digest=form.files[0].digest),
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
