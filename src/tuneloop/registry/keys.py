"""API keys of the gateway: made here, shown once, kept as a digest.

People know a key by the name that it was made for, its owner's. Several keys may share that, so
each has an id too, which is part of the key itself and which the store calls its name.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import UsageError
from tuneloop.nearest import nearest
from tuneloop.registry import audit
from tuneloop.registry.routes import KEY_PREFIX, Key
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

_NAME_BYTES = 4
_SHORTEST = 4
"""Characters of an id that mean a key, at least: a revoked key is gone for good."""


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it can be shown: without its secret."""

    name: str
    """Its id: the part of the key that finds it."""
    owner: str
    """Whose key it is, the name that people know it by; keys of one owner share their
    interactions."""
    endpoints: tuple[str, ...]
    """Endpoints that it opens; empty: all."""
    feedback_for_all: bool
    requests_per_minute: float | None
    concurrent_requests: int | None
    created_at: datetime
    revoked_at: datetime | None

    @property
    def active(self) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a new key shall open."""

    owner: str
    endpoints: tuple[str, ...] = ()
    feedback_for_all: bool = False
    requests_per_minute: float | None = None
    concurrent_requests: int | None = None


def create(workspace: Workspace, grant: Grant, *, actor: str) -> tuple[ApiKey, str]:
    """A new key and its text, which is not kept anywhere.

    Raises:
        UsageError: the owner is empty or a limit is not above 0.
    """
    _check(grant)
    name = secrets.token_hex(_NAME_BYTES)
    text = f"{KEY_PREFIX}_{name}_{secrets.token_urlsafe(32)}"
    values = {
        "name": name,
        "digest": sha256(text.encode()).hexdigest(),
        **vars(grant),
        "endpoints": list(grant.endpoints),
        "created_at": workspace.now(),
        "revoked_at": None,
    }
    with workspace.records.begin() as tx:
        tx.execute(sa.insert(tables.api_keys).values(**values))
        _audit(tx, workspace, actor, "key.create", {"key": name, "owner": grant.owner})
    return find(workspace, name), text


def revoke(workspace: Workspace, reference: str, *, actor: str) -> ApiKey:
    """Close a key for good; one that is closed already stays so.

    Raises:
        UsageError: the reference means no key, or several.
    """
    key = find(workspace, reference)
    if key.active:
        with workspace.records.begin() as tx:
            tx.execute(
                sa.update(tables.api_keys)
                .where(tables.api_keys.c.name == key.name, tables.api_keys.c.revoked_at.is_(None))
                .values(revoked_at=workspace.now())
            )
            _audit(tx, workspace, actor, "key.revoke", {"key": key.name, "owner": key.owner})
    return find(workspace, key.name)


def find(workspace: Workspace, reference: str) -> ApiKey:
    """A key by the name that it was made for, by its id, or by the beginning of its id.

    Raises:
        UsageError: the reference means no key, or several.
    """
    return meant(listing(workspace), reference)


def meant(keys: Sequence[ApiKey], reference: str) -> ApiKey:
    """The key that a reference means: an id before a name, a name before the beginning of an id.

    Of keys that share a name the active one is meant, or the newest (they come first) where none
    is.

    Raises:
        UsageError: it means no key, or several active ones.
    """
    for matches in (
        [key for key in keys if key.name == reference],
        [key for key in keys if key.owner == reference],
        [key for key in keys if len(reference) >= _SHORTEST and key.name.startswith(reference)],
    ):
        if matches:
            return _one_of(matches, reference)
    near = nearest(reference, (key.owner for key in keys))
    raise UsageError(
        f"There is no API key {reference!r}.{f' Did you mean {near!r}?' if near else ''}",
        remedy="See names and ids with: tuneloop key list",
    )


def _one_of(matches: Sequence[ApiKey], reference: str) -> ApiKey:
    active = [key for key in matches if key.active]
    if len(active) <= 1:
        return (active or matches)[0]
    told = "; ".join(f"{key.name} of {key.owner}, made {key.created_at:%Y-%m-%d}" for key in active)
    raise UsageError(
        f"{reference!r} means {len(active)} keys: {told}.",
        remedy=f"Name one by its id: tuneloop key revoke {active[0].name}",
    )


def listing(workspace: Workspace) -> list[ApiKey]:
    """All keys, the newest first."""
    query = sa.select(tables.api_keys).order_by(tables.api_keys.c.created_at.desc())
    with workspace.records.begin() as tx:
        return [record_of(ApiKey, row) for row in tx.execute(query)]


def for_gateway(tx: sa.Connection) -> dict[str, Key] | None:
    """The active keys by name; None while there never was one, and the gateway is open.

    Revoking the last key closes the gateway: it must not open it.
    """
    rows = tx.execute(sa.select(tables.api_keys)).all()
    if not rows:
        return None
    return {row.name: record_of(Key, row) for row in rows if row.revoked_at is None}


def gateway_secret(tx: sa.Connection) -> str:
    """What the gateways prove interaction ids with; made once, the same for all of them."""
    secret = tx.execute(sa.select(tables.gateway_secret.c.secret)).scalar()
    if secret is None:
        secret = secrets.token_hex(32)
        tx.execute(sa.insert(tables.gateway_secret).values(id=1, secret=secret))
    return str(secret)


def _check(grant: Grant) -> None:
    if not grant.owner.strip():
        raise UsageError(
            "Expected the name that the key is for, got none.",
            remedy="Name the person, team or program: tuneloop key create NAME",
        )
    for name, limit in (
        ("requests per minute", grant.requests_per_minute),
        ("concurrent requests", grant.concurrent_requests),
    ):
        if limit is not None and limit <= 0:
            raise UsageError(f"Expected a number above 0 of {name}, got {limit:g}.")


def _audit(
    tx: sa.Connection, workspace: Workspace, actor: str, action: str, detail: dict[str, Any]
) -> None:
    audit.record(tx, model="", actor=actor, action=action, detail=detail, now=workspace.now())
