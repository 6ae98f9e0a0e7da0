"""Stage 2 as the cycle needs it: the names looked up, one training at a time, for others to see."""

from __future__ import annotations

from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.project import Project
from tuneloop.setup import check, names
from tuneloop.training import stage
from tuneloop.training.stage import TrainingRun


def train(
    project: Project,
    dataset: DatasetVersion | None = None,
    *,
    force: bool = False,
    looked: bool = False,
) -> TrainingRun:
    """Train on a dataset version, by default the latest; see `training.stage.train`.

    `looked`: what could fail later was looked at just now, base and all.

    Raises:
        UsageError: there is no dataset version.
        ModelFileError: the model file names what is not there.
        CheckError: it would fail later.
        TrainingError: it cannot start or did not finish; it can be continued.
        BusyError: another process is training this model.
    """
    names.check(project, base=True, rows=False)
    version = dataset or versions.load(project.workspace, project.model.name)
    busy = project.workspace.exclusive(f"train-{project.model.name}", doing="train")
    with busy, project.telling("training") as project:
        if not looked:
            project.base()  # which brings it here, where it is not
            check.require(project, dataset=version, base=True)
        return stage.train(
            project.workspace,
            model=project.model_file,
            dataset=version.digest,
            base=project.base(),
            force=force,
            progress=project.progress,
        )
