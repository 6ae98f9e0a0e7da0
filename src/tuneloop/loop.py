"""The loop of one model: every stage as a method, for the command line and for notebooks.

Each method takes what the one before returned. Nothing is kept in the object that is not in the
stores, so a new process goes on where this one stopped.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from tuneloop import modelfile, review
from tuneloop.arguments import checked_methods
from tuneloop.candidates import (
    backtesting,
    benching,
    candidate,
    held_out,
    other_forms,
    preparing,
    training,
)
from tuneloop.candidates.benching import Bench
from tuneloop.candidates.candidate import Candidate
from tuneloop.candidates.held_out import HeldOut
from tuneloop.candidates.other_forms import OtherForm
from tuneloop.datasets import diff, versions
from tuneloop.datasets.diff import DatasetDiff
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import controller, drill, endpoints, release, rollouts, up
from tuneloop.deployment.backtest import Backtest
from tuneloop.deployment.drill import DrillReport
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.deployment.load import Load
from tuneloop.deployment.release import Release
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import UsageError
from tuneloop.evaluation import stage as evaluations
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.stage import Evaluation
from tuneloop.lineage import retention, tracing
from tuneloop.modelfile import ModelFile, ModelSettings
from tuneloop.monitoring import alerts
from tuneloop.monitoring import stage as monitoring
from tuneloop.monitoring.alerts import Alert
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors import table
from tuneloop.online_evaluation import measuring
from tuneloop.progress import Progress
from tuneloop.project import Project
from tuneloop.registry.base_model import BaseModel
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining.cycle import run_cycle
from tuneloop.retraining.cycle_end import CycleResult
from tuneloop.setup import names
from tuneloop.status import screen as status
from tuneloop.status.screen import Status
from tuneloop.storage.ingest import IngestReport
from tuneloop.storage.retention import Pruned
from tuneloop.training import stage as runs
from tuneloop.training.stage import TrainingRun
from tuneloop.under_way import UnderWay
from tuneloop.worker import process as worker_process
from tuneloop.workspace import Workspace

LATEST = "latest"


@checked_methods
class Loop:
    """One model and its workspace, as `tuneloop.open` returns it.

    Every method raises UsageError for an argument that it cannot understand, StoreError where the
    workspace cannot be read or written, and NotAllowedError where the model file declares people
    and whoever acts may not do it. All are a TuneloopError, with what to do in `remedy`.
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    @classmethod
    def open(
        cls,
        path: Path | str = modelfile.FILE_NAME,
        *,
        overrides: Sequence[str] = (),
        progress: Progress | None = None,
        actor: str | None = None,
    ) -> Loop:
        """What `tuneloop.open` does.

        Raises:
            UsageError: an argument is of another kind.
            ModelFileError: the file is missing or wrong.
            StoreError: the workspace cannot be used.
        """
        return cls(
            Project.open(
                Path(path), actor=actor or whoever_acts(), overrides=overrides, progress=progress
            )
        )

    @property
    def workspace(self) -> Workspace:
        """The three stores, and the clock."""
        return self.project.workspace

    @property
    def model_file(self) -> ModelFile:
        """The model file as it was read, with where each value comes from."""
        return self.project.model_file

    @property
    def model(self) -> ModelSettings:
        """The model file's settings with defaults and overrides applied."""
        return self.project.model

    @property
    def progress(self) -> Progress:
        """What is told what long steps do."""
        return self.project.progress

    @property
    def actor(self) -> str:
        """Who acts, as the audit log names them."""
        return self.project.actor

    def close(self) -> None:
        """Give back what the stores hold open; the loop cannot be used afterwards."""
        self.project.close()

    def under_way(self) -> list[UnderWay]:
        """What processes are doing for this model at this moment."""
        return self.project.under_way()

    def check(self, *, base: bool = False, rows: bool = True) -> None:
        """Refuse a model file that names what is not there: files, columns, metrics, the base.

        Once it was found right it is not looked at again. With `base` it must be known that the
        base can be had; without `rows` sources and their columns may be missing.

        Raises:
            ModelFileError: with all such names at once.
            BaseModelError: `base`, and nobody could be asked for it.
        """
        names.check(self.project, base=base, rows=rows)

    # Stage 1: prepare

    def prepare(self) -> DatasetVersion:
        """Make a dataset version from the sources and all approved corrections.

        Equal rows and settings are the version that is there already.

        Raises:
            DataError: the sources cannot be used, or too little is left of them.
        """

        return preparing.prepare(self.project)

    def dataset(self, reference: str = LATEST) -> DatasetVersion:
        """A dataset version by digest, its beginning, label, or `latest`.

        Raises:
            UsageError: none, or more than one, is meant.
        """

        return versions.load(self.workspace, self.model.name, reference)

    def dataset_versions(self) -> list[DatasetVersion]:
        """All versions of this model, the newest first."""

        return versions.list_versions(self.workspace, self.model.name)

    def quarantined(self, version: DatasetVersion) -> list[dict[str, Any]]:
        """The rows that were left out of a version: source, line, reason, detail, excerpt.

        Raises:
            CorruptArtifactError: the stored bytes have changed.
        """

        return versions.read_left_out(self.workspace, version)

    def held_out(self, version: DatasetVersion) -> HeldOut:
        """The held-out cases of a version against the gates of the model file as it is now."""

        return held_out.held_out(self.project, version)

    def dataset_diff(self, before: str, after: str) -> DatasetDiff:
        """What changed between two dataset versions, named as for `dataset`.

        Raises:
            UsageError: none, or more than one, is meant by a name.
        """

        return diff.diff(self.workspace, self.dataset(before), self.dataset(after))

    # Stage 2: train

    def base(self) -> BaseModel:
        """The base model, fetched or found, with its content hash.

        Raises:
            BaseModelError: it does not exist, cannot be reached, or cannot be trained.
        """
        return self.project.base()

    def train(self, dataset: DatasetVersion | None = None, *, force: bool = False) -> TrainingRun:
        """Train on a dataset version, by default the latest.

        The same settings on the same rows are the run that is there already, unless `force`. A run
        that was interrupted goes on from its last checkpoint.

        Raises:
            UsageError: there is no dataset version.
            TrainingError: it cannot start or did not finish; it can be continued.
            BusyError: another process is training this model.
        """
        return training.train(self.project, dataset, force=force)

    def training_runs(self) -> list[TrainingRun]:
        """All runs of this model, the newest first."""

        return runs.listing(self.workspace, self.model.name)

    def training_run(self, reference: str = LATEST) -> TrainingRun:
        """A run by id, its beginning, or `latest` (the newest finished one).

        Raises:
            UsageError: none, or more than one, is meant.
        """
        return runs.run_of(self.workspace, self.model.name, reference)

    # Stage 3: evaluate

    def candidate(self, dataset: DatasetVersion, run: TrainingRun) -> Candidate:
        """Export a run, check parity, evaluate the served file, and register the bundle.

        Raises:
            DeploymentError: the export fails, or the file cannot be served.
            GateError: a file diverges from the step before beyond its bound.
            EvaluationError: a server does not answer, or a gate or suite cannot be understood.
        """

        return candidate.make_candidate(self.project, dataset, run)

    def evaluate_bundle(self, reference: str) -> Evaluation:
        """Evaluate a bundle again, on the suites and gates of the model file as it is now.

        Raises:
            UsageError: no bundle, or more than one, is meant.
            EvaluationError: a server does not answer, or a gate or suite cannot be understood.
        """

        return candidate.evaluate_bundle(self.project, self.bundle(reference))

    def export(
        self, bundle: Bundle | str = "candidate", *, forms: Sequence[str] = (), output: Path
    ) -> list[OtherForm]:
        """Write other forms of a bundle into a folder, compared and measured.

        `forms`: names such as `q4_k_m`; default: those of the model file that do not serve.

        Raises:
            UsageError: no bundle, or more than one, is meant, or there is no form to make.
            DeploymentError: a step failed, a form is not known, or the disk is full.
            BaseModelError: the base is not the bundle's.
        """

        found = self.bundle(bundle) if isinstance(bundle, str) else bundle
        return other_forms.make(self.project, found, forms, output=output)

    def evaluations(self) -> list[Evaluation]:
        """All evaluations of this model, the newest first."""

        return evaluations.find_all(self.workspace, model=self.model.name)

    def evaluation(self, reference: str = LATEST) -> Evaluation:
        """An evaluation by id, or `latest` (the newest finished one).

        Raises:
            UsageError: `latest`, and none is finished.
            EvaluationError: there is none with this id.
        """

        if reference != LATEST:
            return evaluations.find(self.workspace, reference)
        finished = [one for one in self.evaluations() if one.status == "finished"]
        if not finished:
            raise UsageError("There is no finished evaluation.", remedy="Make one: tuneloop run")
        return finished[0]

    def report(self, evaluation: Evaluation) -> Report:
        """The report of a finished evaluation.

        Raises:
            EvaluationError: it is not finished.
        """

        return evaluations.read_report(self.workspace, evaluation)

    # Stage 4: deploy

    def bundle(self, reference: str = "production") -> Bundle:
        """A bundle by id, the beginning of it, or alias: production, previous, candidate.

        Raises:
            UsageError: none, or more than one, is meant.
            CorruptArtifactError: the stored manifest does not match its id.
        """

        return self.project.bundle(reference)

    def deploy(self, bundle: Bundle | str = "candidate", *, reason: str) -> Release:
        """Put a bundle into production after verifying and smoke-testing it.

        `bundle` is one, or what `bundle()` understands; `reason` is kept in the history.

        Raises:
            UsageError: no bundle, or more than one, is meant.
            GateError: its gates did not pass, or the smoke test fails; production is unchanged.
        """

        found = self.bundle(bundle) if isinstance(bundle, str) else bundle
        return candidate.deploy(self.project, found, reason=reason)

    def roll_out(self, bundle: Bundle | str = "candidate") -> Rollout:
        """Begin to move the endpoint to a bundle step by step: shadow, canary, full.

        Raises:
            GateError: its gates did not pass, or the smoke test fails; production is unchanged.
            UsageError: nothing is in production, or nothing is being served.
            BusyError: a rollout is under way.
        """

        found = self.bundle(bundle) if isinstance(bundle, str) else bundle
        return candidate.roll_out(self.project, found)

    def rollout(self, reference: str = LATEST) -> Rollout:
        """A rollout by id, its beginning, or `latest`.

        Raises:
            UsageError: none, or more than one, is meant.
        """

        return rollouts.find(self.workspace, self.model.name, reference)

    def rollouts(self) -> list[Rollout]:
        """All rollouts of this model, the newest first."""

        return rollouts.listing(self.workspace, self.model.name)

    def steer_rollout(
        self, command: Literal["pause", "resume", "promote", "abort"], *, reason: str
    ) -> Rollout:
        """Pause, resume, promote or abort the rollout under way, by hand.

        Raises:
            UsageError: no rollout is under way, or the command does not fit where it is.
            GateError: it cannot go on, since somebody rejected the candidate.
            ConflictError: it was moved meanwhile.
        """

        return controller.steer(
            self.workspace, self.model.name, command, actor=self.actor, reason=reason
        )

    def roll_back(
        self, *, reason: str, force: bool = False, expected: str | None = None
    ) -> Endpoint:
        """Send the endpoint back to the previous bundle; doing it again undoes it.

        `expected`: the bundle to go back from; by default the one in production.

        Raises:
            UsageError: there is no previous bundle.
            ConflictError: another bundle than `expected` is in production; nothing changed.
            DeploymentError: its server fails, and `force` is not set; nothing changed.
        """

        return release.roll_back(
            self.workspace,
            model=self.model.name,
            actor=self.actor,
            reason=reason,
            force=force,
            expected=self.bundle(expected).id if expected else None,
        )

    def backtest(
        self, bundle: str = "candidate", *, since: timedelta = timedelta(days=7), limit: int = 300
    ) -> Backtest:
        """Ask a bundle what production was asked, and score both answers as a shadow stage does.

        `since`: how old a request may be; `limit`: conversations, the newest. No client sees
        anything of it.

        Raises:
            UsageError: nothing is in production, or nothing that it answered was captured.
            DeploymentError: the bundle's server does not come up.
        """

        return backtesting.backtest(self.project, self.bundle(bundle), since=since, limit=limit)

    def bench(
        self,
        bundle: str = "candidate",
        *,
        against: str | None = "production",
        loads: Sequence[Load] = (),
        gate: bool = False,
    ) -> Bench:
        """Latency of a bundle's server under a load, in turns with another one's (E11).

        `loads`: by default those of the model file; with `gate` always, and its gates are judged.
        Where nothing is in production yet, the bundle is measured alone.

        Raises:
            UsageError: it was never evaluated, so there is nothing to ask it; or `gate`, and the
                model file has no latency gates.
            EvaluationError: `gate`, and one of them cannot be understood.
            DeploymentError: a server does not come up.
        """

        found = self.bundle(bundle)
        if gate:
            return benching.gate(self.project, found, against=against)
        declared = benching.declared_loads(self.model.bench)
        return benching.bench(self.project, found, against=against, loads=loads or declared)

    def drill(
        self, *, repeats: int = 3, connections: int = 16, key: str | None = None
    ) -> DrillReport:
        """Rehearse rolling back on the live endpoint, there and back, and measure it.

        `repeats`: there and back, each; `connections`: clients that ask meanwhile; `key`: an API
        key of the endpoint, where it asks for one.

        Raises:
            UsageError: nothing is being served, or there is no previous bundle.
            DeploymentError: a switch does not take effect.
        """

        url = up.gateway_url(self.workspace)
        if url is None:
            raise UsageError("Nothing is being served.", remedy="Start it with: tuneloop up -d")
        probing = drill.Probing(
            url=url,
            endpoint=self.model.endpoint_name,
            messages=[{"role": "user", "content": "Hello"}],
            connections=connections,
            key=key,
        )
        return drill.drill(
            self.workspace,
            probing,
            model=self.model.name,
            repeats=repeats,
            actor=self.actor,
            progress=self.progress,
        )

    def up(self) -> None:
        """Serve until the process is told to stop; the endpoint takes over the file's settings.

        It takes SIGTERM, SIGINT and SIGHUP, so it needs the main thread; a notebook wants
        `up_detached`.

        Raises:
            BusyError: it is running already.
            DeploymentError: a server does not come up.
        """

        endpoints.take_over_settings(self.workspace, model=self.model, actor=self.actor)
        up.serve_until_told(
            self.workspace,
            host=self.model.endpoint.host,
            port=self.model.endpoint.port,
            count=self.model.endpoint.processes,
            beside=worker_process.beside(
                self.workspace, self.model_file.path, self.model_file.overrides
            ),
        )

    def up_detached(self) -> str:
        """Serve in the background; returns the gateway's URL once all is ready.

        Raises:
            BusyError: it is running already.
            DeploymentError: it is not ready in time; it is stopped again.
        """

        flags = [f"--set={flag}" for flag in self.model_file.overrides]
        return up.start_detached(self.workspace, ["-f", str(self.model_file.path), *flags])

    def down(self) -> bool:
        """Stop serving; whether it was running."""

        return up.stop(self.workspace)

    def status(self) -> Status:
        """What is live, since when, is it healthy, what next."""

        return status.status(self.workspace, self.model, gateway_url=up.gateway_url(self.workspace))

    # Stage 5: monitor

    def ingest(self) -> IngestReport:
        """Move what the gateway captured into the traffic tables.

        What was captured in the last seconds comes with the next call.

        Raises:
            BusyError: another process has been moving the captured traffic for a minute.
        """

        return self.project.ingest()

    def monitor(self, *, only: Collection[str] | None = None) -> list[Measurement]:
        """Measure the last window of traffic of the bundle in production.

        `only`: names of monitors, such as `["format_compliance"]`; None: all.

        Raises:
            UsageError: nothing is in production, or there is no such monitor.
            BusyError: another process has been moving the captured traffic for a minute.
        """
        return measuring.measure(self.project, only=only)

    def measurements(
        self, *, monitor: str | None = None, limit: int | None = None
    ) -> list[Measurement]:
        """Earlier measurements, the newest first: of one monitor or all, at most `limit`.

        Raises:
            UsageError: nothing was measured by this name, and there is no such monitor.
        """

        name = self.model.name
        found = monitoring.history(self.workspace, model=name, monitor=monitor, limit=limit)
        if monitor is not None and not found:
            table.chosen([monitor])
        return found

    def alerts(self, *, all_: bool = False) -> list[Alert]:
        """Alerts that are not resolved, or all, the newest first."""

        return alerts.listing(self.workspace, self.model.name, unresolved_only=not all_)

    def acknowledge(self, alert: str) -> None:
        """Say that somebody looks after an alert, named by its id.

        Raises:
            UsageError: there is no such alert, or it is resolved.
        """

        alerts.acknowledge(self.workspace, alert, actor=self.actor)

    def prune(self, *, older_than: timedelta | None = None, dry_run: bool = False) -> Pruned:
        """Remove captured traffic that is older than that, else than `endpoint.retention_days`.

        Raises:
            UsageError: neither says how long it is kept.
        """

        return retention.prune(
            self.workspace,
            model=self.model.name,
            older_than=retention.kept_for(self.model) if older_than is None else older_than,
            actor=self.actor,
            dry_run=dry_run,
        )

    def interactions(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """Captured interactions of this endpoint, the newest first; at most `limit`."""

        self.ingest()
        return tracing.interactions(self.workspace, self.model.endpoint_name, limit=limit)

    def trace(self, interaction: str) -> dict[str, Any]:
        """One interaction, by its id, with its feedback and the bundle that answered it.

        Raises:
            UsageError: it was not captured.
        """

        self.ingest()
        return tracing.trace(self.workspace, interaction)

    # Stage 6: retrain

    def collect_corrections(self) -> int:
        """Put new edits from production into the review queue; how many were new."""
        return review.collect_corrections(self.project)

    def run(self, *, reason: str = "started by hand", force: bool = False) -> CycleResult:
        """One cycle: prepare, train, evaluate, decide, deploy.

        `reason` is kept with it. With `force` also where nothing is new. A refused candidate is a
        result, no error.

        Raises:
            BusyError: another cycle of this model is running.
            TuneloopError: a step failed; production is unchanged, the next call continues.
        """

        return run_cycle(self.project, reason=reason, force=force)


def whoever_acts() -> str:
    """Who is acting: TUNELOOP_ACTOR, else the system's user name."""
    named = os.environ.get("TUNELOOP_ACTOR")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
