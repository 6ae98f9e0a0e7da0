"""A bundle: everything that decides how a model behaves, named by the hash of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tuneloop.errors import CorruptArtifactError, UsageError
from tuneloop.hashing import digest_json, short
from tuneloop.registry import aliases
from tuneloop.registry.behaviour import behaviour_of
from tuneloop.registry.manifest import Manifest
from tuneloop.registry.weakness import sentences, stored
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.storage.references import meant_by
from tuneloop.workspace import Workspace

_MIN_PREFIX = 4
_NOBODY: Mapping[str, str] = {
    "production": "Nothing is in production yet.",
    "previous": "Nothing was in production before what is there now.",
    "candidate": "There is no candidate.",
}
"""What a name without a bundle means."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """One immutable production candidate."""

    id: str
    """SHA-256 of the manifest's canonical JSON."""
    model: str
    manifest: Manifest
    created_at: datetime

    @property
    def short(self) -> str:
        """What people see."""
        return short(self.id)

    @property
    def behaviour(self) -> str:
        """What it shares with every bundle that answers as it does: see `behaviour_of`."""
        return behaviour_of(self.manifest)


def register(workspace: Workspace, manifest: Manifest) -> Bundle:
    """Store a bundle; the same manifest is the same bundle.

    Raises:
        StoreError: an artifact that it names is not in the store.
    """
    content = manifest.as_json()
    identity = digest_json(content)
    for digest in manifest.artifacts.as_json().values():
        workspace.artifacts.describe(digest)
    with workspace.records.begin() as tx:
        known = tx.execute(
            sa.select(tables.bundles.c.id).where(tables.bundles.c.id == identity)
        ).first()
        if known is None:
            tx.execute(
                sa.insert(tables.bundles).values(
                    id=identity,
                    model=manifest.model,
                    manifest=content,
                    created_at=workspace.now(),
                )
            )
    return find(workspace, identity)


def find(workspace: Workspace, reference: str, *, model: str | None = None) -> Bundle:
    """A bundle by its id, the beginning of it, or an alias such as `production`.

    With `model`, only among that model's bundles: several models may share a workspace.

    Raises:
        UsageError: no bundle, or more than one, is meant.
        CorruptArtifactError: the stored manifest does not match its id.
    """
    table = tables.bundles
    query = sa.select(table.c.id)
    with workspace.records.begin() as tx:
        if model is not None:
            query = query.where(table.c.model == model)
            alias = aliases.read(tx, model).get(reference)
            reference = alias.bundle if alias else reference
        ids = tx.execute(query).scalars().all()
        meant = meant_by(ids, reference, lambda identity: (identity,), least=_MIN_PREFIX)
        if len(meant) == 1:
            return _checked(tx.execute(sa.select(table).where(table.c.id == meant[0])).one())
    if reference in _NOBODY:
        raise UsageError(_NOBODY[reference], remedy="Make one with: tuneloop run")
    begun_so = meant or any(identity.startswith(reference) for identity in ids)
    of = f" of {model}" if model else ""
    what = "is not enough of a bundle's id" if begun_so else f"is not the id of a bundle{of}"
    raise UsageError(f"{reference!r} {what}.", remedy="See them with: tuneloop bundle list")


def listing(workspace: Workspace, *, model: str | None = None) -> list[Bundle]:
    """All bundles, the newest first."""
    query = sa.select(tables.bundles).order_by(tables.bundles.c.created_at.desc())
    if model is not None:
        query = query.where(tables.bundles.c.model == model)
    with workspace.records.begin() as tx:
        return [_checked(row) for row in tx.execute(query)]


def alike(workspace: Workspace, bundle: Bundle) -> list[Bundle]:
    """The other bundles of its model that behave as it does, the newest first."""
    behaviour = bundle.behaviour
    return [
        other
        for other in listing(workspace, model=bundle.model)
        if other.id != bundle.id and other.behaviour == behaviour
    ]


def verify(workspace: Workspace, bundle: Bundle) -> dict[str, Path]:
    """Check every byte of a bundle's artifacts; returns name → local folder.

    Raises:
        StoreError: an artifact is missing.
        CorruptArtifactError: bytes have changed.
    """
    return {
        name: workspace.artifacts.get(digest)
        for name, digest in bundle.manifest.artifacts.as_json().items()
    }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that two bundles do not share."""

    key: str
    """Dotted."""
    before: Any
    after: Any


def diff(before: Bundle, after: Bundle) -> list[Difference]:
    """Every value of the manifests that differs, in order of its key."""
    a, b = _flat(before.manifest.as_json()), _flat(after.manifest.as_json())
    return [
        Difference(key=key, before=a.get(key), after=b.get(key))
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
    ]


def told_weaknesses(tx: sa.Connection, bundle: str) -> dict[str, list[str]]:
    """`weakened`: what a bundle was held to less than others, for an event that is about it.

    Nothing where it was not, so that such events are as they were in earlier releases.
    """
    row = tx.execute(
        sa.select(tables.bundles.c.manifest).where(tables.bundles.c.id == bundle)
    ).first()
    evaluated = row.manifest.get("evaluation", {}) if row is not None else {}
    told = sentences(stored(evaluated.get("weakened")))
    return {"weakened": told} if told else {}


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: leaf
            for name, item in value.items()
            for key, leaf in _flat(item, f"{at}.{name}" if at else str(name)).items()
        }
    return {at: value}


def _checked(row: sa.Row[Any]) -> Bundle:
    if digest_json(row.manifest) != row.id:
        raise CorruptArtifactError(
            f"The manifest of bundle {short(row.id)} does not match its id.",
            remedy="The records store was changed by hand or damaged: restore it from a backup.",
        )
    try:
        manifest = Manifest.of(row.manifest)
    except (TypeError, AttributeError) as e:
        raise CorruptArtifactError(
            f"The manifest of bundle {short(row.id)} is none: a part is no object.",
            remedy="The records store was changed by hand or damaged: restore it from a backup.",
        ) from e
    return record_of(Bundle, row, manifest=manifest)
