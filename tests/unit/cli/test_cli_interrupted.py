"""Ctrl-C at any moment of a command's life ends it without a traceback."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from on_terminal import tuneloop


@pytest.mark.process
@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.2])
def test_ctrl_c_while_the_command_starts(tmp_path: Path, seconds: float) -> None:
    """A worker never ends by itself; once it runs, Ctrl-C is how it is told to."""
    (tmp_path / "tuneloop.yaml").write_text("name: m\nbase: base\ndata: {sources: [rows.jsonl]}\n")
    with tuneloop("worker", cwd=tmp_path) as terminal:
        terminal.watch(seconds)
        terminal.interrupt()
        assert terminal.end() in (130, -signal.SIGINT, 0)
    assert "KeyboardInterrupt" not in terminal.text
