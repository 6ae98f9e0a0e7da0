"""The name that clients call: it sends them to what is in production, as the aliases say.

Its name and settings are the model file's as it was when a bundle was deployed, or when
`tuneloop up` last started: what clients meet changes at a moment that somebody chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import ConflictError, UsageError
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.registry import aliases, audit
from tuneloop.registry import bundle as bundles
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

_MOVED = "endpoint.move"
"""The event of the audit log."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The name that clients call and what answers them."""

    name: str
    model: str
    bundle: str | None
    """Bundle id in production."""
    previous: str | None
    """Bundle id that a rollback returns to."""
    settings: Mapping[str, Any]
    """The model file's `endpoint` section, as last taken over."""
    revision: int
    """Grows with every change."""


def find(workspace: Workspace, model: str) -> Endpoint | None:
    """The endpoint of a model, None before its first deployment."""
    with workspace.records.begin() as tx:
        return _read(tx, model)


def listing(workspace: Workspace) -> list[Endpoint]:
    """All endpoints, by name."""
    with workspace.records.begin() as tx:
        return read(tx)


def read(tx: sa.Connection) -> list[Endpoint]:
    """`listing` inside a transaction."""
    return [record_of(Endpoint, row) for row in tx.execute(_query())]


def came_by_rollback(workspace: Workspace, model: str) -> bool:
    """Whether the bundle in production was gone back to: drills are no moves of anybody's.

    False also where the move is of before tuneloop kept how a bundle came into production.
    """
    endpoint = find(workspace, model)
    if endpoint is None:
        return False
    table = tables.audit_events
    query = (
        sa.select(table.c.detail)
        .where(table.c.model == model, table.c.action == _MOVED)
        .order_by(table.c.id.desc())
    )
    with workspace.records.begin() as tx:
        moves = tx.execute(query).scalars()
        brought = (
            move for move in moves if move["to"] == endpoint.bundle and not move.get("drill")
        )
        last: dict[str, Any] = next(brought, {})
    return bool(last.get("rollback"))


@dataclass(frozen=True, kw_only=True)
class Move:
    """What a model's endpoint shall be, who wants it and why."""

    model: str
    endpoint: str
    bundle: str
    previous: str | None
    settings: Mapping[str, Any]
    actor: str
    reason: str
    drill: bool = False
    rollback: bool = False


def point(
    workspace: Workspace,
    *,
    model: ModelSettings,
    bundle: str,
    expected: str | None,
    actor: str,
    reason: str,
) -> Endpoint:
    """Make a bundle production; what was production becomes previous.

    `expected` is the bundle that must be in production now, None: nothing. Where `bundle` is in
    production already, only name and settings are taken over, whatever was expected.

    Raises:
        ConflictError: another bundle is in production; nothing changed.
        UsageError: the endpoint's name belongs to another model.
    """
    with workspace.records.begin() as tx:
        before = _read(tx, model.name)
        if before is not None and before.bundle == bundle:
            return _take_over(tx, before, model, actor, workspace.now())
        current = before.bundle if before else None
        if current != expected:
            raise ConflictError(
                f"Expected {_shown(expected)} in production of {model.name}, "
                f"found {_shown(current)}.",
                remedy="Look with `tuneloop status` and decide again.",
            )
        move = Move(
            model=model.name,
            endpoint=model.endpoint_name,
            bundle=bundle,
            previous=current,
            settings=model.endpoint.model_dump(mode="json"),
            actor=actor,
            reason=reason,
        )
        return _apply(tx, move, before, workspace.now())


def succeed(
    workspace: Workspace, *, model: str, bundle: str, expected: str, actor: str, reason: str
) -> Endpoint:
    """Make a bundle production after `expected`; the endpoint keeps its name and settings.

    Raises:
        ConflictError: another bundle is in production; nothing changed.
    """
    with workspace.records.begin() as tx:
        before = _read(tx, model)
        if before is not None and before.bundle == bundle:
            return before
        if before is None or before.bundle != expected:
            raise ConflictError(
                f"Expected {_shown(expected)} in production of {model}, "
                f"found {_shown(before.bundle if before else None)}.",
                remedy="Look with `tuneloop status` and decide again.",
            )
        move = Move(
            model=model,
            endpoint=before.name,
            bundle=bundle,
            previous=expected,
            settings=before.settings,
            actor=actor,
            reason=reason,
        )
        return _apply(tx, move, before, workspace.now())


def take_over_settings(
    workspace: Workspace, *, model: ModelSettings, actor: str
) -> Endpoint | None:
    """Give an endpoint the name and settings of the model file; it keeps its bundles.

    None before the first deployment.

    Raises:
        ConflictError: somebody changed the endpoint meanwhile; nothing changed.
        UsageError: the endpoint's name belongs to another model.
    """
    with workspace.records.begin() as tx:
        before = _read(tx, model.name)
        return before and _take_over(tx, before, model, actor, workspace.now())


def roll_back(
    workspace: Workspace,
    *,
    model: str,
    actor: str,
    reason: str,
    drill: bool = False,
    expected: str | None = None,
) -> Endpoint:
    """Swap production and previous; doing it again undoes it.

    `expected`: the bundle to go back from; by default whatever is in production.

    Raises:
        UsageError: there is nothing to go back to.
        ConflictError: somebody moved the endpoint meanwhile; nothing changed.
    """
    with workspace.records.begin() as tx:
        before = _read(tx, model)
        if before is None or before.bundle is None or before.previous is None:
            raise UsageError(
                f"{model} has no previous bundle to go back to.",
                remedy="A rollback needs two deployments. See: tuneloop history",
            )
        if expected not in (None, before.bundle):
            raise ConflictError(
                f"{_shown(expected)} is not in production of {model} any more: "
                f"{_shown(before.bundle)} is.",
                remedy="Look with `tuneloop status` and decide again.",
            )
        move = Move(
            model=model,
            endpoint=before.name,
            bundle=before.previous,
            previous=before.bundle,
            settings=before.settings,
            actor=actor,
            reason=reason,
            drill=drill,
            rollback=True,
        )
        return _apply(tx, move, before, workspace.now())


def _take_over(
    tx: sa.Connection, before: Endpoint, model: ModelSettings, actor: str, now: datetime
) -> Endpoint:
    after = replace(
        before,
        name=model.endpoint_name,
        settings=model.endpoint.model_dump(mode="json"),
        revision=before.revision + 1,
    )
    changed = {
        key: [before.settings.get(key), after.settings.get(key)]
        for key in sorted(before.settings.keys() | after.settings.keys())
        if before.settings.get(key) != after.settings.get(key)
    }
    if after.name == before.name and not changed:
        return before
    _write(tx, before, after)
    audit.record(
        tx,
        model=model.name,
        actor=actor,
        action="endpoint.settings",
        detail={"endpoint": [before.name, after.name], "settings": changed},
        now=now,
    )
    return after


def _apply(tx: sa.Connection, move: Move, before: Endpoint | None, now: datetime) -> Endpoint:
    """Aliases, name and settings, and audit event in one transaction: all of them or none."""
    after = Endpoint(
        name=move.endpoint,
        model=move.model,
        bundle=move.bundle,
        previous=move.previous,
        settings=dict(move.settings),
        revision=before.revision + 1 if before else 1,
    )
    _write(tx, before, after)
    known = aliases.read(tx, move.model)
    targets: dict[aliases.AliasName, str | None] = {
        "production": move.bundle,
        "previous": move.previous,
    }
    if "candidate" in known and known["candidate"].bundle == move.bundle:
        targets["candidate"] = None
    for name, bundle in targets.items():
        aliases.move(
            tx,
            model=move.model,
            name=name,
            bundle=bundle,
            expected=known.get(name),
            actor=move.actor,
            reason=move.reason,
            drill=move.drill,
            now=now,
        )
    audit.record(
        tx,
        model=move.model,
        actor=move.actor,
        action=_MOVED,
        detail={
            "endpoint": move.endpoint,
            "from": before.bundle if before else None,
            "to": move.bundle,
            "reason": move.reason,
            "drill": move.drill,
            "rollback": move.rollback,
            **bundles.told_weaknesses(tx, move.bundle),
        },
        now=now,
    )
    return after


def _write(tx: sa.Connection, before: Endpoint | None, after: Endpoint) -> None:
    table = tables.endpoints
    if before is None or before.name != after.name:
        _refuse_taken(tx, after)
    values = {column.name: getattr(after, column.name) for column in table.c}
    if before is None:
        tx.execute(sa.insert(table).values(**values))
        return
    changed = tx.execute(
        sa.update(table)
        .where(table.c.model == before.model, table.c.revision == before.revision)
        .values(**values)
    )
    if changed.rowcount != 1:
        raise ConflictError(
            f"Endpoint {before.name} was changed by somebody else meanwhile.",
            remedy="Look with `tuneloop status` and decide again.",
        )


def _refuse_taken(tx: sa.Connection, wanted: Endpoint) -> None:
    table = tables.endpoints
    owner = tx.execute(sa.select(table.c.model).where(table.c.name == wanted.name)).scalar()
    if owner == wanted.model:  # somebody's first deployment came between our looks
        raise ConflictError(
            f"Endpoint {wanted.name} was changed by somebody else meanwhile.",
            remedy="Look with `tuneloop status` and decide again.",
        )
    if owner is not None:
        raise UsageError(
            f"Endpoint {wanted.name!r} already belongs to the model {owner!r}.",
            remedy="Give this model another `endpoint.name` in its model file.",
        )


def _read(tx: sa.Connection, model: str) -> Endpoint | None:
    row = tx.execute(_query().where(tables.endpoints.c.model == model)).first()
    return None if row is None else record_of(Endpoint, row)


def _query() -> sa.Select[Any]:
    """Endpoints with what their aliases point at, by name: one statement, so one moment."""
    table, query = tables.endpoints, sa.select(tables.endpoints)
    joined: sa.FromClause = table
    for name, column in (("production", "bundle"), ("previous", "previous")):
        alias = tables.aliases.alias(name)
        here = (alias.c.model == table.c.model) & (alias.c.name == name)
        joined = joined.outerjoin(alias, here)
        query = query.add_columns(alias.c.bundle.label(column))
    return query.select_from(joined).order_by(table.c.name)


def describe(endpoint: Endpoint) -> str:
    """One line for people: what the records say, whoever answers at this moment."""
    return (
        f"{endpoint.name}: {_shown(endpoint.bundle)} is in production now, "
        f"{_shown(endpoint.previous)} was before."
    )


def _shown(bundle: str | None) -> str:
    return short(bundle) if bundle else "nothing"
