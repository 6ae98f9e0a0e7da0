"""Nothing from production enters a dataset before a person has approved it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tuneloop import review
from tuneloop.agreement import kappa
from tuneloop.errors import ConflictError, UsageError
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.monitoring.notifications import outbox
from tuneloop.registry import audit
from tuneloop.review import digest
from tuneloop.workspace import Workspace


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


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


def collect(workspace: Workspace, *, double_share: float = 0.0) -> int:
    return review.collect(workspace, model="router", endpoint="router", double_share=double_share)


def decide(
    workspace: Workspace, item: str, decision: review.Decision, by: str = "ann", **more: Any
) -> str:
    return review.decide(
        workspace, model="router", item=item, decision=decision, reviewer=by, **more
    )


def queued(workspace: Workspace, *names: str, double_share: float = 0.0) -> dict[str, str]:
    """Interactions that somebody edited, in the queue: name → item."""
    for name in names:
        capture(workspace, name)
        edit(workspace, name, f"right {name}")
    collect(workspace, double_share=double_share)
    items = review.listing(workspace, "router", status=None)
    return {str(item.interaction): item.id for item in items}


def find(workspace: Workspace, item: str) -> review.ReviewItem:
    return next(one for one in review.listing(workspace, "router", status=None) if one.id == item)


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
    assert (row["chosen"], row["rejected"]) == (one.proposal, "wrong")
    assert [message["role"] for message in row["messages"]] == ["user"]
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
    assert review.approved_rows(workspace, "router")[0]["chosen"] == "exactly"


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


def test_two_people_judge_without_seeing_each_other(workspace: Workspace) -> None:
    ids = queued(workspace, "same", "other", double_share=1.0)
    assert decide(workspace, ids["same"], "approved", by="Ann") == "second"
    with pytest.raises(ConflictError, match="ann has judged it"):
        decide(workspace, ids["same"], "approved", by=" ann ")
    item = find(workspace, ids["same"])
    assert (item.status, item.final, item.reviewer) == ("second", None, None)
    assert [one.id for one in review.waiting(workspace, "router", "ann")] == [ids["other"]]
    assert {one.id for one in review.waiting(workspace, "router", "bob")} == set(ids.values())
    assert review.approved_rows(workspace, "router") == []

    # Layout and case are no disagreement.
    assert decide(workspace, ids["same"], "approved", by="bob", final="RIGHT  same") == "approved"
    decide(workspace, ids["other"], "approved", by="bob")
    assert decide(workspace, ids["other"], "approved", by="ann", final="else") == "disputed"
    assert [one.id for one in review.waiting(workspace, "router", "eve")] == [ids["other"]]
    assert review.waiting(workspace, "router", "bob") == []
    assert len(review.approved_rows(workspace, "router")) == 1
    assert decide(workspace, ids["other"], "approved", by="eve", final="this") == "approved"
    assert find(workspace, ids["other"]).final == "this"
    assert review.reviewers_of(workspace, "router", [ids["other"]]) == ("ann", "bob", "eve")


def test_a_later_edit_does_not_change_what_one_of_two_has_judged(
    workspace: Workspace,
    clock: Any,
) -> None:
    ids = queued(workspace, "one", double_share=1.0)
    decide(workspace, ids["one"], "approved")
    clock.advance(minutes=1)
    edit(workspace, "one", "later")
    collect(workspace)
    assert find(workspace, ids["one"]).proposal == "right one"


def test_the_share_of_double_reviews_depends_on_nothing_but_the_item(workspace: Workspace) -> None:
    names = [f"i{number}" for number in range(200)]
    proposals = [
        review.Proposal(kind="sample", key=name, messages=[], answer="a", proposal="a")
        for name in names
    ]
    assert review.enqueue(workspace, proposals, model="router", double_share=0.2) == 200
    judges = {item.id: item.judges for item in review.listing(workspace, "router")}
    assert 25 <= sum(count == 2 for count in judges.values()) <= 55
    assert review.enqueue(workspace, proposals, model="router", double_share=1.0) == 0
    assert {item.id: item.judges for item in review.listing(workspace, "router")} == judges


@pytest.mark.parametrize(
    ("double_share", "standing"), [(0.0, {"approved", "conflict"}), (1.0, {"second", "approved"})]
)
def test_two_people_at_once(workspace: Workspace, double_share: float, standing: set[str]) -> None:
    item = queued(workspace, "one", double_share=double_share)["one"]
    start = threading.Barrier(2)

    def judge(by: str) -> str:
        start.wait()
        try:
            return decide(workspace, item, "approved", by=by)
        except ConflictError:
            return "conflict"

    with ThreadPoolExecutor() as pool:
        assert set(pool.map(judge, ("ann", "bob"))) == standing
    assert find(workspace, item).status == "approved"
    assert len(review.judgements(workspace, "router")) == (2 if double_share else 1)


def test_undo_takes_back_one_judgement_after_the_other(workspace: Workspace) -> None:
    ids = queued(workspace, "one", double_share=1.0)
    item = ids["one"]
    decide(workspace, item, "skipped", by="eve")
    decide(workspace, item, "approved", by="ann")
    decide(workspace, item, "rejected", by="bob")
    decide(workspace, item, "approved", by="eve")
    statuses = [review.undo(workspace, model="router", item=item, reviewer="ann") for _ in range(4)]
    assert statuses == ["disputed", "second", "skipped", "open"]
    with pytest.raises(UsageError, match="Nobody has judged"):
        review.undo(workspace, model="router", item=item, reviewer="ann")
    assert decide(workspace, item, "approved", by="bob") == "second", "bob may judge it again"
    undone = [e for e in audit.listing(workspace, "router") if e.action == "review.undone"]
    assert [event.detail["of"] for event in reversed(undone)] == ["eve", "bob", "ann", "eve"]


def test_stats_tell_pace_agreement_and_age(workspace: Workspace, clock: Any) -> None:
    names = [f"i{number}" for number in range(20)]
    proposals = [
        review.Proposal(kind="sample", key=name, messages=[], answer="a", proposal="a")
        for name in [*names, "waits"]
    ]
    review.enqueue(workspace, proposals, model="router", double_share=1.0)
    ids = {proposal.key: proposal.item("router") for proposal in proposals}
    empty = review.stats(workspace, "router")
    assert (empty.pace, empty.agreement, empty.slow) == (None, None, False)
    clock.advance(days=2)
    for number, name in enumerate(names):
        mine = "rejected" if number < 5 else "approved"
        theirs = "rejected" if number < 4 or number == 19 else "approved"
        # Who comes first takes turns, and means nothing.
        both = [("ann", mine, 60.0), ("bob", theirs, 120.0)]
        for by, decision, seconds in both if number % 2 else both[::-1]:
            decide(workspace, ids[name], decision, by=by, seconds=seconds)  # type: ignore[arg-type]
    found = review.stats(workspace, "router")
    assert found.waiting == {"open": 1, "disputed": 2}
    assert (found.oldest_days, found.median_days) == (2.0, 2.0)
    assert found.pace is not None
    assert (found.pace.n, found.pace.examples_per_hour) == (40, 40.0)
    assert not found.slow
    assert {one.name: dict(one.counts) for one in found.reviewers} == {
        "ann": {"as proposed": 15, "rejected": 5},
        "bob": {"as proposed": 15, "rejected": 5},
    }
    agreement = found.agreement
    assert agreement is not None
    assert agreement.observed.as_list()[::3] == [0.9, 20]
    # By hand: p_o = 18/20, p_e = (15² + 5²) / 20² = 0.625, kappa = 0.275 / 0.375.
    assert agreement.kappa is not None
    assert agreement.kappa.value == pytest.approx(0.275 / 0.375)
    assert agreement.kappa.low < 0.5 < agreement.kappa.value < agreement.kappa.high <= 1


def test_full_agreement_of_a_few_is_no_certainty() -> None:
    few = kappa([("as proposed", "as proposed")] * 4 + [("rejected", "rejected")] * 2)
    many = kappa([("as proposed", "as proposed")] * 400 + [("rejected", "rejected")] * 200)
    assert few is not None
    assert many is not None
    assert (few.value, few.high, many.value) == (1, 1, 1)
    assert few.low < 0.3 < 0.95 < many.low
    assert kappa([("edited", "edited")] * 9) is None, "chance alone would agree as well"
    constant = kappa([("as proposed", "as proposed")] * 5 + [("rejected", "as proposed")])
    assert constant is not None
    assert constant.value == 0
    assert constant.low < -0.5 < 0.5 < constant.high


def test_slow_reviews_are_warned_of(workspace: Workspace) -> None:
    ids = queued(workspace, "one", "two", "three")
    decide(workspace, ids["one"], "approved", seconds=170.0)
    decide(workspace, ids["two"], "skipped", seconds=9_999.0)
    assert not review.stats(workspace, "router").slow
    decide(workspace, ids["three"], "rejected", seconds=195.0)
    assert review.stats(workspace, "router").slow


def test_pace_counts_decided_items() -> None:
    assert review.pace([("approved", 60), ("rejected", 60), ("skipped", 999)]) == 60
    assert review.pace([]) is None


def test_channels_hear_of_what_waits_at_most_once_a_day(workspace: Workspace, clock) -> None:
    model = ModelSettings.model_validate(
        {
            "name": "router",
            "base": "b",
            "data": DataSettings(sources=("a",)),
            "alerts": {"notify": ["json://127.0.0.1:1"]},
        }
    )

    def told() -> list[str]:
        digest.tell(workspace, model)
        return [one.about for one in outbox.listing(workspace, "router")]

    assert told() == [], "nothing waits"
    for interaction in ("1", "2"):
        capture(workspace, interaction)
        edit(workspace, interaction, "right")
    review.collect(workspace, model="router", endpoint="router")
    assert told() == told() == ["2 answers wait for review"]
    [first, _] = review.listing(workspace, "router")
    review.decide(workspace, model="router", item=first.id, decision="approved", reviewer="ines")
    clock.advance(days=1)
    assert len(told()) == 1, "they know of the one that is left"
    capture(workspace, "3")
    edit(workspace, "3", "right")
    review.collect(workspace, model="router", endpoint="router")
    assert told() == ["2 answers wait for review"] * 2
    for item in review.listing(workspace, "router"):
        review.decide(workspace, model="router", item=item.id, decision="rejected", reviewer="bo")
    clock.advance(days=9)
    assert len(told()) == 2
