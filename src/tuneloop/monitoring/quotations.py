"""Takes what measurements and alerts quote of erased interactions out of them again."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from tuneloop.hashing import canonical_json
from tuneloop.monitoring.examples import quotable
from tuneloop.storage import tables
from tuneloop.workspace import Workspace


def erase(workspace: Workspace, interactions: Collection[str], *, dry_run: bool = False) -> int:
    """Remove these interactions from the examples of measurements and alerts; how many quoted one.

    The figures stay: they say how many, not who.

    Raises:
        StoreError: a store cannot be read or written; run it again.
    """
    gone = set(interactions)
    rewritten: dict[str, str] = {}
    quoted: set[str] = set()
    for identity, detail in _measured(workspace):
        removed: list[Any] = []
        kept = _without(detail, gone, removed)
        if removed:
            rewritten[identity] = canonical_json(kept)
            quoted |= {text for example in removed for text in quotable({"examples": [example]})}
    # The alerts first: what they quote is known from the measurements.
    alerts = _forget_in_alerts(workspace, quoted, dry_run=dry_run)
    if rewritten and not dry_run:
        workspace.traffic.rewrite("measurements", "detail", rewritten)
        workspace.traffic.free("measurements")
    return len(rewritten) + alerts


def _measured(workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    """Id and detail of every measurement that quotes an interaction."""
    import polars as pl

    rows = (
        workspace.traffic.scan("measurements")
        .filter(pl.col("detail").str.contains('"interaction"', literal=True))
        .select("id", "detail")
        .collect()
    )
    return [(identity, json.loads(detail)) for identity, detail in rows.iter_rows()]


def _without(value: Any, gone: Collection[str], removed: list[Any]) -> Any:
    """A JSON value without the examples of these interactions, which go into `removed`.

    Wherever they stand: drift, for one, quotes below each topic that grew.
    """
    if isinstance(value, dict):
        return {key: _without(part, gone, removed) for key, part in value.items()}
    if not isinstance(value, list):
        return value
    removed.extend(item for item in value if _of(item) in gone)
    return [_without(item, gone, removed) for item in value if _of(item) not in gone]


def _of(example: Any) -> str | None:
    """The interaction that an example is from."""
    return example.get("interaction") if isinstance(example, dict) else None


def _forget_in_alerts(workspace: Workspace, quoted: set[str], *, dry_run: bool) -> int:
    table, count = tables.alert_events, 0
    if not quoted:
        return 0
    with workspace.records.begin() as tx:
        for row in tx.execute(sa.select(table.c.id, table.c.examples)).all():
            kept = [text for text in row.examples if text not in quoted]
            if len(kept) < len(row.examples):
                count += 1
                if not dry_run:
                    tx.execute(sa.update(table).where(table.c.id == row.id).values(examples=kept))
    return count
