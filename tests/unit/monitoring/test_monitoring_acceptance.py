"""A person says "this is normal now": the baseline is made anew, and the audit log keeps why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from live_desk import make_loop, put_live
from tuneloop import intervals
from tuneloop.embedders import StaticEmbedder
from tuneloop.errors import UsageError
from tuneloop.intervals import Figure
from tuneloop.loop import Loop
from tuneloop.monitoring import alerts, series
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit, measured
from tuneloop.monitoring.shift import Margin, assess_shift
from tuneloop.monitoring.watched import Watched
from tuneloop.monitoring.window import Window
from tuneloop.registry.bundle import Bundle
from tuneloop.workspace import Workspace


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    return make_loop(workspace, tmp_path / "desk", schedule={"golden": "never"})


def refusals(loop: Loop, bundle: Bundle, clock: Any, hits: int, n: int = 300) -> Measurement:
    """One more week in which so many of the answers refuse, measured as the worker does."""
    clock.advance(days=7)
    watched = _watched(loop, bundle)
    found = assess_shift(
        "refusals",
        watched.window,
        intervals.share(hits, n),
        what="answers that refuse or abstain",
        unit="share",
        baseline=watched.baseline("refusals"),
        margin=Margin(distance=0.05),
        minimum=30,
    )
    return _stored(loop, bundle, found)


def _watched(loop: Loop, bundle: Bundle) -> Watched:
    now = loop.workspace.now()
    return Watched(
        workspace=loop.workspace,
        bundle=bundle,
        window=Window(endpoint="desk", bundle=bundle.id, start=now - timedelta(days=7), end=now),
        settings=loop.model.monitors,
        embedder=StaticEmbedder(),
    )


def _stored(loop: Loop, bundle: Bundle, found: Measurement) -> Measurement:
    now = loop.workspace.now()
    series.store(loop.workspace, [found], bundle=bundle, endpoint="desk", now=now)
    alerts.apply(loop.workspace, model="desk", measurements=[found], now=now, bundle=bundle.id)
    return found


def test_what_a_person_calls_normal_ends_the_alert_and_can_be_taken_back(
    loop: Loop, clock: Any
) -> None:
    bundle = put_live(loop)
    for _ in range(3):
        refusals(loop, bundle, clock, 9)
    assert refusals(loop, bundle, clock, 90).verdict == "alert"
    with pytest.raises(UsageError, match="not empty"):
        loop.accept("refusals", reason=" ")
    clock.advance(hours=1)
    said = loop.accept("refusals", reason="orders are refused since May")
    assert (said.value, said.n, said.actor) == (0.3, 300, "ann")
    assert refusals(loop, bundle, clock, 88).verdict == "ok"
    assert [alert.monitor for alert in loop.alerts()] == []
    # It is a baseline like others: what moves away from it is told.
    found = refusals(loop, bundle, clock, 200)
    assert found.verdict == "alert"
    assert "from what ann called normal on" in found.message

    loop.undo_accept("refusals", reason="it was a mistake")
    assert refusals(loop, bundle, clock, 90).verdict == "alert"
    assert refusals(loop, bundle, clock, 9).verdict == "ok"
    with pytest.raises(UsageError, match="No window of 'refusals' was called normal"):
        loop.undo_accept("refusals", reason="again")
    kept = [(e.action, e.actor, e.detail["reason"]) for e in loop.audit.listing(limit=2)]
    assert kept == [
        ("monitor.unaccept", "ann", "it was a mistake"),
        ("monitor.accept", "ann", "orders are refused since May"),
    ]
    assert [one.withdrawn_by for one in loop.accepted()] == ["ann"]


def test_another_bundle_begins_a_baseline_of_its_own(loop: Loop, clock: Any) -> None:
    first = put_live(loop)
    for _ in range(3):
        refusals(loop, first, clock, 9)
    loop.accept("refusals", reason="as it is")
    second = put_live(loop, system="another one")
    assert refusals(loop, second, clock, 90).detail.get("becomes_baseline")
    assert refusals(loop, second, clock, 90).verdict == "ok"
    assert refusals(loop, first, clock, 90).verdict == "alert"


def test_only_a_monitor_with_a_baseline_has_a_normal_one(loop: Loop, clock: Any) -> None:
    bundle = put_live(loop)
    with pytest.raises(UsageError, match="has not measured the bundle in production"):
        loop.accept("edit_rate", reason="why not")
    with pytest.raises(UsageError, match="There is no monitor 'drifting'"):
        loop.accept("drifting", reason="why not")
    now = loop.workspace.now()
    window = Window(endpoint="desk", bundle=bundle.id, start=now - timedelta(days=7), end=now)
    for hits, n, why in ((50, 100, "is fixed"), (5, 10, "nothing that could be normal")):
        figure, limit = intervals.share(hits, n), Limit(threshold=0.15, unit="share", side="above")
        clock.advance(seconds=1)
        _stored(
            loop,
            bundle,
            against_limit("edit_rate", window, figure, what="edited", limit=limit, minimum=30),
        )
        with pytest.raises(UsageError, match=why):
            loop.accept("edit_rate", reason="why not")


def test_who_waits_longer_than_the_pooled_latency_allows_was_failed(loop: Loop, clock: Any) -> None:
    bundle = put_live(loop)
    usual = bundle.manifest.evaluation.latency_p95_ms
    for p95 in (400.0, 500.0, 600.0):
        clock.advance(days=7)
        watched = _watched(loop, bundle)
        figure = Figure(value=p95, low=p95 - 20, high=p95 + 20, n=300)
        found = measured("latency_p95", watched.window, figure, verdict="ok", message="")
        _stored(loop, bundle, found)
    clock.advance(days=7)
    assert usual is None
    assert _watched(loop, bundle).patience_ms == pytest.approx(2 * 500)
