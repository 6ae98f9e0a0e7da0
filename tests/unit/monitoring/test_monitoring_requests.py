"""Silence and floods: from what the gateways wrote down to the verdict."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from monitoring_data import hours, measure
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.monitoring import refused, silence
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors.requests import Refused, Silence
from tuneloop.monitoring.monitors.table import levels
from tuneloop.monitoring.requests import HOURS, WEEK, Requests, requests_of
from tuneloop.storage.ingest import ingest
from tuneloop.storage.spool import Account, Interaction, Spool, encode, iso_time, new_id
from tuneloop.storage.traffic import Traffic

Counts = npt.NDArray[np.int64]
NOW = datetime(2026, 11, 25, 15, tzinfo=UTC)
"""A Wednesday, in the afternoon."""
BELOW = 0.2
MODEL = ModelSettings(name="desk", base="tiny", data=DataSettings(sources=("a.jsonl",)))
LEVEL = levels(MODEL, {})["silence"]


def office(per_hour: float, *, end: datetime = NOW, seed: int = 1, n: int = HOURS) -> Counts:
    """Requests by hour, the newest first: from 8 to 18 on weekdays so many, a twentieth else.

    Days differ by a gamma factor whose squared coefficient of variation is 0.1.
    """
    rng = np.random.default_rng(seed)
    moments = [end - timedelta(hours=ago + 1) for ago in range(n)]
    usual = [
        per_hour if 8 <= moment.hour < 18 and moment.weekday() < 5 else per_hour / 20
        for moment in moments
    ]
    days = rng.gamma(10, 0.1, size=n // 24 + 1)
    return rng.poisson(np.array(usual) * days[np.arange(n) // 24])


def then_nothing(counts: Counts, last_hours: int) -> Counts:
    after = counts.copy()
    after[:last_hours] = 0
    return after


def silence_in(counts: Counts, **known: Any) -> Measurement:
    return measure(Silence, [], level=LEVEL, hours=hours(captured=counts, **known))


# Silence


@pytest.mark.parametrize(("per_hour", "after_hours"), [(200, 1), (40, 3), (8, 24), (2, 96)])
def test_the_busier_an_endpoint_is_the_sooner_its_silence_is_told(
    per_hour: float, after_hours: int
) -> None:
    found = silence_in(then_nothing(office(per_hour), after_hours))
    assert (found.verdict, found.value) == ("alert", 0.0)
    assert found.message.startswith("0 requests in the last ")
    assert silence_in(office(per_hour)).verdict != "alert"


def test_how_sure_a_look_must_be_is_told_by_its_window() -> None:
    silent, refusing = hours(captured=then_nothing(office(40), 3)), flood(1, 60)
    for monitor, seen in ((Silence, silent), (Refused, refusing)):
        found = measure(monitor, [], level=LEVEL, hours=seen)
        assert found.verdict == "alert"
        # One of several lengths of time: each has a part of the level only.
        assert measure(monitor, [], level=found.detail["chance"], hours=seen).verdict != "alert"


def test_far_fewer_than_usual_is_silence_too_and_half_of_them_is_not() -> None:
    usual = office(400)
    few, half = usual.copy(), usual.copy()
    few[:6] //= 20
    half[:6] //= 2
    assert silence_in(few).verdict == "alert"
    assert silence_in(half).verdict == "ok"


def test_nights_and_weekends_are_no_silence() -> None:
    sunday = datetime(2026, 11, 22, 23, tzinfo=UTC)
    counts = then_nothing(office(200, end=sunday), 30)
    counts[WEEK : WEEK + 30] = counts[2 * WEEK : 2 * WEEK + 30] = 0
    counts[3 * WEEK : 3 * WEEK + 30] = counts[4 * WEEK : 4 * WEEK + 30] = 0
    assert silence_in(counts).verdict != "alert"


def test_when_requests_come_again_the_alert_resolves_at_once() -> None:
    counts = then_nothing(office(200), 12)
    assert silence_in(counts).verdict == "alert"
    counts[:1] = 190
    back = silence_in(counts)
    assert (back.verdict, back.cleared) == ("ok", True)


def test_a_new_endpoint_has_nothing_to_fall_silent_from() -> None:
    young = office(200)
    young[2 * WEEK :] = 0
    found = silence_in(then_nothing(young, 24))
    assert (found.verdict, found.value) == ("not_enough_data", None)
    assert "two earlier weeks" in found.message


def test_a_planned_stop_is_no_silence_and_no_measure_of_what_is_usual() -> None:
    silent = then_nothing(office(200), 8)
    stopped = silence_in(silent, stopped_at=NOW - timedelta(hours=8))
    assert stopped.verdict == "not_measured"
    assert "stopped on purpose" in stopped.message
    away = np.zeros(HOURS, dtype=bool)
    away[:8] = True  # and up again a minute ago
    assert silence_in(silent, away=away).verdict != "alert"


def test_requests_that_are_served_and_not_captured_are_no_silence() -> None:
    usual = office(200)
    assert silence_in(then_nothing(usual, 8), served=usual).verdict != "alert"


def test_it_says_whether_a_gateway_runs() -> None:
    silent = then_nothing(office(200), 8)
    runs = silence_in(silent, last_account=hours().until - timedelta(minutes=2))
    assert "the gateway runs" in runs.message
    dead = silence_in(silent, last_account=hours().until - timedelta(hours=8))
    assert "no gateway has said since" in dead.message


@pytest.mark.parametrize("per_hour", [3, 30, 300])
def test_usual_traffic_alerts_at_no_hour_of_two_weeks(per_hour: float) -> None:
    past = office(per_hour, seed=7, n=HOURS + 2 * WEEK)
    for back in range(2 * WEEK):
        found = silence.look(hours(captured=past[back : back + HOURS]), below=BELOW, level=LEVEL)
        assert found is None or not found.silent, back


# Floods of refusals


def flood(last_hours: int, refusals: int, *, a_day_before: int = 5, **known: Any) -> Requests:
    """100 requests an hour are accepted, a few a day are refused; in the last hours many."""
    accepted = np.full(HOURS, 100, dtype=np.int64)
    bad = np.zeros(HOURS, dtype=np.int64)
    bad[12::24] = a_day_before
    bad[:last_hours] = refusals
    reasons = tuple(
        Counter({"invalid_api_key": refusals} if hour < last_hours else {}) for hour in range(24)
    )
    return hours(**{"accepted": accepted, "refused": bad, "reasons": reasons} | known)


def test_a_rise_of_refused_requests_is_an_alert_with_its_reasons() -> None:
    found = measure(Refused, [], level=LEVEL, hours=flood(1, 60))
    assert (found.verdict, found.n) == ("alert", 160)
    assert found.value == 60 / 160
    assert "invalid_api_key 60" in found.message
    assert measure(Refused, [], level=LEVEL, hours=flood(24, 10)).verdict == "alert"


@pytest.mark.parametrize(
    "usual",
    [flood(1, 0), flood(1, 6), flood(24, 4), flood(1, 60, a_day_before=700)],
    ids=["none", "a few", "below the margin", "as bursts always were"],
)
def test_a_few_and_what_was_always_refused_alert_nobody(usual: Requests) -> None:
    assert measure(Refused, [], level=LEVEL, hours=usual).verdict == "ok"


def test_who_tries_a_new_gateway_out_alerts_nobody() -> None:
    new = flood(24, 50)
    new.accepted[30:] = new.refused[30:] = 0
    assert measure(Refused, [], level=LEVEL, hours=new).verdict == "not_enough_data"


def test_the_correlation_is_that_of_the_counts() -> None:
    rng = np.random.default_rng(3)
    n = np.full(4_000, 50)
    shares = rng.beta(0.05 * 19, 0.95 * 19, size=4_000)  # correlation 1 / (19 + 1)
    assert refused.correlation(rng.binomial(n, shares), n, 0.05) == pytest.approx(0.05, abs=0.01)
    assert refused.correlation(rng.binomial(n, 0.05), n, 0.05) == pytest.approx(0.0, abs=0.003)


# From the spool


def account(at: datetime, **counted: Any) -> bytes:
    now_ns = int(at.timestamp() * 1e9)
    return encode(Account(id=new_id(now_ns), time=iso_time(now_ns), process="g", **counted))


def asked(at: datetime, endpoint: str = "desk", **fields: Any) -> bytes:
    now_ns = int(at.timestamp() * 1e9)
    return encode(
        Interaction(
            id=new_id(now_ns),
            time=iso_time(now_ns),
            endpoint=endpoint,
            bundle="b",
            status=200,
            messages="[]",
            request="{}",
            latency_ms=1.0,
            conversation="c",
            **fields,
        )
    )


def read(folder: Path, lines: list[bytes]) -> Requests:
    spool, traffic = Spool(folder / "spool"), Traffic(str(folder / "traffic"))
    for line in lines:
        spool.append(line)
    spool.close()
    ingest(folder / "spool", traffic)
    return requests_of(traffic, endpoint="desk", until=NOW)


def test_requests_and_accounts_are_counted_by_the_hour_before_the_look(tmp_path: Path) -> None:
    ago = [NOW - timedelta(minutes=minutes) for minutes in (1, 59, 61, 150)]
    found = read(
        tmp_path,
        [
            *[asked(at) for at in ago],
            asked(ago[0], endpoint="other"),
            asked(ago[0], tags={"probe": "smoke"}),
            account(
                ago[0], served={"desk": 3, "other": 4}, refused={"unknown_url": 9, "rate_limit": 2}
            ),
            account(ago[3], served={"desk": 1}),
        ],
    )
    assert found.captured[:4].tolist() == [2, 1, 1, 0]
    assert found.served[:4].tolist() == [3, 0, 1, 0]
    assert found.accepted[:4].tolist() == [7, 0, 1, 0]
    assert found.refused.sum() == 2, "who knocks at every door asked for no model"
    assert found.reasons[0] == {"rate_limit": 2}
    assert (found.last_account, found.stopped_at) == (ago[0], None)
    assert found.hours_known == 3
    assert not found.away.any()


def test_a_stop_is_known_while_it_lasts_and_after_it(tmp_path: Path) -> None:
    stop, back = NOW - timedelta(hours=5, minutes=30), NOW - timedelta(hours=2, minutes=30)
    lines = [account(stop, stopped=True), account(back)]
    over = read(tmp_path / "over", lines)
    assert over.stopped_at is None
    assert over.away.nonzero()[0].tolist() == [2, 3, 4, 5]
    lasting = read(tmp_path / "lasting", lines[:1])
    assert lasting.stopped_at == stop
    restart = read(tmp_path / "restart", [lines[0], account(stop + timedelta(minutes=5))])
    assert not restart.away.any()


def test_a_table_of_an_earlier_version_has_no_accounts(tmp_path: Path) -> None:
    found = read(tmp_path, [asked(NOW - timedelta(minutes=5))])
    assert (found.last_account, found.refused.sum()) == (None, 0)
    assert measure(Refused, [], level=LEVEL, hours=found).verdict == "not_enough_data"
