"""What a person called normal: from that window on a baseline is made anew, until it is undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from tuneloop.errors import UsageError
from tuneloop.monitoring.measurement import Measurement
from tuneloop.registry import audit
from tuneloop.registry.bundle import Bundle
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A window of a monitor that somebody called normal."""

    id: int
    bundle: str
    endpoint: str
    monitor: str
    window_end: datetime
    """Of the window; the baseline is made of this one and those after it."""
    value: float
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    n: int
    """Cases in it."""
    actor: str
    reason: str
    at: datetime
    withdrawn_by: str | None
    withdrawn_at: datetime | None


def accept(
    workspace: Workspace,
    measurement: Measurement,
    *,
    bundle: Bundle,
    endpoint: str,
    actor: str,
    reason: str,
) -> Accepted:
    """Call a window normal; the baseline begins with it, and the audit log keeps why.

    Raises:
        UsageError: its monitor has no baseline, or the window too little data.
    """
    value, low, high = measurement.value, measurement.low, measurement.high
    judged = measurement.verdict in ("ok", "alert")
    if not judged or value is None or low is None or high is None:
        raise UsageError(
            f"The last window of {measurement.monitor!r} shows nothing that could be normal: "
            f"{measurement.message}.",
            remedy="Wait for more traffic, then measure it: tuneloop monitor run",
        )
    if not has_baseline(measurement):
        raise UsageError(
            f"The monitor {measurement.monitor!r} has no baseline: what it alerts on is fixed.",
            remedy="Change its limit in the model file, under monitors; see what it is with: "
            "tuneloop monitor list",
        )
    now, table = workspace.now(), tables.accepted_windows
    detail = {
        "monitor": measurement.monitor,
        "bundle": bundle.id,
        "window_end": measurement.window_end.isoformat(),
        "figure": [value, low, high, measurement.n],
        "reason": reason,
    }
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(table).values(
                model=bundle.model,
                bundle=bundle.id,
                endpoint=endpoint,
                monitor=measurement.monitor,
                window_end=measurement.window_end,
                value=value,
                low=low,
                high=high,
                n=measurement.n,
                actor=actor,
                reason=reason,
                at=now,
            )
        )
        made = _standing(tx, bundle, endpoint)[measurement.monitor]
        audit.record(
            tx, model=bundle.model, actor=actor, action="monitor.accept", detail=detail, now=now
        )
    return made


def undo(
    workspace: Workspace, monitor: str, *, bundle: Bundle, endpoint: str, actor: str, reason: str
) -> Accepted:
    """Take back what was called normal last; what stood before it stands again.

    Raises:
        UsageError: nothing was called normal.
    """
    now, table = workspace.now(), tables.accepted_windows
    with workspace.records.begin() as tx:
        last = _standing(tx, bundle, endpoint).get(monitor)
        if last is None:
            raise UsageError(
                f"No window of {monitor!r} was called normal for the bundle in production.",
                remedy="See what was with: tuneloop monitor list",
            )
        tx.execute(
            sa.update(table)
            .where(table.c.id == last.id, table.c.withdrawn_at.is_(None))
            .values(withdrawn_by=actor, withdrawn_at=now)
        )
        detail = {
            "monitor": monitor,
            "bundle": bundle.id,
            "window_end": last.window_end.isoformat(),
            "accepted_by": last.actor,
            "reason": reason,
        }
        audit.record(
            tx, model=bundle.model, actor=actor, action="monitor.unaccept", detail=detail, now=now
        )
    return last


def standing(workspace: Workspace, bundle: Bundle, endpoint: str) -> dict[str, Accepted]:
    """What is called normal now of a bundle behind an endpoint, by monitor."""
    with workspace.records.begin() as tx:
        return _standing(tx, bundle, endpoint)


def listing(workspace: Workspace, model: str) -> list[Accepted]:
    """All that was called normal of a model's bundles, withdrawn or not, the newest first."""
    table = tables.accepted_windows
    query = sa.select(table).where(table.c.model == model).order_by(table.c.id.desc())
    with workspace.records.begin() as tx:
        return [record_of(Accepted, row) for row in tx.execute(query)]


def has_baseline(measurement: Measurement) -> bool:
    """Whether its monitor compares with a baseline that a window can be."""
    seen = measurement.detail
    return "becomes_baseline" in seen or "baseline" in seen


def _standing(tx: sa.Connection, bundle: Bundle, endpoint: str) -> dict[str, Accepted]:
    table = tables.accepted_windows
    query = (
        sa.select(table)
        .where(
            table.c.model == bundle.model,
            table.c.bundle == bundle.id,
            table.c.endpoint == endpoint,
            table.c.withdrawn_at.is_(None),
        )
        .order_by(table.c.id)
    )
    found = [record_of(Accepted, row) for row in tx.execute(query)]
    return {one.monitor: one for one in found}
