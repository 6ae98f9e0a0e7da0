"""Steps, bars and notes on a terminal, which draws what a pipe does not."""

from __future__ import annotations

from on_terminal import OnTerminal

WORK = """
import time
from tuneloop.cli.terminal import Terminal

bars = Terminal()
bars.step("Counting")
for done in range(4):
    bars.update(done, 3, "sheep" if done else "")
    time.sleep(0.1)
bars.note("three [sheep] are there")
bars.finish()
"""


def test_a_bar_is_drawn_from_its_first_update_on() -> None:
    with OnTerminal("-c", WORK) as terminal:
        assert terminal.end() == 0
    assert "━" in terminal.raw
    assert "3/3" in terminal.text
    assert "three [sheep] are there" in terminal.screen
    assert "3/3" not in terminal.screen, "the bar goes when the step is done"
