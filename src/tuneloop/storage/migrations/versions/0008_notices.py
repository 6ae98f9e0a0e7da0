"""Notices: what people are told of besides alerts"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def _time(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=True),
        _time("at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("event", name=op.f("uq_notices_event")),
    )
    op.create_index(op.f("ix_notices_model"), "notices", ["model"])
    op.create_table(
        "notices_read",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_notices_read")),
    )
    # What happened before there were notices is no news.
    op.execute(
        "INSERT INTO notices_read (model, event) "
        "SELECT model, max(id) FROM audit_events WHERE model <> '' GROUP BY model"
    )
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("event", existing_type=sa.Integer(), nullable=True)
        deliveries.add_column(sa.Column("notice", sa.Integer(), nullable=True))
        deliveries.create_unique_constraint(
            op.f("uq_deliveries_notice_channel"), ["notice", "channel"]
        )
