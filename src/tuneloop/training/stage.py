"""Stage 2 as the command line and the cycle call it: one training run, stored and recorded."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import TrainingError, TuneloopError
from tuneloop.hashing import digest_json, short
from tuneloop.modelfile import ModelFile
from tuneloop.progress import Progress
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.base_model import BaseModel
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.storage.references import LATEST, one_named
from tuneloop.training.config import TrainingConfig
from tuneloop.training.pairs import read_pairs, require_pairs
from tuneloop.training.process import run_training
from tuneloop.training.record import Losses, losses, trained_as
from tuneloop.training.same_rows import files_of, rows_digest
from tuneloop.training.spec import TrainingSpec
from tuneloop.training.validation import OF_TRAINING, RECORDED, is_drawn, picked_alike
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One row of `training_runs`."""

    id: str
    model: str
    dataset: str
    """Digest of the dataset version."""
    base: str
    """Digest of the base model."""
    config: str
    """Digest of settings, dataset and base: equal runs have equal ones."""
    status: str
    """running, finished, failed, cancelled"""
    artifact: str | None
    """Holds `adapter` or `model`, and record.json; None until finished."""
    record: Mapping[str, Any]
    """See `tuneloop.training.record`."""
    created_at: datetime
    finished_at: datetime | None

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Each setting with its origin."""
        settings: Mapping[str, Any] = self.record.get("hyperparameters", {})
        return settings

    @property
    def losses(self) -> Losses:
        """The last loss and the best evaluation loss, in nats."""
        return losses(self.record)


def train(
    workspace: Workspace,
    *,
    model: ModelFile,
    dataset: str,
    base: BaseModel,
    progress: Progress,
    force: bool = False,
) -> TrainingRun:
    """Train on the dataset version with this digest.

    Preference training starts from another run, which is made first where it has to be. The same
    settings on the same rows and base are recognised and their run is returned (T8), whichever
    dataset version holds the rows (see `training.same_rows`), unless `force`. A run that was killed
    continues from its last checkpoint; one that was killed after its last step, or whose result
    could not be stored, is not trained again.

    Raises:
        TuneloopError: training failed or was cancelled; the run says so and can be continued.
    """
    config = TrainingConfig.from_settings(model.settings.training.model_dump(mode="json"))
    start = None
    if config.method == "dpo":
        pairs = read_pairs(files_of(workspace.artifacts.get(dataset), config)[0])
        require_pairs(len(pairs), config.minimum_pairs)
        start = _start_of_preferences(
            workspace, model, config, dataset=dataset, base=base, progress=progress
        )
    return _train(
        workspace,
        model,
        config,
        dataset=dataset,
        base=base,
        start=start,
        progress=progress,
        force=force,
    )


def _train(
    workspace: Workspace,
    model: ModelFile,
    config: TrainingConfig,
    *,
    dataset: str,
    base: BaseModel,
    start: TrainingRun | None,
    progress: Progress,
    force: bool,
) -> TrainingRun:
    settings = model.settings
    parts = {"config": config.digest(), "dataset": dataset, "base": base.digest}
    if is_drawn(config):
        # A run of an earlier release is another one: the held-out rows picked its checkpoint.
        parts[RECORDED] = OF_TRAINING
    identity = digest_json(parts if start is None else {**parts, "start": start.artifact})
    run_folder = workspace.folder("work/training") / identity[:16]
    earlier = [run for run in listing(workspace, settings.name) if run.config == identity]
    if earlier and earlier[0].status == "finished":
        # A kill came between its last line in the records and the clean-up.
        shutil.rmtree(run_folder, ignore_errors=True)
    known = _finished(workspace, earlier)
    if known is not None and not force:
        progress.note(f"training run {known.id} did exactly this already; it is used again")
        return known
    if not force:
        known = _on_equal_rows(
            workspace, config, dataset=dataset, base=base, start=start, model=settings.name
        )
    if known is not None and not force:
        progress.note(
            f"training run {known.id} trained on exactly these rows already, in dataset "
            f"{short(known.dataset)}; it is used again"
        )
        return known
    run = _start(workspace, settings.name, identity, dataset=dataset, base=base)
    spec = _spec(
        workspace, model, config, dataset=dataset, base=base, start=start, run_folder=run_folder
    )
    progress.step(
        f"Training on dataset {short(dataset)} ({config.method}, run {run.id})",
        keeps="its last checkpoint",
    )
    try:
        output = run_training(spec, progress=progress)
        artifact = workspace.artifacts.put(output.folder, kind="training-run")
    except TuneloopError as e:
        _finish(workspace, run.id, status="failed", record={"error": e.message})
        raise
    except KeyboardInterrupt:
        _finish(workspace, run.id, status="cancelled", record={})
        raise
    _finish(workspace, run.id, status="finished", artifact=artifact, record=dict(output.record))
    shutil.rmtree(spec.run_folder, ignore_errors=True)
    _tell(output.record, progress)
    return find(workspace, run.id)


def _spec(
    workspace: Workspace,
    model: ModelFile,
    config: TrainingConfig,
    *,
    dataset: str,
    base: BaseModel,
    start: TrainingRun | None,
    run_folder: Path,
) -> TrainingSpec:
    train_file, held_out = files_of(workspace.artifacts.get(dataset), config)
    draws = is_drawn(config)
    return TrainingSpec(
        base_folder=base.folder,
        train_file=train_file,
        # With one pass nothing is picked, so that the held-out loss may be looked at.
        eval_file=held_out if held_out.is_file() and not draws else None,
        draws_validation=draws,
        run_folder=run_folder,
        start_folder=None if start is None else _adapter(workspace, start),
        start_run="" if start is None else start.id,
        config=config,
        origins={key: model.origin(f"training.{key}") for key in config.settings()},
        dataset_digest=dataset,
        base={"spec": base.spec, "revision": base.revision or "", "digest": base.digest},
    )


def _start_of_preferences(
    workspace: Workspace,
    model: ModelFile,
    config: TrainingConfig,
    *,
    dataset: str,
    base: BaseModel,
    progress: Progress,
) -> TrainingRun | None:
    """The run whose adapter preference training goes on from; None for the untuned base.

    By default one on the examples of the same version: DPO only shifts weight between answers that
    its reference gives already (Rafailov et al. 2023, section 4), and new examples must be learned
    before. Production has not seen them, and the untuned base does not know the task.

    Raises:
        TrainingError: nothing is in production, or it is no adapter on this base.
    """
    if config.start_from == "base":
        return None
    if config.start_from == "sft":
        return _train(
            workspace,
            model,
            config.before_preferences(),
            dataset=dataset,
            base=base,
            start=None,
            progress=progress,
            force=False,
        )
    run = _run_in_production(workspace, model.settings.name)
    if run.base != base.digest:
        raise TrainingError(
            "What is in production was trained on another base than the model file names.",
            remedy="Set training.start_from: sft.",
        )
    _adapter(workspace, run)
    return run


def _run_in_production(workspace: Workspace, model: str) -> TrainingRun:
    alias = aliases.in_production(workspace, model)
    if alias is None:
        raise TrainingError(
            "training.start_from is production, and nothing is in production.",
            remedy="Set training.start_from: sft.",
        )
    return find(workspace, bundles.find(workspace, alias.bundle).manifest.training.run)


def _adapter(workspace: Workspace, run: TrainingRun) -> Path:
    """The adapter that a run made.

    Raises:
        TrainingError: it trained all weights.
    """
    folder = workspace.artifacts.get(str(run.artifact)) / "adapter"
    if not folder.is_dir():
        raise TrainingError(
            f"Training run {run.id} made a whole model; preference training goes on from a LoRA.",
            remedy="Set training.start_from: sft.",
        )
    return folder


def find(workspace: Workspace, run: str) -> TrainingRun:
    """The run with this id.

    Raises:
        TrainingError: there is none.
    """
    table = tables.training_runs
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.id == run)).first()
    if row is None:
        raise TrainingError(f"There is no training run {run!r}.", remedy="See: tuneloop runs list")
    return record_of(TrainingRun, row)


def run_of(workspace: Workspace, model: str, reference: str = LATEST) -> TrainingRun:
    """A run by id, its beginning, or `latest` (the newest finished one).

    Raises:
        UsageError: none, or more than one, is meant.
    """
    runs = listing(workspace, model)
    return one_named(
        runs,
        reference,
        lambda run: (run.id,),
        what="training runs",
        remedy="See them with `tuneloop runs list`; start one with `tuneloop train`.",
        latest=[run for run in runs if run.status == "finished"],
    )


def listing(workspace: Workspace, model: str) -> list[TrainingRun]:
    """All runs of a model, the newest first."""
    table = tables.training_runs
    query = sa.select(table).where(table.c.model == model).order_by(table.c.created_at.desc())
    with workspace.records.begin() as tx:
        return [record_of(TrainingRun, row) for row in tx.execute(query)]


def _finished(workspace: Workspace, runs: Sequence[TrainingRun]) -> TrainingRun | None:
    """The first whose result is still in the store."""
    for run in runs:
        if run.status == "finished" and run.artifact and workspace.artifacts.exists(run.artifact):
            return run
    return None


def _on_equal_rows(
    workspace: Workspace,
    config: TrainingConfig,
    *,
    dataset: str,
    base: BaseModel,
    start: TrainingRun | None,
    model: str,
) -> TrainingRun | None:
    """A finished run with these settings whose dataset version holds the same rows."""
    start_run = start.id if start else ""
    # Reading rows takes time: those of a version once, and only where a run can be used again.
    digest = cache(lambda version: rows_digest(workspace.artifacts.get(version), config))
    for run in listing(workspace, model):
        if (
            run.base == base.digest
            and run.record.get("start_run", "") == start_run
            and trained_as(run.record, config)
            and picked_alike(run.record, config)
            and _finished(workspace, [run]) is not None
            and workspace.artifacts.exists(run.dataset)
            and digest(run.dataset) == digest(dataset)
        ):
            return run
    return None


def _start(
    workspace: Workspace, model: str, identity: str, *, dataset: str, base: BaseModel
) -> TrainingRun:
    """A new row, or the one that a killed process left running."""
    table, now = tables.training_runs, workspace.now()
    left = sa.select(table.c.id).where(
        table.c.model == model, table.c.config == identity, table.c.status == "running"
    )
    with workspace.records.begin() as tx:
        run = tx.execute(left).scalars().first()
        if run is None:
            run = f"{now:%Y%m%d}-{uuid.uuid4().hex[:8]}"
            tx.execute(
                sa.insert(table).values(
                    id=run,
                    model=model,
                    dataset=dataset,
                    base=base.digest,
                    config=identity,
                    status="running",
                    record={},
                    created_at=now,
                )
            )
    return find(workspace, run)


def _finish(workspace: Workspace, run: str, **values: Any) -> None:
    table = tables.training_runs
    with workspace.records.begin() as tx:
        tx.execute(
            sa.update(table).where(table.c.id == run).values(finished_at=workspace.now(), **values)
        )


def _tell(record: Mapping[str, Any], progress: Progress) -> None:
    steps, before = record["steps"], record.get("resumed_from_step", 0)
    went_on = f"of {steps} after going on" if before else "steps"
    progress.note(
        f"{steps - before} {went_on} in {record['train_seconds']:.0f} s, "
        f"{record['tokens_per_second']:.0f} tokens/s, {losses(record)}"
    )
