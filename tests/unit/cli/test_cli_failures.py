"""An error that nobody foresaw: told in two lines, written down where only its owner reads it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from on_terminal import OnTerminal

BROKEN = """
from tuneloop.cli import main
from tuneloop.loop import Loop

def broken(self, **options):
    raise KeyError("detail\\x1b]0;owned\\x07")

Loop.drill = broken
main.main()
"""


@pytest.mark.process
def test_no_key_is_written_down_and_no_neighbour_can_lay_out_the_log(tmp_path: Path) -> None:
    (tmp_path / "tuneloop.yaml").write_text("name: m\nbase: b\ndata: {sources: [rows.jsonl]}\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    elsewhere = {"TUNELOOP_WORKSPACE": str(tmp_path / "workspace"), "TMPDIR": str(temporary)}
    arguments = ("drill", "--key", "tl-s3cret")
    with OnTerminal("-c", BROKEN, *arguments, cwd=tmp_path, **elsewhere) as terminal:
        assert terminal.end() == 70
    log = tmp_path / "workspace" / "logs" / "errors.log"
    assert "tuneloop drill\n" in log.read_text() and "s3cret" not in log.read_text()
    assert "\x1b]0;" not in terminal.raw

    log.unlink()
    log.mkdir()  # Nothing can be written there.
    with OnTerminal("-c", BROKEN, *arguments, cwd=tmp_path, **elsewhere) as terminal:
        assert terminal.end() == 70
    (private,) = temporary.glob("tuneloop-*/errors.log")
    assert re.sub(r"\s", "", str(private)) in re.sub(r"\s", "", terminal.text)
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
