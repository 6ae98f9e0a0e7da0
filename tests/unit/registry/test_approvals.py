"""Only the approval of what is there now, by somebody who may and did not make it, counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tuneloop.errors import GateError, NotAllowedError, UsageError
from tuneloop.hashing import digest_json
from tuneloop.modelfile import ApprovalRule, ApprovalSettings, DataSettings, ModelSettings
from tuneloop.registry import aliases, approvals, audit, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.standing import KINDS, Seen
from tuneloop.storage import tables
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

FREE = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))


def requiring(**rule: Any) -> ModelSettings:
    settings = ApprovalSettings(deploy=ApprovalRule(**rule))
    return FREE.model_copy(update={"approvals": settings})


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


@pytest.fixture
def staffed(workspace: Workspace) -> Workspace:
    people.add(workspace, "ada", ["admin"], actor="ada")
    for name in ("ines", "omar"):
        people.add(workspace, name, ["expert"], actor="ada")
    people.add(workspace, "erik", ["engineer", "expert"], actor="ada")
    return workspace


@pytest.fixture
def bundle(workspace: Workspace, tmp_path: Path) -> Bundle:
    """A candidate that erik made."""
    (tmp_path / "weights").write_text("w")
    digest = workspace.artifacts.put(tmp_path, kind="export")
    content = manifest_of(
        model="router",
        base={},
        artifacts={"export": digest, "evaluation": digest},
        dataset={},
        training={},
        task={},
        serving={},
        evaluation={
            "id": "e1",
            "verdict": "passed",
            "gates": "g" * 64,
            "comparisons": {"production": {"verdict": "better", "reason": "on 60 cases"}},
        },
        routing={},
    )
    made = bundles.register(workspace, content)
    with workspace.records.begin() as tx:
        aliases.move(
            tx,
            model="router",
            name="candidate",
            bundle=made.id,
            expected=None,
            actor="erik",
            reason="evaluated",
            now=workspace.now(),
        )
    return made


def evaluate_again(workspace: Workspace, bundle: Bundle, verdict: str) -> None:
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(tables.evaluations).values(
                id=f"again-{verdict}",
                model="router",
                subject=bundle.id,
                gates="h" * 64,
                suites="s" * 64,
                status="finished",
                verdict=verdict,
                artifact="r" * 64,
                figures={"comparisons": {}},
                created_at=workspace.now(),
            )
        )


def say(
    workspace: Workspace, bundle: Bundle, event: Any, who: str, model: ModelSettings = FREE
) -> bool:
    reason = "" if event == "approved" else "it invents refunds"
    return approvals.decide(
        workspace, model, bundle, "deploy", event, actor=who, reason=reason
    ).granted


def test_without_a_rule_nothing_is_needed(workspace: Workspace, bundle: Bundle) -> None:
    approvals.require(workspace, FREE, bundle)
    assert approvals.request(workspace, FREE, bundle, "deploy", actor="worker").granted
    assert approvals.history(workspace) == []


def test_one_expert_who_did_not_make_it(staffed: Workspace, bundle: Bundle) -> None:
    model = requiring()
    with pytest.raises(GateError, match="needs 1 more approval by expert") as refused:
        approvals.require(staffed, model, bundle)
    assert f"tuneloop approve {bundle.short}" in refused.value.remedy
    with pytest.raises(UsageError, match="erik made bundle"):
        say(staffed, bundle, "approved", "erik", model)
    with pytest.raises(NotAllowedError, match="takes the role expert"):
        say(staffed, bundle, "approved", "ada", model)
    assert say(staffed, bundle, "approved", "ines", model)
    approvals.require(staffed, model, bundle)
    assert approvals.granted(staffed, model, bundle, "deploy").approved_by == ("ines",)


def test_what_is_kept_of_an_approval(staffed: Workspace, bundle: Bundle) -> None:
    say(staffed, bundle, "approved", "ines", requiring())
    (entry,) = approvals.history(staffed, bundle=bundle.id)
    assert (entry.person, entry.roles, entry.at) == ("ines", ("expert",), staffed.now())
    assert entry.seen["evaluation"] == "e1"
    assert entry.seen["report"] == bundle.manifest.artifacts.evaluation
    assert entry.seen_digest == approvals.seen(staffed, bundle).digest
    event = audit.listing(staffed, "router")[0]
    assert (event.actor, event.action) == ("ines", "approval.approved")
    assert event.detail["seen_digest"] == entry.seen_digest


def test_two_people_are_two_people(staffed: Workspace, bundle: Bundle) -> None:
    model = requiring(count=2, not_author=False)
    assert not say(staffed, bundle, "approved", "ines", model)
    assert not say(staffed, bundle, "approved", "ines", model), "the same person again"
    assert approvals.granted(staffed, model, bundle, "deploy").missing == 1
    assert say(staffed, bundle, "approved", "erik", model)


def test_the_approval_of_another_report_does_not_count(staffed: Workspace, bundle: Bundle) -> None:
    model = requiring()
    assert say(staffed, bundle, "approved", "ines", model)
    evaluate_again(staffed, bundle, "failed")
    standing = approvals.granted(staffed, model, bundle, "deploy")
    assert not standing.granted and "ines approved another report" in standing.reason
    assert say(staffed, bundle, "approved", "ines", model)


def test_what_was_read_while_it_was_evaluated_again(staffed: Workspace, bundle: Bundle) -> None:
    saw = approvals.seen(staffed, bundle)
    evaluate_again(staffed, bundle, "passed")
    standing = approvals.decide(
        staffed, requiring(), bundle, "deploy", "approved", actor="ines", reason="", saw=saw
    )
    assert not standing.granted


def test_a_role_that_was_not_there_at_that_moment_does_not_count(
    staffed: Workspace, bundle: Bundle
) -> None:
    say(staffed, bundle, "approved", "ines")
    curators = requiring(roles=("curator",))
    people.add(staffed, "ines", ["curator"], actor="ada")
    standing = approvals.granted(staffed, curators, bundle, "deploy")
    assert not standing.granted and "ines was no curator" in standing.reason


def test_an_approval_that_nobody_can_give_says_what_to_do(
    workspace: Workspace, bundle: Bundle
) -> None:
    with pytest.raises(UsageError, match="nobody is declared") as refused:
        say(workspace, bundle, "approved", "anybody", requiring())
    assert "tuneloop people add" in refused.value.remedy


def test_a_rejection_outweighs_approvals_until_it_is_withdrawn(
    staffed: Workspace, bundle: Bundle
) -> None:
    model = requiring()
    assert say(staffed, bundle, "approved", "ines", model)
    assert not say(staffed, bundle, "rejected", "omar", model)
    evaluate_again(staffed, bundle, "passed")
    assert not say(staffed, bundle, "approved", "ines", model), "whatever the report says"
    with pytest.raises(GateError, match="omar rejected it: it invents refunds") as refused:
        approvals.require(staffed, FREE, bundle)
    assert "approvals withdraw" in refused.value.remedy

    take = {"kind": "deploy", "reason": "it was right"}
    with pytest.raises(NotAllowedError):
        approvals.withdraw(staffed, model, bundle, actor="ines", of="omar", **take)  # type: ignore[arg-type]
    after = approvals.withdraw(staffed, model, bundle, actor="omar", **take)  # type: ignore[arg-type]
    assert after.granted and not after.rejected_by
    with pytest.raises(UsageError, match="decided nothing"):
        approvals.withdraw(staffed, model, bundle, actor="omar", **take)  # type: ignore[arg-type]
    say(staffed, bundle, "rejected", "omar", model)
    assert approvals.withdraw(staffed, model, bundle, actor="ada", of="omar", **take).granted  # type: ignore[arg-type]
    assert [one.event for one in approvals.history(staffed)].count("rejected") == 2


def test_a_rejection_says_why(staffed: Workspace, bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="Why"):
        approvals.decide(staffed, FREE, bundle, "deploy", "rejected", actor="ines", reason=" ")


def test_both_kinds_are_asked_for_once_a_report(staffed: Workspace, bundle: Bundle) -> None:
    rule = ApprovalRule()
    both = FREE.model_copy(update={"approvals": ApprovalSettings(evaluation=rule, deploy=rule)})

    def ask() -> list[bool]:
        return [
            approvals.request(staffed, both, bundle, kind, actor="worker").granted for kind in KINDS
        ]

    assert ask() == ask() == [False, False]
    assert [one.event for one in approvals.history(staffed)] == ["requested"] * 2
    assert say(staffed, bundle, "approved", "ines", both)
    with pytest.raises(GateError, match="its evaluation approval is missing"):
        approvals.require(staffed, both, bundle)
    evaluate_again(staffed, bundle, "passed")
    assert ask() == [False, False]
    assert [one.event for one in approvals.history(staffed)].count("requested") == 4


def test_an_approval_of_an_earlier_release_still_counts() -> None:
    """Its digest is of what there was to see then; what is asked for less is a part of it now."""
    fields = {"evaluation": "e", "report": "r", "gates": "g", "verdict": "passed", "comparison": {}}
    assert Seen(**fields).digest == digest_json(fields)
    assert Seen(**fields, weakened=("weaker than the default",)).digest != digest_json(fields)
