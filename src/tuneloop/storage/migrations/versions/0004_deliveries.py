"""Deliveries of alerts"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("claim", sa.String(length=32), nullable=True),
        _time("ready_at"),
        _time("retry_at", nullable=True),
        _time("claimed_until", nullable=True),
        _time("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("event", "channel", name=op.f("uq_deliveries_event_channel")),
    )
    op.create_index(op.f("ix_deliveries_status"), "deliveries", ["status"])
    with op.batch_alter_table("alert_events") as batch:
        batch.add_column(sa.Column("bundle", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("examples", sa.JSON(), nullable=False, server_default="[]"))
        batch.add_column(_time("queued_at", nullable=True))
        batch.create_index(op.f("ix_alert_events_queued_at"), ["queued_at"])
    # What happened before there were deliveries is no news.
    op.execute("UPDATE alert_events SET queued_at = at")
