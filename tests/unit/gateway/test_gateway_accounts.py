"""What a gateway writes down of the requests that it served and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop.gateway.accounts import Accounts
from tuneloop.gateway.capture import Capture
from tuneloop.gateway.metrics import Metrics
from tuneloop.storage.spool import Account, read_segment, sealed_segments


def written(folder: Path) -> list[Account]:
    return [
        record
        for path in sealed_segments(folder)
        for record in read_segment(path).records
        if isinstance(record, Account)
    ]


def test_an_account_holds_what_came_since_the_last_one(tmp_path: Path) -> None:
    metrics = Metrics()
    capture = Capture(tmp_path, metrics)
    accounts = Accounts(metrics, capture, "gateway-1")
    metrics.accounted("desk", None)
    metrics.accounted("desk", "opt_out")
    metrics.refused["rate_limit_exceeded"] += 3
    accounts.write()
    metrics.accounted("other", None)
    accounts.write()
    accounts.write(stopped=True)
    capture.close()
    told = [(one.process, one.served, one.refused, one.stopped) for one in written(tmp_path)]
    assert told == [
        ("gateway-1", {"desk": 2}, {"rate_limit_exceeded": 3}, False),
        ("gateway-1", {"other": 1}, {}, False),
        ("gateway-1", {}, {}, True),
    ]


def test_what_could_not_be_written_is_in_the_next_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    capture = Capture(tmp_path, metrics)
    accounts = Accounts(metrics, capture, "gateway-0")
    metrics.refused["invalid_api_key"] += 1
    with monkeypatch.context() as full:
        full.setattr(capture, "keep_account", lambda account: "disk_full")
        accounts.write()
    metrics.refused["invalid_api_key"] += 1
    accounts.write()
    capture.close()
    assert [one.refused for one in written(tmp_path)] == [{"invalid_api_key": 2}]
