"""Which cases a bundle was trained on: they say nothing about it (E12).

A share of held-out rows that grows, or a new suite file, makes cases of rows that an older bundle
was trained on. Such a case does not count in a comparison with that bundle, and the bundle itself
is not scored on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tuneloop.conversation import Message
from tuneloop.datasets import leaks, versions
from tuneloop.datasets.example import Example
from tuneloop.errors import TrainingError
from tuneloop.evaluation.suites import Case, Suite
from tuneloop.project import Project
from tuneloop.registry.bundle import Bundle
from tuneloop.training import stage as training
from tuneloop.training.stage import TrainingRun


def known_to_bundle(
    project: Project, bundle: Bundle, suites: Sequence[Suite]
) -> dict[str, frozenset[str]]:
    """Suite → ids of its cases that the bundle was trained on, or on a row alike to them.

    Where the rows are no longer in the store nothing can be told; that is said.

    Raises:
        StoreError: the rows cannot be read.
    """
    datasets = [bundle.manifest.dataset.digest]
    datasets += datasets_of(project, bundle.manifest.training.run)
    return _known(project, bundle.short, dict.fromkeys(datasets), suites)


def known_to_run(
    project: Project, run: TrainingRun, dataset: str, suites: Sequence[Suite]
) -> dict[str, frozenset[str]]:
    """The same of a training run, which need not have trained on the version `dataset`.

    Where it has, preparing that version has kept its rows and all cases apart.
    """
    datasets = datasets_of(project, run.id)
    if datasets == [dataset]:
        return {}
    return _known(project, f"training run {run.id}", datasets, suites)


def datasets_of(project: Project, run: str) -> list[str]:
    """Digests of the dataset versions that went into what a run made.

    Preference training goes on from an earlier run, which may have had another version. Nothing is
    known here of a run that was made elsewhere.
    """
    digests: list[str] = []
    while run:
        try:
            row = training.find(project.workspace, run)
        except TrainingError:
            break
        digests.append(row.dataset)
        run = str(row.record.get("start_run", ""))
    return list(dict.fromkeys(digests))


def _known(
    project: Project, who: str, datasets: Collection[str], suites: Sequence[Suite]
) -> dict[str, frozenset[str]]:
    kept = [digest for digest in datasets if project.workspace.artifacts.exists(digest)]
    if len(kept) < len(datasets):
        project.progress.note(
            f"warning: not all rows that {who} was trained on are kept here, so cases that it "
            "knows may count in its favour"
        )
    rows = [
        row
        for digest in kept
        for row in versions.read_trained(project.workspace, project.model_file, digest)
    ]
    asked = [(suite.name, case) for suite in suites for case in suite.cases]
    known = leaks.known_cases(
        rows,
        [_example(case) for _, case in asked],
        similarity=project.model.data.near_duplicate_similarity,
    )
    return {
        suite.name: frozenset(asked[at][1].id for at in known if asked[at][0] == suite.name)
        for suite in suites
    }


def _example(case: Case) -> Example:
    return Example(
        messages=tuple(map(Message.from_row, case.messages)),
        completion=case.expected or "",
        source="",
        line=0,
    )
