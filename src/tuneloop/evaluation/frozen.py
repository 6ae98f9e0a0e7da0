"""Frozen versions of suites: the rows of a file as they were, kept for good.

A version is an artifact, named by the hash of its rows, and an event of the audit log, which says
when and by whom. Rows are kept as the file had them and read with today's task: so a changed system
text or schema is no change of a suite.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import TuneloopError
from tuneloop.evaluation.declared import load_declared, source_of
from tuneloop.evaluation.suite_diff import diff
from tuneloop.evaluation.suites import MAX_ROW_BYTES, Suite, load_suite
from tuneloop.hashing import short
from tuneloop.modelfile import ColumnSettings, SuiteSettings, TaskSettings
from tuneloop.readers import BadRow, read_rows
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

ACTION = "suite.freeze"
_CASES = "cases.jsonl"
_ABOUT = "suite.json"


@dataclass(frozen=True, kw_only=True)
class FrozenSuite:
    """One version of a suite that never changes."""

    suite: str
    kind: str
    artifact: str
    """digest of the rows in the artifact store"""
    digest: str
    """as evaluations named the suite on that day"""
    cases: int
    at: datetime
    by: str

    @property
    def label(self) -> str:
        """What people call it: date and short digest."""
        return f"{self.at:%Y-%m-%d}-{short(self.artifact)}"


def versions(workspace: Workspace, model: str, suite: str | None = None) -> list[FrozenSuite]:
    """The frozen versions of a suite, or of all suites of a model, the newest first."""
    return [
        version
        for of, version in every(workspace)
        if of == model and (suite is None or version.suite == suite)
    ]


def every(workspace: Workspace) -> list[tuple[str, FrozenSuite]]:
    """All frozen versions of a workspace with the model that each is of, the newest first."""
    table = tables.audit_events
    query = (
        sa.select(table.c.model, table.c.actor, table.c.at, table.c.detail)
        .where(table.c.action == ACTION)
        .order_by(table.c.id.desc())
    )
    with workspace.records.begin() as tx:
        return [
            (row.model, FrozenSuite(**row.detail, at=row.at, by=row.actor))
            for row in tx.execute(query)
        ]


def rows_of(workspace: Workspace, version: FrozenSuite) -> Iterator[dict[str, Any]]:
    """The rows of a version as the file had them.

    Raises:
        StoreError: it is no longer in the store.
        CorruptArtifactError: the stored bytes have changed.
    """
    with (workspace.artifacts.get(version.artifact) / _CASES).open(encoding="utf-8") as cases:
        yield from map(json.loads, cases)


def freeze(
    workspace: Workspace, *, model: str, suite: Suite, file: Path, actor: str
) -> tuple[FrozenSuite, bool]:
    """Keep the rows of a suite's file; the version, and whether it is a new one.

    Rows that are those of the last version make no other.

    Raises:
        StoreError: the artifact store is full or cannot be written.
    """
    artifact = _put(workspace, suite, file)
    last = next(iter(versions(workspace, model, suite.name)), None)
    if last is not None and last.artifact == artifact:
        return last, False
    detail = {
        "suite": suite.name,
        "kind": suite.kind,
        "artifact": artifact,
        "digest": suite.digest,
        "cases": len(suite.cases),
    }
    now = workspace.now()
    with workspace.records.begin() as tx:
        audit.record(tx, model=model, actor=actor, action=ACTION, detail=detail, now=now)
    return versions(workspace, model, suite.name)[0], True


def read(
    workspace: Workspace,
    version: FrozenSuite,
    *,
    task: TaskSettings,
    columns: ColumnSettings | None,
) -> Suite:
    """The cases of a version, read as today's file would be.

    Raises:
        StoreError: it is no longer in the store.
        CorruptArtifactError: the stored bytes have changed.
        EvaluationError: today's task or columns do not fit its rows.
    """
    folder = workspace.artifacts.get(version.artifact)
    return load_suite(
        folder / _CASES, name=version.suite, kind=version.kind, task=task, columns=columns
    )


def notes(
    workspace: Workspace,
    *,
    model: str,
    suites: Sequence[SuiteSettings],
    folder: Path,
    task: TaskSettings,
    columns: ColumnSettings | None,
) -> Iterator[str]:
    """For a report: each declared suite that is another than its last frozen version."""
    newest = {version.suite: version for version in reversed(versions(workspace, model))}
    for declared in suites:
        if declared.name not in newest:
            continue
        version = newest[declared.name]
        since = f"since it was frozen at {version.at:%Y-%m-%d %H:%M} UTC as {version.label}"
        now = load_declared(declared, folder, task=task, columns=columns)
        try:
            then = read(workspace, version, task=task, columns=columns)
        except TuneloopError as e:
            # What was frozen decides nothing here, so it stops no evaluation.
            yield f"suite {declared.name!r}: what changed {since} cannot be told: {e.message}"
            continue
        changed = diff(then, now, names=(version.label, source_of(declared)))
        if changed.differs:
            yield (
                f"suite {declared.name!r}: {changed.says} {since} "
                f"(tuneloop suite diff {declared.name})"
            )


def _put(workspace: Workspace, suite: Suite, file: Path) -> str:
    folder = Path(tempfile.mkdtemp(dir=workspace.folder("work")))
    try:
        with (folder / _CASES).open("w", encoding="utf-8") as cases:
            for row in read_rows(file, max_row_bytes=MAX_ROW_BYTES):
                if not isinstance(row, BadRow):  # A suite that holds one could not be loaded.
                    cases.write(json.dumps(row.value, ensure_ascii=False, default=str) + "\n")
        about = {"name": suite.name, "kind": suite.kind}
        (folder / _ABOUT).write_text(json.dumps(about) + "\n", encoding="utf-8")
        return workspace.artifacts.put(folder, kind="suite")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
