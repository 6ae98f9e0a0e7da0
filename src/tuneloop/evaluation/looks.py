"""The budget of looks: how often these cases were asked to decide on something.

Every candidate that is judged on one set of cases is another chance for luck, and the rule gets
stricter with each (see `decision`). A look is one subject, what answered, on one set of cases: to
ask it again gives the same answers and is no new look. Cases are the same set where more than half
of today's were in it; a suite that has been renewed by half begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from tuneloop.evaluation.suites import Suite
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

SAME_FROM = 0.5
"""Share of today's cases above which an earlier look was at the same ones."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One subject that was judged on a suite."""

    evaluation: str
    model: str
    suite: str
    subject: str
    cases: tuple[str, ...]
    """their ids"""
    at: datetime


def take(
    workspace: Workspace, *, evaluation: str, model: str, suite: Suite, subject: str
) -> tuple[int, tuple[Look, ...]]:
    """Record that the evaluation looks at the suite: which look it is, and those before it.

    An evaluation that is taken up again has taken its look.
    """
    table = tables.looks
    with workspace.records.begin() as tx:
        rows = tx.execute(
            sa.select(table).where(table.c.model == model, table.c.suite == suite.name)
        )
        looks = [_look(row) for row in rows]
        mine = next((look for look in looks if look.evaluation == evaluation), None)
        if mine is None:
            mine = Look(
                evaluation=evaluation,
                model=model,
                suite=suite.name,
                subject=subject,
                cases=tuple(case.id for case in suite.cases),
                at=workspace.now(),
            )
            tx.execute(table.insert().values(**{**vars(mine), "cases": list(mine.cases)}))
    earlier = before(looks, mine)
    return 1 + len(earlier), earlier


def taken(workspace: Workspace, *, model: str, suite: str) -> int:
    """How many subjects the newest cases of a suite have decided on."""
    table = tables.looks
    with workspace.records.begin() as tx:
        rows = tx.execute(sa.select(table).where(table.c.model == model, table.c.suite == suite))
        looks = sorted(map(_look, rows), key=lambda look: look.at)
    if not looks:
        return 0
    newest = looks[-1]
    same = {look.subject for look in looks if _overlap(look.cases, newest.cases) > SAME_FROM}
    return len(same)


def before(looks: Sequence[Look], mine: Look) -> tuple[Look, ...]:
    """The first looks of other subjects at the cases of `mine` before its subject saw them."""
    same = sorted(
        (look for look in looks if _overlap(look.cases, mine.cases) > SAME_FROM),
        key=lambda look: (look.at, look.evaluation),
    )
    first: dict[str, Look] = {}
    for look in same:
        first.setdefault(look.subject, look)
    began = first.get(mine.subject, mine)
    return tuple(
        look
        for subject, look in first.items()
        if subject != mine.subject and (look.at, look.evaluation) < (began.at, began.evaluation)
    )


def _overlap(earlier: Collection[str], now: Collection[str]) -> float:
    return len(set(earlier) & set(now)) / max(1, len(set(now)))


def _look(row: sa.Row[tuple[object, ...]]) -> Look:
    values = dict(row._mapping)
    return Look(**{**values, "cases": tuple(values["cases"])})
