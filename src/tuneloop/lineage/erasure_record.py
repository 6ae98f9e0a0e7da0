"""What an erasure deleted, what that reached, what remains, and what people have to do about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tuneloop.hashing import short
from tuneloop.registry.lineage import Reach
from tuneloop.storage.erasure import By


@dataclass(frozen=True, kw_only=True)
class ApprovedRow:
    """A row that a person had approved, made of what was erased."""

    item: str
    """Id of its review item."""
    model: str
    kind: str
    """correction, contradiction, retired or sample"""


@dataclass(frozen=True, kw_only=True)
class ReachedVersion:
    """A dataset version that holds such rows."""

    digest: str
    model: str
    label: str
    train: int
    """Rows to train on that are in it."""
    held_out: int
    left_out: int
    """Rows that it quotes as left out."""


@dataclass(frozen=True, kw_only=True)
class ReachedSuite:
    """A suite that holds a case of what was erased."""

    model: str
    suite: str
    case: str
    """Its id, which is that of the interaction."""
    in_file: bool
    """Whether it was added to the suite's file, and not taken out of it by a command."""
    frozen: tuple[str, ...]
    """Labels of the frozen versions that hold it."""


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What was deleted, or would be; what it reached; what remains and what to do."""

    id: str
    by: By
    dry_run: bool
    interactions: int
    shadows: int
    feedback: int
    embeddings: int
    quotations: int
    """Measurements and alerts that quoted one of the interactions."""
    review_items: int
    approved_rows: tuple[ApprovedRow, ...]
    datasets: tuple[ReachedVersion, ...]
    reached: Reach
    remains: tuple[str, ...]
    """What could not be undone, one sentence each."""
    to_do: tuple[str, ...]
    """What people have to do now."""
    suites: tuple[ReachedSuite, ...] = ()


def accounted(done: Erasure) -> dict[str, Any]:
    """For the audit log: how much and where, nothing that tells who."""
    return {
        "erasure": done.id,
        "by": done.by,
        "interactions": done.interactions,
        "shadows": done.shadows,
        "feedback": done.feedback,
        "review_items": done.review_items,
        "approved_rows": len(done.approved_rows),
        "suites": len(done.suites),
        "datasets": [version.digest for version in done.datasets],
        "bundles": [bundle.id for bundle in done.reached.bundles],
    }


def remains(
    datasets: Collection[ReachedVersion],
    reached: Reach,
    suites: Collection[ReachedSuite] = (),
) -> tuple[str, ...]:
    """What cannot be undone."""
    frozen = (
        f"These frozen versions of suite {suite.suite} of {suite.model} never change and still "
        f"hold the case: {', '.join(suite.frozen)}."
        for suite in suites
        if suite.frozen
    )
    return (*_of_datasets(datasets, reached), *frozen)


def _of_datasets(datasets: Collection[ReachedVersion], reached: Reach) -> tuple[str, ...]:
    if not datasets:
        return ()
    labels = ", ".join(version.label for version in datasets)
    sentences = [f"These dataset versions never change and still hold the rows: {labels}."]
    trained = {version.digest for version in datasets if version.train}
    weights = [short(bundle.id) for bundle in reached.bundles if bundle.dataset in trained]
    if weights:
        sentences.append(
            f"The weights of these bundles were trained on them: {', '.join(weights)}."
        )
    asked = {version.digest for version in datasets if version.held_out}
    reports = [bundle.evaluation for bundle in reached.bundles if bundle.dataset in asked]
    if reports:
        sentences.append(f"These evaluation reports quote them: {', '.join(reports)}.")
    return tuple(sentences)


def to_do(
    datasets: Collection[ReachedVersion],
    reached: Reach,
    suites: Collection[ReachedSuite] = (),
) -> tuple[str, ...]:
    """Take out of suites, retrain, replace, then get rid of what remains, in this order."""
    cases = [
        f"Take the case out of its suite of {suite.model}: tuneloop suite remove {suite.suite} "
        f"{suite.case}"
        for suite in suites
        if suite.in_file
    ]
    if any(suite.frozen for suite in suites):
        cases.append(
            "Delete the frozen versions named here from the artifacts store, and freeze again."
        )
    return (*cases, *_after_datasets(datasets, reached))


def _after_datasets(datasets: Collection[ReachedVersion], reached: Reach) -> tuple[str, ...]:
    if not datasets:
        return ()
    steps = [
        f"Retrain {model} without them: tuneloop run"
        for model in sorted({version.model for version in datasets})
    ]
    steps += [
        f"Replace bundle {short(bundle.id)} behind {', '.join(bundle.endpoints)} by the new one."
        for bundle in reached.bundles
        if bundle.endpoints
    ]
    steps.append(
        "Then delete the bundles, runs and dataset versions named here from the artifacts store; "
        "and look for the text in files of your own: data sources, suites, exports, backups."
    )
    return tuple(steps)
