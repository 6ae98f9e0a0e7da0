"""How people name one record among others: by its id, the beginning of it, or `latest`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tuneloop.errors import UsageError

LATEST = "latest"
_Record = TypeVar("_Record")


def meant_by(
    records: Sequence[_Record],
    reference: str,
    names: Callable[[_Record], Sequence[str]],
    *,
    least: int = 1,
) -> list[_Record]:
    """The records that `reference` may mean: the one that is called so, else all that begin so.

    `names` gives what a record is called, its id first; of the id a beginning of `least` characters
    is enough.
    """
    called_so = [record for record in records if reference in names(record)]
    if called_so or len(reference) < least:
        return called_so
    return [record for record in records if names(record)[0].startswith(reference)]


def one_named(
    records: Sequence[_Record],
    reference: str,
    names: Callable[[_Record], Sequence[str]],
    *,
    what: str,
    remedy: str,
    latest: Sequence[_Record] | None = None,
    least: int = 1,
) -> _Record:
    """The record that `reference` names; `latest` is the first, of `records` or of those given.

    `what` is what they are together, e.g. `cycles of desk`.

    Raises:
        UsageError: none, or more than one, is meant.
    """
    if reference == LATEST:
        meant = list(records if latest is None else latest)[:1]
    else:
        meant = meant_by(records, reference, names, least=least)
    if len(meant) != 1:
        raise UsageError(
            f"{reference!r} names {len(meant)} {what}; expected one.",
            remedy=remedy,
        )
    return meant[0]
