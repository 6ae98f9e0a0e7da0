"""What was erased must not come back: marks of rows that say nothing about what was in them.

A mark is a keyed hash (HMAC-SHA-256) of the row's input key. Without the key, which lies in the
records store and nowhere else, nobody can try texts against it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from tuneloop.storage import tables
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Tombstones:
    """The marks of a workspace."""

    key: bytes = b""
    marks: frozenset[str] = frozenset()

    def covers(self, input_key: str) -> bool:
        """Whether a row with this input key was erased."""
        return bool(self.marks) and mark(self.key, input_key) in self.marks


NONE = Tombstones()


def load(workspace: Workspace) -> Tombstones:
    """All marks; a dataset version is made without the rows that they cover."""
    with workspace.records.begin() as tx:
        marks = frozenset(tx.execute(sa.select(tables.tombstones.c.mark)).scalars())
        return Tombstones(key=_key(tx), marks=marks) if marks else NONE


def plant(tx: sa.Connection, input_keys: Iterable[str], *, erasure: str, now: datetime) -> None:
    """Mark rows as erased; one that is marked already stays as it is."""
    table, key = tables.tombstones, _key(tx)
    known = set(tx.execute(sa.select(table.c.mark)).scalars())
    for new_mark in sorted({mark(key, input_key) for input_key in input_keys} - known):
        tx.execute(sa.insert(table).values(mark=new_mark, erasure=erasure, at=now))


def mark(key: bytes, input_key: str) -> str:
    """The mark of a row, 64 hex digits."""
    return hmac.new(key, input_key.encode(), hashlib.sha256).hexdigest()


def _key(tx: sa.Connection) -> bytes:
    """Made once, the same for all marks of the workspace."""
    table = tables.tombstone_key
    key_hex = tx.execute(sa.select(table.c.key)).scalar()
    if key_hex is None:
        key_hex = secrets.token_hex(32)
        tx.execute(sa.insert(table).values(id=1, key=key_hex))
    return bytes.fromhex(key_hex)
