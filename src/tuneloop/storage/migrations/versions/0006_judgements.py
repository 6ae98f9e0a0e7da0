"""Double review, judgements, dataset versions validated against the last"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("item", sa.String(length=64), nullable=False),
        sa.Column("reviewer", sa.String(length=200), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("final", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
    )
    op.create_index(op.f("ix_judgements_item"), "judgements", ["item"])
    # What was decided so far was decided by one person each.
    op.execute(
        "INSERT INTO judgements (item, reviewer, decision, final, seconds, at) "
        "SELECT id, reviewer, status, final, seconds, decided_at FROM review_items "
        "WHERE status IN ('approved', 'rejected', 'skipped') AND reviewer IS NOT NULL"
    )
    with op.batch_alter_table("review_items") as batch_op:
        batch_op.add_column(sa.Column("detail", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("judges", sa.Integer(), nullable=False, server_default="1"))
        batch_op.drop_column("seconds")
    # The defaults were for the rows that were there; what is queued from now on says both.
    with op.batch_alter_table("review_items") as batch_op:
        batch_op.alter_column("detail", server_default=None)
        batch_op.alter_column("judges", server_default=None)
    with op.batch_alter_table("dataset_versions") as batch_op:
        batch_op.add_column(sa.Column("validation", sa.JSON(), nullable=True))
