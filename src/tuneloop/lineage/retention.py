"""How long captured traffic of a model is kept, and its removal."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from tuneloop.errors import UsageError
from tuneloop.modelfile import ModelSettings
from tuneloop.registry import audit
from tuneloop.storage import retention, tables
from tuneloop.storage.retention import Pruned
from tuneloop.workspace import Workspace


def kept_for(model: ModelSettings) -> timedelta:
    """How long a model's captured traffic is kept.

    Raises:
        UsageError: for ever, as far as the model file says.
    """
    if model.endpoint.retention_days is None:
        raise UsageError(
            "The model file does not say how long captured traffic is kept.",
            remedy="Say it in `endpoint.retention_days`, or here: tuneloop traffic prune "
            "--older-than 90d",
        )
    return timedelta(days=model.endpoint.retention_days)


def prune(
    workspace: Workspace, *, model: str, older_than: timedelta, actor: str, dry_run: bool = False
) -> Pruned:
    """Remove a model's captured traffic that is older than that, whatever its endpoint was called.

    Raises:
        BusyError: captured traffic is being moved.
        StoreError: the tables cannot be read or written; run it again.
    """
    bundles = sa.select(tables.bundles.c.id).where(tables.bundles.c.model == model)
    with workspace.records.begin() as tx:
        its = list(tx.execute(bundles).scalars())
    pruned = retention.prune(
        workspace.folder("spool"),
        workspace.traffic,
        bundles=its,
        before=workspace.now() - older_than,
        dry_run=dry_run,
    )
    if pruned.rows and not dry_run:
        detail = {
            "before": pruned.before.isoformat(),
            "interactions": pruned.interactions,
            "shadows": pruned.shadows,
            "feedback": pruned.feedback,
        }
        with workspace.records.begin() as tx:
            audit.record(
                tx,
                model=model,
                actor=actor,
                action="traffic.prune",
                detail=detail,
                now=workspace.now(),
            )
    return pruned
