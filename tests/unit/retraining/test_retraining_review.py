"""Nothing from production enters a dataset before a person has approved it."""

from __future__ import annotations

import json

import pytest

from tuneloop.errors import ConflictError, UsageError
from tuneloop.registry import audit
from tuneloop.retraining import review
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_records


def capture(
    workspace: Workspace,
    interaction: str,
    *,
    response: str = "wrong",
    messages: list[dict[str, object]] | None = None,
) -> None:
    asked = messages or [{"role": "user", "content": f"ask {interaction}"}]
    workspace.traffic.append(
        "interactions",
        [
            {
                "id": interaction,
                "time": workspace.now(),
                "endpoint": "router",
                "bundle": "b" * 64,
                "status": 200,
                "messages": json.dumps(asked),
                "response": response,
            }
        ],
    )


def edit(workspace: Workspace, interaction: str, value: object, *, kind: str = "edit") -> None:
    workspace.traffic.append(
        "feedback",
        [
            {
                "id": f"f-{interaction}-{value}",
                "time": workspace.now(),
                "interaction": interaction,
                "endpoint": "router",
                "kind": kind,
                "value": json.dumps(value),
            }
        ],
    )


def collect(workspace: Workspace) -> int:
    return review.collect(workspace, model="router", endpoint="router")


def decide(workspace: Workspace, item: str, decision: review.Decision, **more: str) -> None:
    review.decide(workspace, model="router", item=item, decision=decision, reviewer="ann", **more)


def test_edits_wait_for_a_person(workspace: Workspace) -> None:
    for name in ("one", "two", "three"):
        capture(workspace, name)
    edit(workspace, "one", "right one")
    edit(workspace, "two", "right two")
    edit(workspace, "three", 5, kind="rating")
    assert collect(workspace) == 2
    assert collect(workspace) == 0, "collected once"
    assert review.approved_rows(workspace, "router") == []

    one, two = review.listing(workspace, "router")
    decide(workspace, one.id, "approved")
    decide(workspace, two.id, "rejected")
    (row,) = review.approved_rows(workspace, "router")
    assert row["messages"][-1] == {"role": "assistant", "content": one.proposal}
    assert row["tags"]["reviewer"] == "ann"
    assert {event.action for event in audit.listing(workspace, "router")} == {
        "review.approved",
        "review.rejected",
    }


def test_the_last_edit_counts_and_no_change_is_no_edit(workspace: Workspace, clock) -> None:  # type: ignore[no-untyped-def]
    capture(workspace, "one")
    capture(workspace, "two", response="fine")
    edit(workspace, "one", "first try")
    clock.advance(minutes=1)
    edit(workspace, "one", "second try")
    edit(workspace, "two", "fine")
    assert collect(workspace) == 1
    assert review.listing(workspace, "router")[0].proposal == "second try"


def test_a_later_edit_replaces_what_nobody_has_decided(workspace: Workspace, clock) -> None:  # type: ignore[no-untyped-def]
    for name in ("open", "skipped", "approved", "rejected"):
        capture(workspace, name)
        edit(workspace, name, "first try")
    assert collect(workspace) == 4
    ids = {item.interaction: item.id for item in review.listing(workspace, "router")}
    for status in ("skipped", "approved", "rejected"):
        decide(workspace, ids[status], status)
    clock.advance(minutes=1)
    for name in ids:
        edit(workspace, str(name), "second try")
    assert collect(workspace) == 0, "none of them is new"
    found = {item.interaction: item for item in review.listing(workspace, "router", status=None)}
    assert {name: (item.status, item.proposal) for name, item in found.items()} == {
        "open": ("open", "second try"),
        "skipped": ("open", "second try"),
        "approved": ("approved", "first try"),
        "rejected": ("rejected", "first try"),
    }
    assert found["approved"].final == "first try"


@pytest.mark.parametrize(
    ("messages", "question"),
    [
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look at this:"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                    ],
                }
            ],
            "Look at this:",
        ),
        ([{"role": "user"}], ""),
        ([{"role": "user", "content": None}], ""),
        ([{"role": "user", "content": "a\0b"}], "a\0b"),
        ([{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}], "why?"),
        ([{"role": "assistant", "content": "hello"}], ""),
    ],
)
def test_whatever_form_one_client_sends_all_items_can_be_reviewed(
    workspace: Workspace, messages: list[dict[str, object]], question: str
) -> None:
    capture(workspace, "odd", messages=messages)
    capture(workspace, "usual")
    for name in ("odd", "usual"):
        edit(workspace, name, "right\0")
    assert collect(workspace) == 2
    asked = {item.interaction: item.question for item in review.listing(workspace, "router")}
    assert asked == {"odd": question, "usual": "ask usual"}
    for item in review.listing(workspace, "router"):
        decide(workspace, item.id, "approved")
    assert len(review.approved_rows(workspace, "router")) == 2


def test_feedback_before_its_interaction_is_found_later(workspace: Workspace) -> None:
    edit(workspace, "late", "right")
    assert collect(workspace) == 0
    capture(workspace, "late")
    assert collect(workspace) == 1


def test_reviewers_may_edit_and_skip(workspace: Workspace) -> None:
    capture(workspace, "one")
    edit(workspace, "one", "nearly")
    collect(workspace)
    (item,) = review.listing(workspace, "router")
    decide(workspace, item.id, "skipped")
    decide(workspace, item.id, "approved", final="exactly")
    assert review.approved_rows(workspace, "router")[0]["messages"][-1]["content"] == "exactly"


@pytest.mark.parametrize("blank", ["", " \n"])
def test_an_empty_answer_approves_nothing(workspace: Workspace, blank: str) -> None:
    capture(workspace, "one")
    edit(workspace, "one", "nearly")
    collect(workspace)
    (item,) = review.listing(workspace, "router")
    with pytest.raises(UsageError, match="is empty"):
        decide(workspace, item.id, "approved", final=blank)
    assert [one.id for one in review.listing(workspace, "router")] == [item.id]
    assert review.approved_rows(workspace, "router") == []


def test_a_decision_is_taken_once(workspace: Workspace) -> None:
    capture(workspace, "one")
    edit(workspace, "one", "right")
    collect(workspace)
    (item,) = review.listing(workspace, "router")
    decide(workspace, item.id, "rejected")
    with pytest.raises(ConflictError, match="rejected by ann"):
        decide(workspace, item.id, "approved")
    with pytest.raises(UsageError, match="no review item"):
        decide(workspace, "unknown", "approved")


def test_pace_counts_decided_items() -> None:
    assert review.pace([("approved", 60), ("rejected", 60), ("skipped", 999)]) == 60
    assert review.pace([]) is None
