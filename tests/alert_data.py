"""Measurements of a share with a limit of 20 %, for alerts and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tuneloop import intervals
from tuneloop.monitoring import alerts
from tuneloop.monitoring.measurement import Limit, LimitVerdict, Measurement, tell
from tuneloop.monitoring.notifications.rules import WaitingAlert
from tuneloop.workspace import Workspace

LIMIT = Limit(threshold=0.20, unit="share", side="above")
END = datetime(2026, 11, 23, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def measured(
    bad: int,
    n: int = 100,
    monitor: str = "novelty",
    *,
    verdict: LimitVerdict | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Measurement:
    """`bad` of `n` cases are on the bad side; the verdict is that of the limit."""
    figure = intervals.share(bad, n)
    crossed = LIMIT.crossed(figure.value)
    return Measurement(
        monitor=monitor,
        window_start=END - timedelta(days=7),
        window_end=END,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        n=n,
        verdict=verdict or ("alert" if crossed else "ok"),
        message=f"novel: {tell(figure, 'share')}, {LIMIT.relation(figure.value)} 20.0 %",
        limit=LIMIT,
        detail=detail or {},
    )


def see(
    workspace: Workspace,
    *measurements: Measurement,
    model: str = "desk",
    bundle: str | None = None,
) -> Sequence[alerts.Change | None]:
    """What a run of the monitors does to the alerts."""
    return alerts.apply(
        workspace, model=model, measurements=measurements, now=workspace.now(), bundle=bundle
    )


def waiting(number: int = 1, **values: Any) -> WaitingAlert:
    """An alert that opened at noon."""
    plain: dict[str, Any] = {
        "id": number,
        "model": "desk",
        "monitor": "novelty",
        "alert": f"a{number}",
        "event": "opened",
        "at": NOON,
        "message": "novel: 30.0 %",
        "bundle": None,
        "examples": (),
        "opened_at": NOON,
        "resolved_at": None,
        "seen": 1,
        "channel": "json://****",
        "attempts": 0,
        "ready_at": NOON,
        "retry_at": None,
    }
    return WaitingAlert(**(plain | values))


@contextmanager
def before_each(
    workspace: Workspace, statement: str, act: Callable[[sa.Connection], object]
) -> Iterator[None]:
    """Let something happen in the records just before each statement that begins so."""
    acting = False

    def listen(connection: sa.Connection, cursor: object, text: str, *_: object) -> None:
        nonlocal acting
        if text.startswith(statement) and not acting:
            acting = True
            try:
                act(connection)
            finally:
                acting = False

    engine = workspace.records.engine
    sa.event.listen(engine, "before_cursor_execute", listen)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", listen)
