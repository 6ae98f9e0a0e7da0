"""Moves of a rollback drill are told from moves that were meant"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("alias_events") as events:
        events.add_column(
            sa.Column("drill", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    # Until now its reason was all that told a drill.
    moves = sa.table("alias_events", sa.column("reason"), sa.column("drill"))
    op.execute(moves.update().where(moves.c.reason == "rollback drill").values(drill=True))
    with op.batch_alter_table("alias_events") as events:
        events.alter_column("drill", server_default=None)
