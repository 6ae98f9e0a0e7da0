"""Alerts become messages: grouped, held back, retried, and each sent by one process."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from alert_data import before_each, measured, see
from tuneloop.modelfile import AlertSettings, ChannelUrl
from tuneloop.monitoring import alerts
from tuneloop.monitoring.notifications import outbox
from tuneloop.monitoring.notifications.delivery import Attempt, deliver_due, try_channels
from tuneloop.monitoring.notifications.message import Message
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

CHAT, MAIL = "slack://T/A/secret", "mailto://ana:secret@example.org"


@pytest.fixture
def records_url(either_new_records: str | None) -> str | None:
    """Every test runs on SQLite and on PostgreSQL."""
    return either_new_records


class Service:
    """Takes messages, or refuses them while it is down."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Message]] = []
        self.down: set[str] = set()

    def __call__(self, channel: ChannelUrl, message: Message) -> str | None:
        url = channel.get_secret_value()
        if url in self.down:
            return "503, come back later"
        self.taken.append((url, message))
        return None

    def titles(self) -> list[str]:
        """What was taken since this was last asked."""
        found = [message.title for _, message in self.taken]
        self.taken.clear()
        return found


@pytest.fixture
def service() -> Service:
    return Service()


def settings(*notify: str, **values: Any) -> dict[str, AlertSettings]:
    return {"desk": AlertSettings.model_validate({"notify": notify or (CHAT,), **values})}


def deliver(
    workspace: Workspace, service: Service, of: dict[str, AlertSettings] | None = None
) -> list[Attempt]:
    return deliver_due(workspace, of or settings(), send=service, jitter=lambda: 1.0)


def statuses(workspace: Workspace, model: str = "desk") -> list[tuple[str, str, int]]:
    return [(one.event, one.status, one.attempts) for one in outbox.listing(workspace, model)]


def test_what_changes_within_minutes_is_one_message_a_channel(
    workspace: Workspace, service: Service, clock
) -> None:
    of = settings(CHAT, MAIL)
    see(workspace, measured(30), measured(40, monitor="edit_rate"), bundle="b" * 64)
    assert deliver(workspace, service, of) == []
    clock.advance(minutes=4)
    see(workspace, measured(30, monitor="errors"))
    assert deliver(workspace, service, of) == []
    clock.advance(minutes=1)
    attempts = deliver(workspace, service, of)
    assert [(one.channel, len(one.alerts), one.error) for one in attempts] == [
        ("slack://****", 3, None),
        ("mailto://****", 3, None),
    ]
    assert sorted(url for url, _ in service.taken) == [MAIL, CHAT]
    for _, message in service.taken:
        assert message.title == "tuneloop: desk: 3 alerts"
        for alert in alerts.listing(workspace, "desk"):
            assert message.body.count(f"alert {alert.id},") == 1
    assert deliver(workspace, service, of) == []


def test_models_share_a_message_where_they_share_a_channel(
    workspace: Workspace, service: Service, clock
) -> None:
    of = {**settings(CHAT), "shop": AlertSettings(notify=(CHAT, MAIL))}
    see(workspace, measured(30))
    see(workspace, measured(30), model="shop")
    see(workspace, measured(30), model="elsewhere")  # another worker's
    clock.advance(minutes=5)
    deliver(workspace, service, of)
    assert service.titles() == ["tuneloop: desk, shop: 2 alerts", "tuneloop: shop: novelty opened"]
    elsewhere = {"elsewhere": AlertSettings(notify=(CHAT,))}
    deliver(workspace, service, elsewhere)
    assert service.titles() == ["tuneloop: elsewhere: novelty opened"]


def test_an_alert_is_told_repeated_and_its_end_told_once_it_is_final(
    workspace: Workspace, service: Service, clock
) -> None:
    told = []
    for day in range(12):
        see(workspace, measured(30 if day < 7 else 0))
        clock.advance(minutes=5)
        deliver(workspace, service)
        told += [(day, title.rsplit(": ", 1)[1]) for title in service.titles()]
        clock.advance(minutes=-5, days=1)
    assert told == [
        (0, "novelty opened"),
        (3, "novelty still there"),
        (6, "novelty still there"),
        (10, "novelty resolved"),
    ]


def test_an_acknowledged_alert_is_not_repeated_and_its_end_is_told(
    workspace: Workspace, service: Service, clock
) -> None:
    see(workspace, measured(30))
    clock.advance(minutes=5)
    deliver(workspace, service)
    [alert] = alerts.listing(workspace, "desk")
    alerts.acknowledge(workspace, alert.id, actor="ana")
    clock.advance(days=10)
    see(workspace, measured(30))
    clock.advance(days=1)
    see(workspace, measured(0))
    clock.advance(days=4)
    deliver(workspace, service)
    assert service.titles() == [
        "tuneloop: desk: novelty opened",
        "tuneloop: desk: novelty resolved",
    ]


def test_an_end_that_was_none_is_withdrawn(workspace: Workspace, service: Service, clock) -> None:
    see(workspace, measured(30))
    clock.advance(minutes=5)
    deliver(workspace, service)
    see(workspace, measured(0))
    deliver(workspace, service)
    clock.advance(days=2)
    assert see(workspace, measured(30)) == ["reopened"]
    clock.advance(days=2)
    deliver(workspace, service)
    assert service.titles() == ["tuneloop: desk: novelty opened"]
    assert statuses(workspace) == [("resolved", "withdrawn", 0), ("opened", "sent", 1)]


def test_quiet_hours_hold_messages_back_until_they_end_but_for_urgent_ones(
    workspace: Workspace, service: Service, clock
) -> None:
    of = settings(quiet_hours={"from": "22:00", "to": "07:00"}, urgent=["errors"])
    clock.advance(hours=14)  # 23:00
    see(workspace, measured(30), measured(30, monitor="errors"))
    for hours, expected in ((1, ["tuneloop: desk: errors opened"]), (6.9, []), (0.1, None)):
        clock.advance(hours=hours)
        deliver(workspace, service, of)
        assert service.titles() == (
            ["tuneloop: desk: novelty opened"] if expected is None else expected
        )
    assert f"{clock.time:%H:%M}" == "07:00"


def test_a_service_that_is_down_is_tried_again_and_the_others_are_told(
    workspace: Workspace, service: Service, clock, caplog: pytest.LogCaptureFixture
) -> None:
    of = settings(CHAT, MAIL)
    service.down = {CHAT}
    see(workspace, measured(30))
    clock.advance(minutes=5)
    assert [one.error for one in deliver(workspace, service, of)] == ["503, come back later", None]
    assert service.titles() == ["tuneloop: desk: novelty opened"]
    for seconds in (30, 60, 120):
        clock.advance(seconds=seconds - 1)
        assert deliver(workspace, service, of) == []
        clock.advance(seconds=1)
        assert len(deliver(workspace, service, of)) == 1
    [_, chat] = outbox.listing(workspace, "desk")
    assert (chat.channel, chat.status, chat.attempts) == ("slack://****", "waiting", 4)
    assert chat.last_error == "503, come back later"
    assert chat.retry_at == clock.time + timedelta(minutes=4)
    service.down = set()
    clock.advance(minutes=4)
    deliver(workspace, service, of)
    assert [url for url, _ in service.taken] == [CHAT]
    assert statuses(workspace) == [("opened", "sent", 1), ("opened", "sent", 5)]
    assert [record.levelname for record in caplog.records] == ["WARNING"], "not with every attempt"
    assert "secret" not in caplog.text


def test_what_no_attempt_delivered_is_given_up_and_says_so(
    workspace: Workspace, service: Service, clock, caplog: pytest.LogCaptureFixture
) -> None:
    of = settings(give_up_hours=2)
    service.down = {CHAT}
    see(workspace, measured(30))
    attempts = 0
    for _ in range(25):
        clock.advance(minutes=10)
        attempts += len(deliver(workspace, service, of))
    [one] = outbox.listing(workspace, "desk")
    assert (one.status, one.attempts, one.last_error) == (
        "gave_up",
        attempts,
        "503, come back later",
    )
    assert one.finished_at is not None
    assert timedelta(hours=2) <= one.finished_at - one.ready_at < timedelta(hours=3, minutes=10)
    assert "slack://****: 1 deliveries are given up" in caplog.text


def test_a_channel_that_was_taken_out_of_the_file_is_given_up(
    workspace: Workspace, service: Service, clock
) -> None:
    see(workspace, measured(30))
    deliver(workspace, service)
    clock.advance(minutes=5)
    assert deliver(workspace, service, settings(MAIL)) == []
    [one] = outbox.listing(workspace, "desk")
    assert (one.status, one.last_error) == ("gave_up", "alerts.notify no longer has this channel.")


def test_without_channels_nothing_waits_and_a_later_channel_hears_of_what_goes_on(
    workspace: Workspace, service: Service, clock
) -> None:
    nobody = {"desk": AlertSettings()}
    see(workspace, measured(30), measured(30, monitor="errors"))
    deliver(workspace, service, nobody)
    assert outbox.listing(workspace, "desk") == []
    clock.advance(days=1)
    see(workspace, measured(30), measured(0, monitor="errors"))
    clock.advance(days=4)
    deliver(workspace, service)
    assert service.titles() == ["tuneloop: desk: novelty still there"]


def test_a_kill_between_claim_and_sent_sends_it_again_after_the_lease(
    workspace: Workspace, service: Service, clock
) -> None:
    see(workspace, measured(30))
    clock.advance(minutes=5)
    outbox.queue_new(workspace, settings())
    killed = outbox.claim(workspace, settings())
    assert killed is not None
    assert statuses(workspace) == [("opened", "sending", 1)]
    clock.advance(seconds=outbox.LEASE.total_seconds() - 1)
    assert deliver(workspace, service) == []
    clock.advance(seconds=1)
    assert len(deliver(workspace, service)) == 1
    assert [one.alert for one in killed.told] == [alerts.listing(workspace, "desk")[0].id]
    # Who was only slow notes nothing any more: the delivery is another's.
    outbox.failed(workspace, killed, error="late", settings=settings(), jitter=0.0)
    assert statuses(workspace) == [("opened", "sent", 2)]


def test_an_event_without_its_delivery_is_queued_by_the_next_process(
    workspace: Workspace, service: Service, clock
) -> None:
    """The event is written with the alert's move; a kill after that loses nothing."""
    see(workspace, measured(30))

    def killed(_: sa.Connection) -> None:
        raise KeyboardInterrupt

    with (
        before_each(workspace, "INSERT INTO deliveries", killed),
        pytest.raises(KeyboardInterrupt),
    ):
        deliver(workspace, service)
    assert statuses(workspace) == []
    clock.advance(minutes=5)
    deliver(workspace, service)
    assert service.titles() == ["tuneloop: desk: novelty opened"]


def test_many_processes_queue_and_send_each_message_once(workspace: Workspace, clock) -> None:
    rounds, workers = 5, 6
    of = settings(CHAT, MAIL, group_minutes=0)
    service, together = Service(), Barrier(workers)

    def work(_: int) -> None:
        together.wait()
        deliver(workspace, service, of)

    with ThreadPoolExecutor(workers) as pool:
        for number in range(rounds):
            see(workspace, measured(30, monitor=f"monitor{number}"))
            list(pool.map(work, range(workers)))
            deliver(workspace, service, of)
    assert len(service.taken) == 2 * rounds
    assert statuses(workspace) == [("opened", "sent", 1)] * 2 * rounds


def test_what_was_before_there_were_deliveries_is_no_news(
    workspace: Workspace, service: Service, clock
) -> None:
    """The migration marks it; the new columns have values for old rows."""
    see(workspace, measured(30))
    with workspace.records.begin() as tx:
        tx.execute(sa.update(tables.alert_events).values(queued_at=clock.time))
    clock.advance(days=1)
    assert deliver(workspace, service) == []


def test_every_channel_is_tried_whatever_hour_it_is(service: Service) -> None:
    service.down = {CHAT}
    of = settings(CHAT, MAIL, quiet_hours={"from": "00:00", "to": "23:59"})["desk"]
    found = try_channels("desk", of, send=service)
    assert [(one.channel, one.error) for one in found] == [
        ("slack://****", "503, come back later"),
        ("mailto://****", None),
    ]
    assert service.titles() == ["tuneloop: test from desk"]


DAYS, MONITORS = 30, ("format", "edit_rate", "novelty", "errors", "latency")


@pytest.mark.parametrize("either_new_records", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_month_of_noise_around_the_limits_is_no_storm(
    workspace: Workspace, service: Service, clock, seed: int
) -> None:
    """Five monitors, each measured daily on 100 cases whose true share is the limit itself.

    Nobody acknowledges anything: the worst that noise can do.
    """
    draw = random.Random(seed)
    for day in range(DAYS + 4):
        share = 0.20 if day < DAYS else 0.0
        bad = {monitor: sum(draw.random() < share for _ in range(100)) for monitor in MONITORS}
        see(workspace, *(measured(count, monitor=monitor) for monitor, count in bad.items()))
        clock.advance(hours=12)
        deliver(workspace, service)
        clock.advance(hours=12)
        deliver(workspace, service)
    moves = told = 0
    for monitor in MONITORS:
        events = [
            event.event
            for alert in alerts.listing(workspace, "desk", unresolved_only=False)
            if alert.monitor == monitor
            for event in alerts.events(workspace, alert.id)
        ]
        moves += sum(event != "repeated" for event in events)
        sent = [
            one.event
            for one in outbox.listing(workspace, "desk")
            if one.monitor == monitor and one.status == "sent"
        ]
        told += len(sent)
        # A crossing is told again after 3 days; an end after 3 days, a day after its crossing.
        assert len(sent) <= 1 + max(DAYS / 3, 2 * DAYS / 4)
    assert moves > 50, "there was a storm to be kept from people"
    assert told < moves and len(service.taken) <= DAYS
    assert not [one for one in outbox.listing(workspace, "desk") if one.status == "waiting"]
