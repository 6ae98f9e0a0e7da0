"""Roles decide who may do what once somebody is declared; every refusal says who may."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuneloop.errors import NotAllowedError, UsageError
from tuneloop.modelfile import Role
from tuneloop.registry import audit, people
from tuneloop.registry.people import PERMITTED, Action, Person, bus_factor_of
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


@pytest.fixture
def staffed(workspace: Workspace) -> Workspace:
    people.add(workspace, "ada", ["admin"], actor="root")
    people.add(workspace, "ines", ["expert"], actor="ada")
    people.add(workspace, "erik", ["engineer"], actor="ada", model="router")
    people.add(workspace, "cleo", ["curator"], actor="ada")
    return workspace


def test_while_nobody_is_declared_everybody_may_do_everything(workspace: Workspace) -> None:
    for action in PERMITTED:
        assert people.allow(workspace, "anybody", action, model="router") == frozenset()
    assert audit.listing(workspace, None) == []


@pytest.mark.parametrize(
    ("action", "able"),
    [
        ("approve", {"ines", "ada"}),
        ("deploy", {"erik", "ada"}),
        ("roll back", {"erik", "ines", "ada"}),
        ("edit data", {"cleo", "erik", "ada"}),
        ("review", {"ines", "cleo", "ada"}),
        ("erase personal data", {"ada"}),
        ("manage people", {"ada"}),
    ],
)
def test_a_role_opens_its_actions_and_no_others(
    staffed: Workspace, action: Action, able: set[str]
) -> None:
    for name in ("ada", "ines", "erik", "cleo", "mallory"):
        if name in able:
            people.allow(staffed, name, action, model="router")
        else:
            with pytest.raises(NotAllowedError, match=f"{name} may not {action} of router"):
                people.allow(staffed, name, action, model="router")


def test_a_refusal_says_who_may_and_is_audited(staffed: Workspace) -> None:
    with pytest.raises(NotAllowedError) as refused:
        people.allow(staffed, "cleo", "deploy", model="router")
    assert refused.value.message == (
        "cleo may not deploy of router: that takes the role engineer or admin, "
        "and cleo has curator."
    )
    assert refused.value.remedy == "Ask ada or erik."
    event = audit.listing(staffed, "router")[0]
    assert (event.actor, event.action) == ("cleo", "people.refused")
    assert event.detail["wanted"] == "deploy"


def test_a_role_for_one_model_is_none_for_another(staffed: Workspace) -> None:
    with pytest.raises(NotAllowedError, match="erik has none"):
        people.allow(staffed, "erik", "deploy", model="other")


def test_there_is_always_an_administrator(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="first person must be an administrator"):
        people.add(workspace, "ines", ["expert"], actor="ines")
    with pytest.raises(UsageError, match="first person must be an administrator"):
        people.add(workspace, "ines", ["admin"], model="router", actor="ines")
    people.add(workspace, "ada", ["admin", "expert"], actor="ada")
    people.add(workspace, "ines", ["expert"], actor="ada")
    with pytest.raises(UsageError, match="last administrator"):
        people.remove(workspace, "ada", ["admin"], actor="ada")
    with pytest.raises(NotAllowedError):
        people.remove(workspace, "ada", actor="ines")
    people.remove(workspace, "ines", actor="ada")
    people.remove(workspace, "ada", actor="ada")
    assert people.listing(workspace) == [], "the last person may go: all is allowed again"


def test_adding_twice_changes_nothing_and_every_change_is_audited(staffed: Workspace) -> None:
    before = len(audit.listing(staffed, None))
    found = people.add(staffed, "ines", ["expert", "curator"], actor="ada")
    assert [one.role for one in found] == ["curator", "expert"]
    (event,) = audit.listing(staffed, None)[: len(audit.listing(staffed, None)) - before]
    assert (event.action, event.detail) == ("people.add", {"name": "ines", "role": "curator"})
    assert [one.role for one in people.remove(staffed, "ines", ["curator"], actor="ada")] == [
        "curator"
    ]
    with pytest.raises(UsageError, match="no such role"):
        people.remove(staffed, "ines", ["curator"], actor="ada")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_name_is_a_name(workspace: Workspace, name: str) -> None:
    with pytest.raises(UsageError, match="Expected a name"):
        people.add(workspace, name, ["admin"], actor="ada")


def person(name: str, role: Role, model: str = "") -> Person:
    return Person(name=name, role=role, model=model, added_at=datetime(2026, 3, 2, tzinfo=UTC))


def test_a_model_that_one_person_can_judge_is_warned_about() -> None:
    one = [person("ada", "admin"), person("ines", "expert")]
    assert "only ines can judge router" in str(bus_factor_of(one, (), "router").warning)
    two = [*one, person("omar", "expert", "router")]
    assert bus_factor_of(two, (), "router").warning is None
    assert "only ines" in str(bus_factor_of(two, (), "other").warning)
    none = bus_factor_of([person("ada", "admin")], {"ada"}, "router")
    assert (none.judges, "nobody is declared who can judge" in str(none.warning)) == ((), True)
    undeclared = bus_factor_of([], {"bob", "ann"}, "router")
    assert undeclared.judges == ("ann", "bob")
    assert "everybody may do everything" in str(undeclared.warning)
