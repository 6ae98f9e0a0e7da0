"""When a process is started, restarted, stopped and given up on: pure decisions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.deployment.supervisor import (
    Action,
    Phase,
    ProcessSpec,
    ProcessState,
    RestartTiming,
    after_crash,
    next_action,
)

SPEC = ProcessSpec(
    name="m", command=("x",), log=Path("log"), ready=lambda: True, ready_within_seconds=10
)
WAITING, STARTING, READY, STOPPING = Phase


@pytest.mark.parametrize(
    ("phase", "age", "wanted", "running", "action"),
    [
        (WAITING, 5, True, False, Action.START),
        (WAITING, 3, True, False, Action.NOTHING),  # start_at is 4 s after the crash
        (WAITING, 5, False, False, Action.FORGET),
        (STARTING, 1, True, True, Action.PROBE),
        (STARTING, 10, True, True, Action.KILL),
        (STARTING, 1, True, False, Action.NOTE_CRASH),
        (STARTING, 1, False, True, Action.TERMINATE),
        (READY, 999, True, True, Action.NOTHING),
        (READY, 999, True, False, Action.NOTE_CRASH),
        (READY, 1, False, True, Action.TERMINATE),
        (READY, 1, False, False, Action.FORGET),
        (STOPPING, 1, False, True, Action.NOTHING),
        (STOPPING, 5, False, True, Action.KILL),
        (STOPPING, 1, False, False, Action.FORGET),
        (STOPPING, 1, True, False, Action.FORGET),  # wanted again: it starts afresh
    ],
)
def test_the_next_action(
    phase: Phase, age: float, wanted: bool, running: bool, action: Action
) -> None:
    state = ProcessState(phase=phase, since=100.0, start_at=104.0)
    assert next_action(state, 100.0 + age, spec=SPEC, wanted=wanted, running=running) is action


def test_the_pause_doubles_up_to_its_limit() -> None:
    timing = RestartTiming(first_seconds=0.5, longest_seconds=30)
    assert [timing.pause(failures) for failures in (1, 2, 3, 7, 500)] == [0.5, 1, 2, 30, 30]


@given(crashes=st.integers(1, 50), ready_seconds=st.floats(0, 59))
def test_a_process_that_keeps_crashing_is_started_ever_more_rarely(
    crashes: int, ready_seconds: float
) -> None:
    timing, now = RestartTiming(), 0.0
    state = ProcessState(phase=READY, since=now)
    pauses = []
    for _ in range(crashes):
        now += ready_seconds
        state = after_crash(state, now, timing)
        pauses.append(round(state.start_at - now, 6))
        now = state.start_at
        state = ProcessState(phase=READY, since=now, failures=state.failures)
    assert pauses == sorted(pauses)
    assert max(pauses) <= timing.longest_seconds


def test_a_process_that_was_sound_for_long_starts_again_at_once() -> None:
    timing = RestartTiming()
    state = ProcessState(phase=READY, since=0.0, failures=9)
    assert after_crash(state, 61.0, timing).failures == 1
    assert after_crash(state, 59.0, timing).failures == 10
