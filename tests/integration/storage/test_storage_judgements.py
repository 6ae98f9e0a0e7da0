"""What one person each had decided before there were judgements is kept as theirs."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tuneloop import review
from tuneloop.storage import records as stores
from tuneloop.storage.records import Records
from tuneloop.workspace import Workspace

COLUMNS = (
    "id, model, kind, messages, answer, proposal, status, final, reviewer, seconds, created_at, "
    "decided_at"
)


def test_earlier_decisions_become_judgements(either_records: str | None, tmp_path: Path) -> None:
    url = either_records or f"sqlite:///{tmp_path / 'records.sqlite'}"
    before = Records(url)
    before._make_file()
    config = Config()
    config.set_main_option("script_location", str(stores._MIGRATIONS))
    with before.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0005")
        moment = "'2026-03-02 09:00:00+00'" if either_records else "'2026-03-02 09:00:00'"
        for values in (
            f"'a', 'router', 'correction', '[]', 'x', 'y', 'approved', 'z', 'ann', 40.0, {moment}, "
            f"{moment}",
            f"'b', 'router', 'correction', '[]', 'x', 'y', 'open', NULL, NULL, NULL, {moment}, "
            "NULL",
        ):
            tx.execute(sa.text(f"INSERT INTO review_items ({COLUMNS}) VALUES ({values})"))
    before.close()

    workspace = Workspace.open(tmp_path / "workspace", records_url=url)
    decided, waits = review.listing(workspace, "router", status=None)
    assert (decided.status, decided.final, decided.judges) == ("approved", "z", 1)
    assert (waits.status, dict(waits.detail)) == ("open", {})
    (judgement,) = review.judgements(workspace, "router")
    assert (judgement.item, judgement.reviewer, judgement.seconds) == ("a", "ann", 40.0)
    assert review.undo(workspace, model="router", item="a", reviewer="ann") == "open"
    workspace.records.close()
