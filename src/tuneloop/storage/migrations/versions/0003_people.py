"""Roles, approvals, tombstones of erased rows, and the chain of the audit log"""

import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from tuneloop.hashing import digest_json

revision = "0003"
down_revision = "0002"

# What a digest covers is written down here once more: a migration must not change with the code.
_GENESIS = "0" * 64
_TEXT = sa.String(length=64)


def upgrade() -> None:
    with op.batch_alter_table("audit_events") as events:
        events.add_column(sa.Column("previous", _TEXT, nullable=True))
        events.add_column(sa.Column("digest", _TEXT, nullable=True))
    last, digest = _chain_existing_events()
    with op.batch_alter_table("audit_events") as events:
        events.alter_column("previous", existing_type=_TEXT, nullable=False)
        events.alter_column("digest", existing_type=_TEXT, nullable=False)
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.bulk_insert(head, [{"id": 1, "event": last, "digest": digest}])
    _refuse_changes()
    _create_tables()


def _chain_existing_events() -> tuple[int, str]:
    """Chain what earlier versions wrote; id and digest of the last event."""
    table = sa.table(
        "audit_events",
        sa.column("id", sa.Integer),
        *(sa.column(name, sa.String) for name in ("model", "actor", "action")),
        sa.column("detail", sa.JSON),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("previous", sa.String),
        sa.column("digest", sa.String),
    )
    connection = op.get_bind()
    last, digest = 0, _GENESIS
    for row in connection.execute(sa.select(table).order_by(table.c.id)).all():
        previous, last = digest, row.id
        # A not-a-number that an earlier version wrote is read as its name, as it is from now on.
        detail = json.loads(json.dumps(row.detail), parse_constant=str)
        digest = digest_json(
            {
                "model": row.model,
                "actor": row.actor,
                "action": row.action,
                "detail": detail,
                "at": _utc(row.at).isoformat(),
                "previous": previous,
            }
        )
        connection.execute(
            sa.update(table)
            .where(table.c.id == row.id)
            .values(detail=detail, previous=previous, digest=digest)
        )
    return last, digest


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _refuse_changes() -> None:
    """The database itself refuses to change or remove an event."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """CREATE FUNCTION tuneloop_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$"""
        )
        op.execute(
            """CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
            ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION tuneloop_append_only()"""
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"""CREATE TRIGGER audit_events_no_{event.lower()} BEFORE {event} ON audit_events
            BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"""
        )
    # INSERT OR REPLACE removes a row without a DELETE that a trigger would see.
    op.execute(
        """CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
        WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END"""
    )


def _create_tables() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "people",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("added_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("name", "role", "model", name=op.f("pk_people")),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("bundle", _TEXT, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen", sa.JSON(), nullable=False),
        sa.Column("seen_digest", _TEXT, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_bundle"), "approvals", ["bundle"])
    op.create_table(
        "tombstones",
        sa.Column("mark", _TEXT, nullable=False),
        sa.Column("erasure", sa.String(length=32), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_tombstones")),
    )
    op.create_table(
        "tombstone_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstone_key")),
    )
