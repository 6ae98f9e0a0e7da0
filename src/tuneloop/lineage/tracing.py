"""From a request back to what answered it: bundle, dataset, reviewers, who deployed it."""

from __future__ import annotations

import json
from typing import Any

from tuneloop.errors import TuneloopError, UsageError
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace


def interactions(workspace: Workspace, endpoint: str, *, limit: int) -> list[dict[str, Any]]:
    """Captured interactions of an endpoint, the newest first."""
    import polars as pl

    frame = workspace.traffic.scan("interactions").filter(pl.col("endpoint") == endpoint)
    return frame.sort("time", "id", descending=True).head(limit).collect().to_dicts()


def trace(workspace: Workspace, interaction: str) -> dict[str, Any]:
    """One interaction, its feedback, and the bundle that answered it with its origin.

    Raises:
        UsageError: it was not captured.
    """
    import polars as pl

    rows = (
        workspace.traffic.scan("interactions").filter(pl.col("id") == interaction).collect()
    ).to_dicts()
    if not rows:
        raise UsageError(
            f"Interaction {interaction!r} was not captured.",
            remedy="Its id is in the answer's header x-tuneloop-interaction.",
        )
    row = rows[0] | {key: json.loads(rows[0][key] or "null") for key in ("messages", "request")}
    feedback = (
        workspace.traffic.scan("feedback").filter(pl.col("interaction") == interaction).collect()
    ).to_dicts()
    return {"interaction": row, "feedback": feedback, "answered_by": _origin(workspace, row)}


def _origin(workspace: Workspace, row: dict[str, Any]) -> dict[str, Any] | None:
    try:
        bundle = bundles.find(workspace, row["bundle"])
    except TuneloopError:
        return None
    moves = [
        move
        for move in aliases.history(workspace, bundle.model)
        if move.name == "production" and move.to_bundle == bundle.id and move.at <= row["time"]
    ]
    manifest = bundle.manifest
    return {
        "bundle": bundle.id,
        "base": manifest.base.as_json(),
        "dataset": manifest.dataset.as_json(),
        "training": manifest.training.run or None,
        "evaluation": manifest.evaluation.id or None,
        "deployed_by": moves[0].actor if moves else None,
        "deployed_at": moves[0].at if moves else None,
        "deployed_because": moves[0].reason if moves else None,
    }
