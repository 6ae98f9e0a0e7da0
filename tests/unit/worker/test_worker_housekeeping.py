"""Dropped captures become an alert, old traffic goes, and a full disk stops neither for good."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tuneloop.errors import StoreError, UsageError
from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.shared_counts import SharedCounts
from tuneloop.lineage.retention import kept_for, prune
from tuneloop.modelfile import ModelSettings
from tuneloop.monitoring import alerts
from tuneloop.monitoring.capture_drops import QUIET
from tuneloop.registry import aliases, audit
from tuneloop.storage import tables
from tuneloop.storage.records import Records
from tuneloop.worker import housekeeping
from tuneloop.worker.housekeeping import Housekeeping
from tuneloop.workspace import Workspace

BUNDLE = "b" * 64


class FullDisk(Records):
    """Records whose disk can be full."""

    full = False

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        if self.full:
            raise StoreError("The records store failed: database or disk is full.")
        with super().begin() as tx:
            yield tx


@pytest.fixture
def served(workspace: Workspace) -> Workspace:
    """A workspace with an endpoint `desk` of the model `router`."""
    _declare(workspace)
    return workspace


def _declare(workspace: Workspace, **settings: Any) -> None:
    with workspace.records.begin() as tx:
        tx.execute(sa.delete(tables.endpoints))
        tx.execute(
            sa.insert(tables.endpoints).values(
                name="desk", model="router", settings=settings, revision=1
            )
        )
        aliases.move(
            tx,
            model="router",
            name="production",
            bundle=BUNDLE,
            expected=aliases.read(tx, "router").get("production"),
            actor="ann",
            reason="test",
            now=workspace.now(),
        )


class Gateway:
    """Counts as a gateway process does."""

    def __init__(self, workspace: Workspace, name: str = "gateway-0") -> None:
        self.metrics = Metrics()
        self._counts = SharedCounts(self.metrics, workspace.folder("run"), name)

    def drops(self, count: int, reason: str = "disk_full") -> None:
        for _ in range(count):
            self.metrics.accounted("desk", reason)
        self._counts.leave()


def _messages(workspace: Workspace) -> list[str]:
    return [alert.message for alert in alerts.listing(workspace, "router")]


def test_drops_of_all_gateways_are_one_alert_until_they_stop(served: Workspace, clock) -> None:
    one, two = Gateway(served), Gateway(served, "gateway-1")
    housekeeping = Housekeeping(served)
    one.drops(5, "opt_out")  # nobody's fault
    housekeeping.step()
    assert _messages(served) == []
    one.drops(2)
    two.drops(1, "disk_error")
    housekeeping.step()
    (message,) = _messages(served)
    assert "3 interactions not captured since 2026-03-02 09:00 UTC" in message
    assert "disk_error: 1, disk_full: 2" in message
    assert str(served.folder("spool")) in message

    clock.advance(minutes=2)
    two.drops(4)
    housekeeping.step()
    assert "7 interactions not captured since 2026-03-02 09:00" in _messages(served)[0]
    clock.advance(seconds=QUIET.total_seconds())
    housekeeping.step()
    assert _messages(served) == []
    (alert,) = alerts.listing(served, "router", unresolved_only=False)
    assert (alert.monitor, alert.status, alert.seen) == ("capture_drops", "resolved", 2)


def test_an_alert_that_cannot_be_written_is_written_later(
    workspace: Workspace, clock, caplog: pytest.LogCaptureFixture
) -> None:
    _declare(workspace)
    records = FullDisk(f"sqlite:///{workspace.root / 'records.sqlite'}")
    full = dataclasses.replace(workspace, records=records)
    gateway, housekeeping = Gateway(full), Housekeeping(full)
    records.full = True
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            gateway.drops(2)
            housekeeping.step()
            clock.advance(seconds=2)
    complaints = [line for line in caplog.messages if line.startswith("captures: ")]
    assert len(complaints) == 1, "said once, not every two seconds"
    assert "disk is full" in complaints[0]
    assert _messages(workspace) == []
    records.full = False
    housekeeping.step()
    assert "6 interactions not captured since" in _messages(workspace)[0]
    records.close()


def _capture(workspace: Workspace, days_ago: float, *, bundle: str = BUNDLE) -> None:
    time = workspace.now() - timedelta(days=days_ago)
    row = {"id": f"{days_ago}-{bundle}", "time": time, "endpoint": "desk", "bundle": bundle}
    workspace.traffic.append("interactions", [row | {"status": 200, "messages": "[]"}])


def _kept(workspace: Workspace) -> list[str]:
    return list(workspace.traffic.scan("interactions").collect()["id"].sort())


def _register(workspace: Workspace) -> None:
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(tables.bundles).values(
                id=BUNDLE, model="router", manifest={}, created_at=workspace.now()
            )
        )


def test_what_is_too_old_goes_at_the_start_and_once_a_day(served: Workspace, clock) -> None:
    _register(served)
    for days in (91, 89.9, 1):
        _capture(served, days)
    _capture(served, 400, bundle="c" * 64)  # of another model
    _declare(served, retention_days=90)
    housekeeping = Housekeeping(served)
    housekeeping.step()
    others = f"400-{'c' * 64}"
    assert _kept(served) == [f"1-{BUNDLE}", others, f"89.9-{BUNDLE}"]
    clock.advance(hours=23)
    housekeeping.step()
    assert len(_kept(served)) == 3
    clock.advance(hours=1)
    housekeeping.step()
    assert _kept(served) == [f"1-{BUNDLE}", others]
    events = audit.listing(served, "router")
    assert [(e.actor, e.action, e.detail["interactions"]) for e in events] == [
        ("housekeeping", "traffic.prune", 1)
    ] * 2


def test_without_a_limit_everything_is_kept(served: Workspace) -> None:
    _register(served)
    _capture(served, 4_000)
    Housekeeping(served).step()
    assert len(_kept(served)) == 1
    pruned = prune(served, model="router", older_than=timedelta(days=90), actor="ann", dry_run=True)
    assert (pruned.interactions, audit.listing(served, "router")) == (1, [])


def test_a_failed_retention_is_tried_again_before_the_next_day(
    served: Workspace, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(served)
    _capture(served, 91)
    _declare(served, retention_days=90)
    housekeeping = Housekeeping(served)
    with monkeypatch.context() as broken:
        broken.setattr(type(served.traffic), "free", _fails)
        housekeeping.step()
    clock.advance(minutes=10)
    housekeeping.step()
    assert _kept(served) == []


def _fails(*_: object) -> None:
    raise StoreError("No space left on device.")


def test_a_model_file_without_a_limit_says_what_to_do() -> None:
    settings = {"name": "router", "base": "b", "data": {"sources": ["rows.jsonl"]}}
    with pytest.raises(UsageError, match="how long captured traffic is kept") as raised:
        kept_for(ModelSettings.model_validate(settings))
    assert "--older-than 90d" in raised.value.remedy
    settings["endpoint"] = {"retention_days": 30}
    assert kept_for(ModelSettings.model_validate(settings)) == timedelta(days=30)


def test_a_long_log_is_cut_and_its_writer_goes_on(
    served: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_LOG_BYTES", 10)
    log = served.folder("logs") / "gateway.log"
    short = served.folder("logs") / "worker.log"
    short.write_text("short\n")
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a long first line\n")
        housekeeping.Housekeeping(served).step()
        writer.write(b"next\n")
    assert log.read_text() == "next\n"
    assert log.with_name("gateway.log.1").read_text() == "a long first line\n"
    assert short.read_text() == "short\n"
