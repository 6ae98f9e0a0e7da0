"""The stages that make a candidate: prepare, train, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tuneloop.arguments import checked_methods
from tuneloop.candidates import candidate, held_out, other_forms, preparing, training
from tuneloop.candidates.candidate import Candidate
from tuneloop.candidates.held_out import HeldOut
from tuneloop.candidates.other_forms import OtherForm
from tuneloop.datasets import diff, looking, source_watch, stats, versions
from tuneloop.datasets.diff import DatasetDiff
from tuneloop.datasets.example import Example
from tuneloop.datasets.looking import ShownRow
from tuneloop.datasets.source_watch import SourcesNow
from tuneloop.datasets.split import Side
from tuneloop.datasets.stats import Stats
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.readable_report import Report
from tuneloop.evaluation.record import Evaluation
from tuneloop.loop.held import Held
from tuneloop.registry.base_model import BaseModel
from tuneloop.registry.bundle import Bundle
from tuneloop.setup.beyond_window import BeyondWindow, beyond_window
from tuneloop.storage.references import LATEST
from tuneloop.training import stage as runs
from tuneloop.training.stage import TrainingRun


@checked_methods
class Making(Held):
    """Rows in, a candidate with its evaluation out."""

    # Stage 1: prepare

    def prepare(self) -> DatasetVersion:
        """Make a dataset version from the sources and all approved corrections.

        Equal rows and settings are the version that is there already.

        Raises:
            DataError: the sources cannot be used, or too little is left of them.
        """
        return preparing.prepare(self.project)

    def sources(self) -> SourcesNow:
        """The data files as they are now, and what new or changed ones would bring.

        They are held against the latest dataset version; nothing is made.
        """
        known = self.dataset_versions()
        return source_watch.look(
            self.workspace,
            self.project.model_file,
            known[0] if known else None,
            now=self.workspace.now(),
            template=self.project.template,
            progress=self.project.progress,
        )

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

    def data_rows(
        self,
        version: DatasetVersion | None = None,
        *,
        side: Literal["train", "held-out"] | None = None,
        grep: str | None = None,
        tags: Sequence[str] = (),
        line: str | None = None,
    ) -> list[ShownRow]:
        """What is trained and what is asked, row by row, in the order of the files.

        Of the latest version, or `version`; of one side, or both. `grep`: only rows that say this,
        in whatever case. `tags`: that have all of these, such as `["lang=de"]`. `line`: that one,
        such as `rows.jsonl:12`.

        Raises:
            UsageError: there is no dataset version, or `line` is no file and line.
            CorruptArtifactError: the stored bytes have changed.
        """
        version = version or self.dataset()
        examples = self._examples(version, side)
        pairs = {name: versions.read_pairs(self.workspace, version, name) for name in examples}
        wanted = looking.Wanted(text=grep, tags=tags, line=line)
        return wanted.of(looking.shown_rows(examples, pairs))

    def data_stats(
        self,
        version: DatasetVersion | None = None,
        *,
        side: Literal["train", "held-out"] | None = None,
    ) -> Stats:
        """A version in figures: lengths in characters, answers a row, labels, tags, languages.

        Of the latest version, or `version`; of one side, or both.

        Raises:
            UsageError: there is no dataset version.
            CorruptArtifactError: the stored bytes have changed.
        """
        version = version or self.dataset()
        return stats.count(self._examples(version, side), version.report)

    def beyond_window(self, version: DatasetVersion | None = None) -> BeyondWindow | None:
        """Answers to train on that training leaves out, as they are longer than its window.

        Of the latest version, or `version`, and the base and window of the model file as it is now.
        None: there are none, or the base is not on this machine.

        Raises:
            UsageError: there is no dataset version.
            CorruptArtifactError: the stored bytes have changed.
        """
        version = version or self.dataset()
        return beyond_window(self.project, self._examples(version, "train")["train"])

    def _examples(
        self, version: DatasetVersion, side: looking.ShownSide | None
    ) -> dict[Side, list[Example]]:
        return {
            name: versions.read_examples(self.workspace, version, name)
            for name in looking.sides(side)
        }

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
        return candidate.evaluate_bundle(self.project, self.project.bundle(reference))

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
        resolved_bundle = self.project.bundle(bundle) if isinstance(bundle, str) else bundle
        return other_forms.make(self.project, resolved_bundle, forms, output=output)

    def evaluations(self) -> list[Evaluation]:
        """All evaluations of this model, the newest first."""
        return evaluations.find_all(self.workspace, model=self.model.name)

    def evaluation(self, reference: str = LATEST) -> Evaluation:
        """An evaluation by id, its beginning, or `latest` (the newest finished one).

        Raises:
            UsageError: more than one is meant; or `latest`, and none is finished.
            EvaluationError: no id begins so.
        """
        return evaluations.named(self.workspace, self.model.name, reference)

    def report(self, evaluation: Evaluation) -> Report:
        """The report of a finished evaluation.

        Raises:
            EvaluationError: it is not finished.
        """
        return evaluations.read_report(self.workspace, evaluation)
