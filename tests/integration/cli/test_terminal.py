"""The commands that draw, ask, wait or are interrupted, at a real terminal of several kinds."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from on_terminal import OnTerminal, shell, tuneloop
from tiny_desk import as_json, command, make_desk, written
from tiny_desk import tuneloop as piped

pytestmark = pytest.mark.timeout(240)

LONG_TRAINING = (
    "--set=training.epochs=400",
    "--set=training.early_stopping_patience=0",
)
CTRL_Z = "\x1a"
COLOURS = re.compile(r"\x1b\[(?:\d+;)*3[1-6]m")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that was trained, evaluated and deployed by `tuneloop run` on an 80 × 24 terminal."""
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    with tuneloop("run", cwd=folder) as terminal:
        assert terminal.end(240) == 0
        (folder / "run.txt").write_text(terminal.text)
        (folder / "run.raw").write_text(terminal.raw)
    yield folder
    piped(folder, "down")


def test_a_whole_cycle_is_drawn_at_80_columns(desk: Path) -> None:
    text, raw = (desk / "run.txt").read_text(), (desk / "run.raw").read_text()
    for step in ("Reading rows", "Training on", "Converting to GGUF", "Asking the candidate"):
        assert f"▸ {step}" in text
    assert "━" in raw and "epoch 1 of 1" in text
    assert "is in production" in text


def test_a_training_tells_how_far_it_is_rests_and_is_interrupted(desk: Path) -> None:
    with tuneloop("train", *LONG_TRAINING, cwd=desk) as terminal:
        terminal.wait_for("epoch 2 of 400", seconds=120)
        terminal.watch(1.5)
        assert "s left" in terminal.screen or "min left" in terminal.screen

        (doing,) = as_json(desk, "status")["under_way"]
        assert doing["step"].startswith("Training on")
        assert "loss" in doing["detail"] and doing["seconds_left"] > 0
        shown = piped(desk, "runs", "show", "latest").stdout
        assert ": running" in shown and "of 400, loss" in shown
        assert "under way" in piped(desk, "status").stdout

        terminal.resize(columns=120, rows=40)
        terminal.watch(1.0)
        (child,) = psutil.Process(terminal.pid).children()
        terminal.interrupt()
        assert terminal.end(60) == 130
    assert "Stopped in: Training on" in terminal.text
    assert "its last checkpoint. The same command goes on from there." in terminal.text
    assert not child.is_running()
    assert as_json(desk, "status")["under_way"] == []


def test_what_trains_rests_with_ctrl_z_and_goes_on(desk: Path) -> None:
    with shell(cwd=desk) as terminal:
        terminal.press(f"{shlex.join(command('train', *LONG_TRAINING))}\r")
        terminal.wait_for(" of 3,600", seconds=120)
        (us,) = psutil.Process(terminal.pid).children()
        (child,) = us.children()
        terminal.press(CTRL_Z)
        terminal.wait_for("Stopped")
        assert wait_until(child, psutil.STATUS_STOPPED), "what trains rests, too"
        cursor = [terminal.raw.rfind(f"\x1b[?25{way}") for way in "lh"]
        assert cursor[0] < cursor[1], "the shell has a cursor"
        terminal.press("fg\r")
        assert wait_until(child, psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING)
        done = len(terminal.text)
        terminal.watch(2.0)
        assert " of 3,600" in terminal.text[done:]
        terminal.interrupt()
        terminal.wait_for("goes on from there")
        terminal.press("exit\r")
        terminal.end()


def wait_until(process: psutil.Process, *states: str) -> bool:
    deadline = time.monotonic() + 10
    while process.status() not in states and time.monotonic() < deadline:
        time.sleep(0.05)
    return process.status() in states


@pytest.mark.parametrize(
    ("columns", "rows", "settings"),
    [(80, 24, {}), (200, 60, {"NO_COLOR": "1"}), (80, 24, {"term": "dumb"})],
    ids=["80x24", "200x60-no-colour", "dumb"],
)
def test_an_evaluation_is_drawn_on_every_kind_of_terminal(
    desk: Path, columns: int, rows: int, settings: dict[str, str]
) -> None:
    shown = {**settings, "PAGER": "cat"}
    with (
        written(desk / "tuneloop.yaml", "evaluation", margin=0.35),
        tuneloop(
            "evaluate", "production", cwd=desk, columns=columns, rows=rows, **shown
        ) as terminal,
    ):
        assert terminal.end(120) == 0
    assert "PASSED" in terminal.text
    assert "weaker than production's: margin 0.35 (was 0.3)" in " ".join(terminal.text.split())
    assert all(len(line) <= columns for line in terminal.screen.splitlines())
    if "NO_COLOR" in settings:
        assert not COLOURS.search(terminal.raw)
    if "term" in settings:
        assert "\x1b" not in terminal.raw


LOOKS = (
    ("status",),
    ("history",),
    ("doctor",),
    ("data", "list"),
    ("data", "show"),
    ("data", "quarantine"),
    ("runs", "list"),
    ("runs", "show", "latest"),
    ("bundle", "list"),
    ("bundle", "show"),
    ("evaluation", "list"),
    ("evaluation", "show", "latest"),
    ("cycle", "list"),
    ("cycle", "show"),
    ("config", "show"),
    ("audit", "list"),
    ("review", "list"),
    ("review", "stats"),
    ("monitor", "list"),
    ("alert", "list"),
    ("traffic", "list"),
    ("triggers", "explain"),
    ("rollout", "list"),
    ("key", "list"),
    ("people", "list"),
    ("approvals", "list"),
)


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_what_one_looks_at_fits_80_columns(desk: Path, look: tuple[str, ...]) -> None:
    with tuneloop(*look, cwd=desk, PAGER="cat") as terminal:
        assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert lines and all(len(line) <= 80 for line in lines)


def test_what_is_longer_than_the_screen_goes_through_the_pager(desk: Path) -> None:
    with tuneloop("config", "show", cwd=desk, PAGER="sed s/^/paged:/") as terminal:
        assert terminal.end() == 0
    assert terminal.text.startswith("paged:")
    with tuneloop("bundle", "list", cwd=desk, PAGER="sed s/^/paged:/") as terminal:
        assert terminal.end() == 0
    assert "paged:" not in terminal.text
    assert "paged:" not in piped(desk, "config", "show", PAGER="sed s/^/paged:/").stdout


def test_a_review_asks_and_keeps_what_was_decided_when_it_is_interrupted(desk: Path) -> None:
    waiting = as_json(desk, "review", "list")
    assert waiting, "the example has a contradiction"
    with tuneloop("review", cwd=desk) as terminal:
        terminal.wait_for("[a]pprove")
        terminal.press("what?\r")
        terminal.wait_for("select one of")
        terminal.interrupt()
        assert terminal.end() == 130
    assert "Stopped. What was done so far is kept." in terminal.text
    with tuneloop("review", cwd=desk, columns=60, rows=20) as terminal:
        terminal.wait_for("[a]pprove")
        terminal.press("s\r")
        assert terminal.end() == 0
    assert len(as_json(desk, "review", "list")) == len(waiting) - 1


def test_serving_waits_for_its_servers_and_stops_with_ctrl_c(desk: Path) -> None:
    with tuneloop("up", cwd=desk) as terminal:
        deadline = time.monotonic() + 60
        while as_json(desk, "status")["health"] != "healthy":
            terminal.watch(0.5)
            assert time.monotonic() < deadline, terminal.text
        terminal.interrupt()
        assert terminal.end() == 0
    assert as_json(desk, "status")["gateway_url"] is None


def test_a_cycle_is_followed_until_somebody_stops_looking(desk: Path) -> None:
    piped(desk, "cycle", "start", "-m", "nobody works on it")
    with tuneloop("cycle", "show", "latest", "--follow", cwd=desk) as terminal:
        terminal.wait_for("is asked")
        os.kill(terminal.pid, signal.SIGWINCH)
        terminal.interrupt()
        assert terminal.end() == 130
    assert "what you looked at goes on by itself" in " ".join(terminal.text.split())
    piped(desk, "cycle", "cancel", "latest")


BROKEN = """
from tuneloop.cli import main
from tuneloop.loop import Loop

def broken(self):
    raise KeyError("detail")

Loop.status = broken
main.main()
"""


def test_an_error_that_nobody_foresaw_is_two_lines_and_a_log(desk: Path) -> None:
    with OnTerminal("-c", BROKEN, "status", cwd=desk) as terminal:
        assert terminal.end() == 70
    said = " ".join(terminal.text.split())
    assert "tuneloop itself failed (KeyError: 'detail')" in said
    log = desk / ".tuneloop" / "logs" / "errors.log"
    assert str(log.relative_to(desk)) in said and "run the command again" in said
    assert "Traceback" in log.read_text() and "tuneloop status" in log.read_text()
