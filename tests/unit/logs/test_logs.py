"""What a process of ours writes into its log, and what a person at a terminal sees of it."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from datetime import datetime

from tuneloop.logs import JsonLines, message_of

PROCESS = """
import logging, warnings
from tuneloop import logs
logs.configure()
log = logging.getLogger("tuneloop.gateway")
log.debug("hidden")
log.warning("No answer from %s.", "desk", extra={"interaction": "0198", "error": "upstream_reset"})
logging.getLogger("alembic").info("hidden")
warnings.warn("old", DeprecationWarning, stacklevel=1)
raise RuntimeError("out of luck")
"""


def _run(stderr: int) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "always", "-c", PROCESS]
    return subprocess.run(command, stderr=stderr, check=False, timeout=30)


def test_every_line_of_a_log_file_is_one_object_the_last_words_too() -> None:
    done = _run(subprocess.PIPE)
    assert done.returncode == 1
    answer, warned, ended = map(json.loads, done.stderr.splitlines())
    moment = datetime.fromisoformat(answer.pop("time"))
    assert abs((datetime.now(moment.tzinfo) - moment).total_seconds()) < 60
    assert answer == {
        "level": "warning",
        "logger": "tuneloop.gateway",
        "message": "No answer from desk.",
        "interaction": "0198",
        "error": "upstream_reset",
    }
    assert "DeprecationWarning: old" in warned["message"]
    assert (ended["level"], ended["message"]) == ("critical", "RuntimeError: out of luck")
    assert ended["exception"].startswith("Traceback")


def test_a_terminal_shows_text() -> None:
    ours, theirs = pty.openpty()
    _run(theirs)
    os.close(theirs)
    first = os.read(ours, 1 << 16).decode().splitlines()[0]
    os.close(ours)
    assert first.endswith("WARNING No answer from desk.")


def test_a_field_takes_no_standard_ones_place_and_may_be_anything() -> None:
    record = logging.makeLogRecord(
        {"msg": "m", "levelname": "INFO", "level": "forged", "at": datetime(2026, 1, 2)}
    )
    line = json.loads(JsonLines().format(record))
    assert (line["level"], line["message"], line["at"]) == ("info", "m", "2026-01-02 00:00:00")


def test_people_are_told_the_message_of_a_line() -> None:
    line = JsonLines().format(logging.makeLogRecord({"msg": "the spool is gone"}))
    assert message_of(line) == "the spool is gone"
    for other in ("Segmentation fault", "[1]", '{"a": 1}', "{"):
        assert message_of(other) == other
