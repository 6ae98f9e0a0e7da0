"""Who may do what: people with roles, once somebody has been declared.

While nobody is, everything is allowed to everybody. From then on every action needs a role, and
there is always an administrator. Who acts is who they say they are: roles keep colleagues from
doing each other's work by mistake, and the audit log says who did; they are no defence against
somebody who can write the database or set TUNELOOP_ACTOR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import sqlalchemy as sa

from tuneloop.errors import NotAllowedError, UsageError
from tuneloop.modelfile import Role
from tuneloop.registry import audit
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

Action = Literal[
    "approve",
    "deploy",
    "roll back",
    "edit data",
    "change suites",
    "review",
    "erase personal data",
    "manage people",
]
ROLES: tuple[Role, ...] = get_args(Role)
EVERY_MODEL = ""
"""Scope of a role that holds for the whole workspace."""
NOBODY_DECLARED = (
    "nobody is declared, so everybody may do everything: tuneloop people add NAME --role admin"
)
_MAXIMUM_NAME = 200

# Going back must never wait for somebody: everyone who may judge or move production may do it.
PERMITTED: Mapping[Action, tuple[Role, ...]] = {
    "approve": ("expert", "admin"),
    "deploy": ("engineer", "admin"),
    "roll back": ("engineer", "expert", "admin"),
    "edit data": ("curator", "engineer", "admin"),
    "change suites": ("curator", "expert", "engineer", "admin"),
    "review": ("expert", "curator", "admin"),
    "erase personal data": ("admin",),
    "manage people": ("admin",),
}


@dataclass(frozen=True, kw_only=True)
class Person:
    """One role of one person."""

    name: str
    """As they act: the system's user name, or what TUNELOOP_ACTOR says."""
    role: Role
    model: str
    """Empty: for every model of the workspace."""
    added_at: datetime

    def concerns(self, model: str) -> bool:
        """Whether the role holds for a model (`EVERY_MODEL`: for the whole workspace)."""
        return self.model in (EVERY_MODEL, model)


@dataclass(frozen=True, kw_only=True)
class BusFactor:
    """How many people can judge a model."""

    judges: tuple[str, ...]
    """Declared experts; where nobody is declared, whoever has judged so far."""
    warning: str | None
    """What to do about it, where it is fewer than two."""


def listing(workspace: Workspace) -> list[Person]:
    """Everybody who is declared, by name."""
    with workspace.records.begin() as tx:
        return _read(tx)


def roles_of(declared: Iterable[Person], name: str, model: str) -> frozenset[Role]:
    """The roles that somebody has for a model."""
    return frozenset(
        person.role for person in declared if person.name == name and person.concerns(model)
    )


def known_roles(names: Iterable[str]) -> list[Role]:
    """The roles of these names.

    Raises:
        UsageError: one is no role.
    """
    known: dict[str, Role] = {role: role for role in ROLES}
    roles = list(names)
    for name in roles:
        if name not in known:
            raise UsageError(f"Expected one of the roles {', '.join(ROLES)}, got {name!r}.")
    return [known[name] for name in roles]


def allow(
    workspace: Workspace,
    actor: str,
    action: Action,
    *,
    model: str = EVERY_MODEL,
    roles: Sequence[Role] | None = None,
) -> frozenset[Role]:
    """Let an action pass, and give the roles that its actor has; call it outside a transaction.

    `roles` are those that it takes, by default the ones of `PERMITTED`. A refusal is audited.

    Raises:
        NotAllowedError: people are declared and the actor has none of the roles; says who has.
    """
    permitted = PERMITTED[action] if roles is None else roles
    with workspace.records.begin() as tx:
        declared = _read(tx)
        has = roles_of(declared, actor, model)
        if not declared or has & set(permitted):
            return has
        audit.record(
            tx,
            model=model,
            actor=actor,
            action="people.refused",
            detail={"wanted": action, "roles": sorted(has), "needed": list(permitted)},
            now=workspace.now(),
        )
    raise NotAllowedError(
        f"{actor} may not {action}{f' of {model}' if model else ''}: that takes the role "
        f"{' or '.join(permitted)}, and {actor} has {' and '.join(sorted(has)) or 'none'}.",
        remedy=_who_may(declared, permitted, model),
    )


def add(
    workspace: Workspace, name: str, roles: Sequence[Role], *, model: str = EVERY_MODEL, actor: str
) -> list[Person]:
    """Give somebody roles, for one model or for all; what they have already stays.

    Raises:
        UsageError: the name is no name, or the first person would be no administrator.
        NotAllowedError: only administrators may.
    """
    if not name.strip() or len(name) > _MAXIMUM_NAME or not name.isprintable():
        raise UsageError(f"Expected a name of 1 to {_MAXIMUM_NAME} characters, got {name!r}.")
    if not roles:
        raise UsageError("Which role?", remedy=f"Say --role with one of: {', '.join(ROLES)}.")
    allow(workspace, actor, "manage people")
    with workspace.records.begin() as tx:
        declared = _read(tx)
        if not declared and ("admin" not in roles or model != EVERY_MODEL):
            raise UsageError(
                "The first person must be an administrator of the workspace: from then on every "
                "action needs a role, and somebody must be able to give them.",
                remedy=f"Begin with: tuneloop people add {actor} --role admin",
            )
        for role in sorted(set(roles) - {p.role for p in declared if _same(p, name, model)}):
            tx.execute(
                sa.insert(tables.people).values(
                    name=name, role=role, model=model, added_at=workspace.now()
                )
            )
            _audit(tx, workspace, actor, "people.add", name, role, model)
        return [person for person in _read(tx) if person.name == name]


def remove(
    workspace: Workspace,
    name: str,
    roles: Sequence[Role] = (),
    *,
    model: str = EVERY_MODEL,
    actor: str,
) -> list[Person]:
    """Take roles (none named: all of them) of one scope from somebody; returns what was taken.

    Raises:
        UsageError: there is nothing to take, or no administrator would be left.
        NotAllowedError: only administrators may.
    """
    allow(workspace, actor, "manage people")
    with workspace.records.begin() as tx:
        # Locked, or two administrators who remove each other would leave none.
        declared = _read(tx, lock=True)
        gone = [
            person
            for person in declared
            if _same(person, name, model) and (person.role in roles or not roles)
        ]
        if not gone:
            raise UsageError(
                f"{name} has no such role{f' for {model}' if model else ''}.",
                remedy="See everybody with: tuneloop people list",
            )
        left = [person for person in declared if person not in gone]
        if left and not any(
            person.role == "admin" and person.concerns(EVERY_MODEL) for person in left
        ):
            raise UsageError(
                f"{name} is the last administrator of the workspace.",
                remedy="Make somebody else one first: tuneloop people add NAME --role admin",
            )
        table = tables.people
        for person in gone:
            here = (table.c.name == name) & (table.c.role == person.role) & (table.c.model == model)
            tx.execute(sa.delete(table).where(here))
            _audit(tx, workspace, actor, "people.remove", name, person.role, model)
    return gone


def bus_factor(workspace: Workspace, model: str) -> BusFactor:
    """Who can judge a model, and a warning where that is fewer than two people (H3)."""
    judgements, reviews, decisions = tables.judgements, tables.review_items, tables.approvals
    judged = sa.union(
        sa.select(judgements.c.reviewer)
        .join(reviews, reviews.c.id == judgements.c.item)
        .where(reviews.c.model == model),
        sa.select(decisions.c.person).where(
            decisions.c.model == model, decisions.c.event.in_(("approved", "rejected"))
        ),
    )
    with workspace.records.begin() as tx:
        declared = _read(tx)
        seen = set(tx.execute(judged).scalars())
    return bus_factor_of(declared, seen, model)


def bus_factor_of(declared: Sequence[Person], seen: Iterable[str], model: str) -> BusFactor:
    """The rule of `bus_factor`; `seen` are those who have judged the model so far."""
    if not declared:
        return BusFactor(judges=tuple(sorted(seen)), warning=NOBODY_DECLARED)
    experts = {
        person.name for person in declared if person.role == "expert" and person.concerns(model)
    }
    judges, warning = tuple(sorted(experts)), None
    if not judges:
        warning = f"nobody is declared who can judge {model}"
    elif len(judges) == 1:
        warning = f"only {judges[0]} can judge {model}"
    if warning is not None:
        warning += ": tuneloop people add NAME --role expert"
    return BusFactor(judges=judges, warning=warning)


def _who_may(declared: Sequence[Person], permitted: Sequence[Role], model: str) -> str:
    able = sorted(
        {person.name for person in declared if person.role in permitted and person.concerns(model)}
    )
    if able:
        return f"Ask {' or '.join(able)}."
    return (
        "Nobody may yet; an administrator can give the role: tuneloop people add NAME "
        f"--role {permitted[0]}"
    )


def _same(person: Person, name: str, model: str) -> bool:
    return (person.name, person.model) == (name, model)


def _read(tx: sa.Connection, *, lock: bool = False) -> list[Person]:
    table = tables.people
    query = sa.select(table).order_by(table.c.name, table.c.model, table.c.role)
    rows = tx.execute(query.with_for_update() if lock else query)
    return [record_of(Person, row) for row in rows]


def _audit(
    tx: sa.Connection,
    workspace: Workspace,
    actor: str,
    action: str,
    name: str,
    role: Role,
    model: str,
) -> None:
    detail = {"name": name, "role": role}
    audit.record(tx, model=model, actor=actor, action=action, detail=detail, now=workspace.now())
