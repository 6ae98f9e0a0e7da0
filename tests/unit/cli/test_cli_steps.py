"""Steps, bars and notes: drawn on a terminal, a line now and then in a log, told to others."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from on_terminal import OnTerminal
from tuneloop import under_way
from tuneloop.cli.steps import Steps
from tuneloop.progress import Pace, Silent, duration

TELLS = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from tuneloop import under_way
from tuneloop.progress import Silent

now = lambda: datetime.now(UTC)
with under_way.told(Silent(), Path(sys.argv[1]), what="a cycle", now=now) as progress:
    progress.step("Training")
    print("told", flush=True)
    time.sleep(60)
"""

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WORK = """
import time
from tuneloop.cli.steps import Steps
from tuneloop.cli.terminal import err

bars = Steps(err)
bars.step("Waiting for a lamb")
time.sleep(1.2)
bars.step("Counting sheep")
for done in range(4):
    bars.update(done, 3, "on the left meadow" if done else "")
    time.sleep(0.4)
bars.note("three [sheep] are there")
bars.finish()
"""


@pytest.mark.process
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60), (40, 12)])
def test_a_bar_is_drawn_from_its_first_update_on(columns: int, rows: int) -> None:
    with OnTerminal("-c", WORK, columns=columns, rows=rows) as terminal:
        terminal.wait_for("so far")
        terminal.wait_for("━")
        terminal.wait_for("2 of 3")
        assert len(terminal.screen.splitlines()[-1]) <= columns
        assert terminal.end() == 0
    assert "s left" in terminal.text
    assert "three [sheep] are there" in terminal.screen
    assert "3 of 3" not in terminal.screen, "the bar goes when the step is done"


@pytest.mark.process
def test_nothing_moves_on_a_terminal_that_has_no_cursor() -> None:
    with OnTerminal("-c", WORK, term="dumb") as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert "▸ Counting sheep" in terminal.text


@pytest.mark.process
def test_without_colours_the_bar_still_moves() -> None:
    with OnTerminal("-c", WORK, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "━" in terminal.text
    assert not any(f"\x1b[{colour}m" in terminal.raw for colour in (31, 32, 33, 34, 35, 36))


@pytest.mark.process
def test_the_window_may_change_its_size_while_a_bar_is_drawn() -> None:
    with OnTerminal("-c", WORK, columns=120, rows=40) as terminal:
        terminal.wait_for("1 of 3")
        terminal.resize(columns=50, rows=20)
        assert terminal.end() == 0
    assert "three [sheep] are there" in terminal.screen


def test_a_log_gets_a_line_at_most_every_ten_seconds() -> None:
    log, now = io.StringIO(), [0.0]
    steps = Steps(Console(file=log, width=80), clock=lambda: now[0])
    steps.step("Counting sheep")
    for second in range(36):
        now[0] = float(second)
        steps.update(second, 100, "on the left meadow")
    steps.finish()
    assert log.getvalue().splitlines() == [
        "▸ Counting sheep",
        "  10 of 100, on the left meadow, 1:30 min left",
        "  20 of 100, on the left meadow, 1:20 min left",
        "  30 of 100, on the left meadow, 1:10 min left",
        "  35 s",
    ]


def test_a_warning_is_read_once_however_many_stages_give_it() -> None:
    written = io.StringIO()
    steps = Steps(Console(file=written, width=80))
    for stage in ("Preparing", "Evaluating"):
        steps.step(stage)
        steps.note("warning: the bar is low")
        steps.note("12 were answered earlier")
    steps.finish()
    assert written.getvalue().count("the bar is low") == 1
    assert written.getvalue().count("answered earlier") == 2


def test_the_pace_of_a_resumed_piece_counts_from_where_it_began() -> None:
    pace = Pace(0.0)
    assert pace.seconds_left is None
    pace.update(30.0, 60, 100)
    assert pace.seconds_left is None, "one look tells no pace"
    pace.update(40.0, 70, 100)
    assert pace.seconds_left == pytest.approx(30.0)
    assert pace.left_at(45.0) == pytest.approx(25.0)
    assert pace.left_at(100.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (80, "1:20 min"), (3_599, "59:59 min"), (7_500, "2:05 h")],
)
def test_durations_are_said_in_one_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_others_see_what_is_under_way(tmp_path: Path) -> None:
    folder = under_way.folder(tmp_path, "router")
    with under_way.told(Silent(), folder, what="a cycle", now=lambda: NOON) as progress:
        (seen,) = under_way.seen(folder, now=NOON)
        assert (seen.what, seen.process, str(seen)) == ("a cycle", os.getpid(), "a cycle")
        progress.step("Training", keeps="its last checkpoint")
        progress.update(3, 10, "loss 0.5")
        (seen,) = under_way.seen(folder, now=NOON)
        assert str(seen) == "Training", "the count is told at most once a second"
        with under_way.told(progress, folder, what="training", now=lambda: NOON) as inner:
            assert inner is progress, "the outermost names the work"
    assert under_way.seen(folder, now=NOON) == []
    assert list(folder.iterdir()) == []


@pytest.mark.process
def test_what_a_killed_process_told_is_not_believed(tmp_path: Path) -> None:
    """Nor what one told whose number another process has now, as in every container."""
    folder = under_way.folder(tmp_path, "router")
    killed = subprocess.Popen(
        [sys.executable, "-c", TELLS, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None and killed.stdout.readline() == "told\n"
    (seen,) = under_way.seen(folder, now=datetime.now(UTC))
    assert (seen.process, seen.step) == (killed.pid, "Training")
    killed.kill()
    killed.communicate()
    (left,) = folder.glob("*.json")
    told = json.loads(left.read_text())
    left.write_text(json.dumps(told | {"process": os.getpid()}))
    assert under_way.seen(folder, now=datetime.now(UTC)) == []
    assert list(folder.iterdir()) == [], "it is removed"


def test_what_another_machine_told_is_believed_for_ten_minutes(tmp_path: Path) -> None:
    folder = under_way.folder(tmp_path, "router")
    with under_way.told(Silent(), folder, what="a cycle", now=lambda: NOON):
        (file,) = folder.glob("*.json")
        away = json.loads(file.read_text()) | {"host": "elsewhere", "step": "Far away"}
        (folder / "away.json").write_text(json.dumps(away))
        (folder / "torn.json").write_text('{"what": "a cy')
        assert {one.step for one in under_way.seen(folder, now=NOON)} == {"", "Far away"}
        later = NOON + timedelta(minutes=11)
        assert [one.step for one in under_way.seen(folder, now=later)] == [""]


def test_work_that_fails_is_not_under_way_any_more(tmp_path: Path) -> None:
    folder = under_way.folder(tmp_path, "router")
    with (
        pytest.raises(ZeroDivisionError),
        under_way.told(Silent(), folder, what="a cycle", now=lambda: NOON) as progress,
    ):
        progress.step("Training")
        raise ZeroDivisionError
    assert under_way.seen(folder, now=NOON) == []


def test_a_warning_is_whole_and_said_by_the_first_step_that_has_it() -> None:
    """Prepare, evaluate and deploy hold the same against a candidate; other notes may repeat."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    steps, long = Steps(console), " ".join(f"row-{n}" for n in range(90))
    for step in ("Evaluating", "Deploying"):
        steps.step(step)
        for note in (f"warning: {long}", f"failed: {long}", "smoke test: passed", long):
            steps.note(note)
    steps.finish()
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert told.count("warning: ") == 1 and told.count("smoke test: passed") == 2
    words = " ".join(told.split())
    assert f"warning: {long}" in words and f"failed: {long}" in words
    assert words.count("…") == 2, "what nobody must read is shortened"
