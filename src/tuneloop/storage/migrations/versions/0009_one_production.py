"""What is in production stands once: in the aliases, where the endpoints kept a copy"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ENDPOINTS = sa.table("endpoints", sa.column("model"), sa.column("bundle"), sa.column("previous"))
_ALIASES = sa.table(
    "aliases",
    sa.column("model"),
    sa.column("name"),
    sa.column("bundle"),
    sa.column("revision"),
    sa.column("moved_at", sa.DateTime(timezone=True)),
)
_EVENTS = sa.table(
    "alias_events",
    sa.column("model"),
    sa.column("name"),
    sa.column("from_bundle"),
    sa.column("to_bundle"),
    sa.column("actor"),
    sa.column("reason"),
    sa.column("drill", sa.Boolean()),
    sa.column("at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # What somebody moved between the two readings would be moved back. SQLite has one writer.
        op.execute("LOCK TABLE endpoints, aliases IN ACCESS EXCLUSIVE MODE")
    for row in op.get_bind().execute(sa.select(_ENDPOINTS)).all():
        _follow(row.model, "production", row.bundle)
        _follow(row.model, "previous", row.previous)
    with op.batch_alter_table("endpoints") as endpoints:
        endpoints.drop_column("bundle")
        endpoints.drop_column("previous")


def _follow(model: str, name: str, bundle: str | None) -> None:
    """Where the two differ the endpoint is right: clients were sent where it pointed."""
    connection, now = op.get_bind(), datetime.now(UTC)
    here = (_ALIASES.c.model == model) & (_ALIASES.c.name == name)
    before = connection.execute(sa.select(_ALIASES).where(here)).first()
    known = before.bundle if before is not None else None
    if known == bundle:
        return
    if bundle is None:
        connection.execute(sa.delete(_ALIASES).where(here))
    elif before is None:
        connection.execute(
            sa.insert(_ALIASES).values(
                model=model, name=name, bundle=bundle, revision=1, moved_at=now
            )
        )
    else:
        connection.execute(
            sa.update(_ALIASES)
            .where(here)
            .values(bundle=bundle, revision=before.revision + 1, moved_at=now)
        )
    connection.execute(
        sa.insert(_EVENTS).values(
            model=model,
            name=name,
            from_bundle=known,
            to_bundle=bundle,
            actor="tuneloop",
            reason="the endpoint pointed there",
            drill=False,
            at=now,
        )
    )
