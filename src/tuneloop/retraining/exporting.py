"""Exports as the cycle needs them: stored, checked at every hop, with a table of size and speed."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.deployment.backends.base import ServerHandle
from tuneloop.deployment.export.parity import MERGED, check_parity, require_parity
from tuneloop.deployment.export.stage import (
    F16,
    MANIFEST,
    SAFETENSORS,
    Export,
    export_candidate,
    gguf_name,
    open_export,
)
from tuneloop.evaluation.plan import EvaluationPlan
from tuneloop.evaluation.report import ParityHop, QuantisationRow
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import ask
from tuneloop.evaluation.suites import make_suite
from tuneloop.evaluation.targets import OpenAITarget
from tuneloop.hashing import digest_file
from tuneloop.registry.base_model import verify_base
from tuneloop.registry.gguf_base import check_gguf_belongs
from tuneloop.retraining import serving

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop
    from tuneloop.training.stage import TrainingRun

PARITY_PROMPTS = 8
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

    @property
    def served_path(self) -> Path:
        """Where the served file lies."""
        return self.export.folder / self.served.name


def export(loop: Loop, run: TrainingRun, plan: EvaluationPlan) -> Exported:
    """Export a run in the forms of the model file, and check every hop on cases of the plan.

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
    hops = _parity(loop, trained, made, plan)
    loop.progress.step("Storing the export")
    artifact = loop.workspace.artifacts.put(made.folder, kind="export")
    stored = open_export(loop.workspace.artifacts.get(artifact))
    shutil.rmtree(work, ignore_errors=True)
    work.with_name(f"{work.name}.progress.json").unlink(missing_ok=True)
    return _exported(loop, artifact, stored, hops)


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
    loop: Loop, exported: Exported, plan: EvaluationPlan
) -> list[QuantisationRow]:
    """Size, quality and speed of every exported file, on the first cases of the main suite."""
    cases = plan.main_suite.cases[:TABLE_CASES]
    suite = make_suite(plan.main_suite.name, plan.main_suite.kind, cases)
    rows = []
    for form in exported.export.forms.values():
        if form.name == SAFETENSORS:
            continue
        loop.progress.step(f"Measuring {form.name} on {len(cases)} cases")
        digest = form.files[0].digest
        name = f"{form.name}-{digest[:12]}"
        with serving.file_server(
            loop.workspace, exported.export.path(form.name), name=name, endpoint=loop.model.endpoint
        ) as url:
            target = OpenAITarget(base_url=url, model=name, identity=digest, sampling=plan.sampling)
            answers = ask(
                suite,
                target,
                folder=loop.workspace.folder("work/answers/quantisations"),
                concurrency=plan.concurrency,
                progress=loop.progress,
            )
        result = measure(answers, plan.metrics)
        rows.append(
            QuantisationRow(
                name=form.name,
                size_bytes=form.size_bytes,
                tokens_per_second=_tokens_per_second(result),
                figures={m: f for m, f in result.figures.items() if m in _TABLE_METRICS},
            )
        )
    return rows


def _parity(loop: Loop, trained: Path, made: Export, plan: EvaluationPlan) -> tuple[ParityHop, ...]:
    @contextmanager
    def serve(path: Path) -> Iterator[ServerHandle]:
        with serving.file_server(
            loop.workspace, path, name=f"parity-{path.stem}", endpoint=loop.model.endpoint
        ) as url:
            yield ServerHandle(base_url=url, served_name=path.stem)

    verdicts = check_parity(
        base=loop.base().folder,
        trained=trained,
        export=made,
        prompts=[case.messages for case in plan.main_suite.cases[:PARITY_PROMPTS]],
        serve=serve,
        bounds={str(form): bound for form, bound in loop.model.export.parity.items()},
        progress=loop.progress,
    )
    # What is not served may diverge: the report says so.
    require_parity([v for v in verdicts if v.hop in (MERGED, F16, loop.model.export.serve)])
    return tuple(
        ParityHop(
            name=f"{one.reference} → {one.hop}",
            passed=one.passed,
            checked=one.prompts,
            agreed=round((one.agreement or 0.0) * one.prompts),
            largest_difference=one.largest_logprob_difference,
            bound=_finite(one.bounds.max_logprob_difference),
            detail=one.reason,
        )
        for one in verdicts
    )


def _exported(
    loop: Loop, artifact: str, made: Export, hops: tuple[ParityHop, ...] = ()
) -> Exported:
    serve = loop.model.export.serve
    form = made.forms[serve]
    template = made.folder / SAFETENSORS / "chat_template.jinja"
    return Exported(
        artifact=artifact,
        export=made,
        served=ServedFile(name=gguf_name(serve), digest=form.files[0].digest),
        chat_template=digest_file(template) if template.is_file() else "",
        parity=hops,
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
