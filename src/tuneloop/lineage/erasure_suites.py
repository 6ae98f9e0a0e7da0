"""Which suites hold a case of what is erased: by the ids that cases of incidents have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import sqlalchemy as sa

from tuneloop.errors import StoreError
from tuneloop.evaluation import frozen
from tuneloop.lineage.erasure_record import ReachedSuite
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

_ADDED, _REMOVED = "suite.add", "suite.remove"


def reached_suites(workspace: Workspace, interactions: Collection[str]) -> tuple[ReachedSuite, ...]:
    """The suites with a case of one of these interactions, in files and in frozen versions.

    Files are read by nobody here: what commands put into them and took out is in the audit log.
    """
    in_files = _in_files(workspace, set(interactions))
    kept: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for model, version in frozen.every(workspace):
        try:
            ids = {str(row.get("id")) for row in frozen.rows_of(workspace, version)}
        except StoreError:
            continue  # It was deleted from the store, as the last erasure had said.
        for interaction in ids & set(interactions):
            kept[model, version.suite, interaction].append(version.label)
    return tuple(
        ReachedSuite(
            model=model,
            suite=suite,
            case=case,
            in_file=(model, suite, case) in in_files,
            frozen=tuple(kept[model, suite, case]),
        )
        for model, suite, case in sorted({*in_files, *kept})
    )


def _in_files(workspace: Workspace, interactions: set[str]) -> set[tuple[str, str, str]]:
    """Model, suite and case of what was added and not removed since."""
    table = tables.audit_events
    query = (
        sa.select(table.c.model, table.c.action, table.c.detail)
        .where(table.c.action.in_((_ADDED, _REMOVED)))
        .order_by(table.c.id)
    )
    found: set[tuple[str, str, str]] = set()
    with workspace.records.begin() as tx:
        for row in tx.execute(query):
            case = (row.model, row.detail["suite"], row.detail["case"])
            if row.action == _REMOVED:
                found.discard(case)
            elif case[2] in interactions:
                found.add(case)
    return found
