"""Ctrl-C at any moment of a command's life ends it without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from on_terminal import tuneloop


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_ctrl_c_while_the_command_starts(tmp_path: Path, seconds: float) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 3)
    (tmp_path / "tuneloop.yaml").write_text("name: m\nbase: base\ndata: {sources: [rows.jsonl]}\n")
    with tuneloop("prepare", cwd=tmp_path) as terminal:
        terminal.watch(seconds)
        terminal.interrupt()
        terminal.end()
    assert "KeyboardInterrupt" not in terminal.text
