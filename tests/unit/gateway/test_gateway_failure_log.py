"""Failures in the log: one line in a flood, and it says for how many it stands."""

from __future__ import annotations

import logging

import pytest
from finished_exchange import finished

from tuneloop.gateway.failure_log import EVERY_SECONDS, FailureLog
from tuneloop.storage.spool import CLIENT_LEFT


def test_a_flood_is_one_line_a_second_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    log = FailureLog(clock=lambda: now)
    with caplog.at_level(logging.INFO, logger="tuneloop"):
        for _ in range(5):
            log.note(finished(error="upstream_reset", status=502))
        log.note(finished(error="client_left", status=CLIENT_LEFT))
        now += EVERY_SECONDS
        last = finished(error="upstream_reset", status=502)
        log.note(last)
    said = [(r.levelname, vars(r)["error"], vars(r)["unsaid"]) for r in caplog.records]
    assert said == [
        ("WARNING", "upstream_reset", 0),
        ("INFO", "client_left", 0),  # its own doing
        ("WARNING", "upstream_reset", 4),
    ]
    assert caplog.messages[-1] == (
        "A request to desk failed: upstream_reset. 4 more did since the last line."
    )
    line = vars(caplog.records[-1])
    assert (line["interaction"], line["endpoint"], line["bundle"]) == (last.id, "desk", "b1")
    assert line["status"] == 502
