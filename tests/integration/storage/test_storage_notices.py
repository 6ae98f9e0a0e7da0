"""What happened before there were notices is no news, and earlier deliveries are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tuneloop.modelfile import AlertSettings
from tuneloop.monitoring.notifications import outbox
from tuneloop.monitoring.notifications.delivery import deliver_due
from tuneloop.registry import audit
from tuneloop.storage import records as stores
from tuneloop.storage.records import Records
from tuneloop.workspace import Workspace

OF = {
    name: AlertSettings.model_validate({"notify": ["json://127.0.0.1:1"], "group_minutes": 0})
    for name in ("desk", "new")
}


def test_a_workspace_of_before_goes_on(
    either_records: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = either_records or f"sqlite:///{tmp_path / 'records.sqlite'}"
    before = Records(url)
    before._make_file()
    config = Config()
    config.set_main_option("script_location", str(stores._MIGRATIONS))
    now = "CURRENT_TIMESTAMP"
    with before.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0007")
        tx.execute(
            sa.text(
                "INSERT INTO alerts (id, model, monitor, status, message, seen, opened_at, "
                f"last_seen_at) VALUES ('a1', 'desk', 'novelty', 'open', 'm', 1, {now}, {now})"
            )
        )
        tx.execute(
            sa.text(
                "INSERT INTO alert_events (id, alert, event, actor, message, examples, at, "
                f"queued_at) VALUES (7, 'a1', 'opened', 'monitoring', 'm', '[]', {now}, {now})"
            )
        )
        tx.execute(
            sa.text(
                "INSERT INTO deliveries (event, channel, status, attempts, last_error, ready_at) "
                f"VALUES (7, 'json://****', 'waiting', 0, '', {now})"
            )
        )
    before.close()
    with monkeypatch.context() as earlier:  # the audit log's rows are written as they were
        earlier.setattr(stores, "HEAD", "0007")
        workspace = Workspace.open(tmp_path / "workspace", records_url=url)
        reject(workspace, "desk")
        workspace.records.close()

    workspace = Workspace.open(tmp_path / "workspace", records_url=url)
    reject(workspace, "new")
    deliver_due(workspace, OF, send=lambda *_: None)
    assert [(one.alert, one.status) for one in outbox.listing(workspace, "desk")] == [
        ("a1", "sent")
    ]
    assert [one.kind for one in outbox.listing(workspace, "new")] == ["refusals"]
    reject(workspace, "desk")
    deliver_due(workspace, OF, send=lambda *_: None)
    assert [one.kind for one in outbox.listing(workspace, "desk")] == ["refusals", "alerts"]
    workspace.records.close()


def reject(workspace: Workspace, model: str) -> None:
    detail = {"bundle": "b" * 64, "kind": "deploy", "person": "ines", "reason": "no"}
    with workspace.records.begin() as tx:
        audit.record(
            tx,
            model=model,
            actor="ines",
            action="approval.rejected",
            detail=detail,
            now=workspace.now(),
        )
