"""What a dataset version reached: training runs, bundles, their names, and endpoints (R4)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from tuneloop.registry import bundle as bundles
from tuneloop.storage import tables
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class ReachedBundle:
    """A bundle that was trained on one of the versions."""

    id: str
    model: str
    dataset: str
    """Digest of the version."""
    evaluation: str
    """Id of the evaluation that it was made with: its report quotes held-out rows."""
    aliases: tuple[str, ...]
    """Names that point at it now."""
    endpoints: tuple[str, ...]
    """Endpoints that send it requests now, or go back to it."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Everything that dataset versions reached."""

    runs: tuple[str, ...]
    """Ids of training runs, finished or not."""
    bundles: tuple[ReachedBundle, ...]


def reach(workspace: Workspace, datasets: Collection[str]) -> Reach:
    """What was made of these dataset versions, by their digests."""
    wanted = set(datasets)
    runs, names, points = tables.training_runs, tables.aliases, tables.endpoints
    with workspace.records.begin() as tx:
        trained = [
            row.id
            for row in tx.execute(sa.select(runs.c.id, runs.c.dataset).order_by(runs.c.created_at))
            if row.dataset in wanted
        ]
        aliases = tx.execute(sa.select(names.c.bundle, names.c.name)).all()
        endpoints = tx.execute(
            sa.select(points.c.name, names.c.bundle)
            .join(names, names.c.model == points.c.model)
            .where(names.c.name.in_(("production", "previous")))
        ).all()
        rollouts = tx.execute(
            sa.select(tables.rollouts.c.endpoint, tables.rollouts.c.candidate).where(
                tables.rollouts.c.status.in_(("running", "paused"))
            )
        ).all()
    return Reach(
        runs=tuple(trained),
        bundles=tuple(
            ReachedBundle(
                id=bundle.id,
                model=bundle.model,
                dataset=bundle.manifest.artifacts.dataset,
                evaluation=bundle.manifest.evaluation.id,
                aliases=tuple(sorted(row.name for row in aliases if row.bundle == bundle.id)),
                endpoints=tuple(
                    sorted(
                        {row.name for row in endpoints if row.bundle == bundle.id}
                        | {row.endpoint for row in rollouts if row.candidate == bundle.id}
                    )
                ),
            )
            for bundle in bundles.listing(workspace)
            if bundle.manifest.artifacts.dataset in wanted
        ),
    )
