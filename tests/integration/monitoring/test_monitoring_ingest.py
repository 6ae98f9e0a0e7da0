"""The spool's real files into real Delta tables: each record once, whatever is killed when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tuneloop.storage.ingest import IngestReport, ingest
from tuneloop.storage.spool import (
    Feedback,
    Interaction,
    Spool,
    SpoolLimits,
    encode,
    sealed_segments,
)
from tuneloop.storage.traffic import Traffic


def _interaction(number: int, **values: object) -> Interaction:
    return Interaction(
        **{
            "id": f"{number:032x}",
            "time": "2026-11-20T10:00:00.250Z",
            "endpoint": "desk",
            "bundle": "b1",
            "status": 200,
            "messages": '[{"role": "user", "content": "Grüße"}]',
            "request": "{}",
            "response": "fine",
            "latency_ms": 12.5,
            "conversation": "c",
            "tags": {"channel": "mail"},
        }
        | values
    )


def _feedback(number: int) -> Feedback:
    return Feedback(
        id=f"f{number}",
        time="2026-11-20T10:01:00.000Z",
        interaction=f"{number:032x}",
        kind="edit",
        value='"better"',
    )


def _write(folder: Path, records: list[Interaction | Feedback]) -> None:
    """One sealed segment through the gateway's own writer."""
    spool = Spool(folder)
    for record in records:
        assert spool.append(encode(record)) is None
    spool.close()


def _rows(traffic: Traffic, table: str) -> list[dict]:
    return traffic.scan(table).sort("id").collect().to_dicts()  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def traffic(tmp_path: Path) -> Traffic:
    return Traffic(str(tmp_path / "traffic"))


def test_records_arrive_as_they_were_captured(folder: Path, traffic: Traffic) -> None:
    _write(folder, [_interaction(1), _feedback(1)])
    _write(folder, [_interaction(2)])
    report = ingest(folder, traffic)
    assert report == IngestReport(interactions=2, feedback=1, torn=0, segments=2)
    assert sealed_segments(folder) == []
    first, _ = _rows(traffic, "interactions")
    assert first["time"] == datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)
    assert first["tags"] == '{"channel":"mail"}'
    assert first["messages"] == '[{"role": "user", "content": "Grüße"}]'
    assert first["latency_ms"] == 12.5
    [edit] = _rows(traffic, "feedback")
    assert (edit["interaction"], edit["value"]) == (f"{1:032x}", '"better"')
    assert ingest(folder, traffic) == IngestReport()


def test_no_spool_yet_is_no_traffic(folder: Path, traffic: Traffic) -> None:
    assert ingest(folder, traffic) == IngestReport()


def test_torn_unreadable_and_unstorable_lines_are_counted_and_stop_nothing(
    folder: Path, traffic: Traffic
) -> None:
    _write(folder, [_interaction(1), _interaction(2, time="yesterday")])
    _write(folder, [_interaction(3, prompt_tokens=1 << 70), _interaction(4)])
    [segment, _] = sealed_segments(folder)
    with segment.open("ab") as file:
        file.write(b"\x00\x00\x00\n{}\n")
    # A writer that was killed in the middle of a line.
    line = encode(_interaction(5))
    (folder / "dead.jsonl.open").write_bytes(line + line[:40])
    report = ingest(folder, traffic)
    assert report == IngestReport(interactions=3, feedback=0, torn=5, segments=3)
    assert [int(row["id"], 16) for row in _rows(traffic, "interactions")] == [1, 4, 5]


def test_a_segment_that_is_being_written_stays(folder: Path, traffic: Traffic) -> None:
    spool = Spool(folder, limits=SpoolLimits(segment_seconds=600))
    assert spool.append(encode(_interaction(1))) is None
    assert ingest(folder, traffic).segments == 0
    spool.close()
    assert ingest(folder, traffic).interactions == 1


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tuneloop.storage import ingest as module
    from tuneloop.storage.traffic import Traffic

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    class Dying(Traffic):
        def append(self, table, rows, *, transaction=None):
            count = super().append(table, rows, transaction=transaction)
            if sys.argv[3] == f"after {table}":
                die()
            return count

    if sys.argv[3] == "before removal":
        module.remove = die
    module.ingest(Path(sys.argv[1]), Dying(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["after interactions", "after feedback", "before removal"])
def test_a_kill_between_append_and_removal_changes_nothing(
    tmp_path: Path, folder: Path, traffic: Traffic, moment: str
) -> None:
    _write(folder, [*map(_interaction, range(20)), *map(_feedback, range(5))])
    _write(folder, [_interaction(20)])
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_KILLED), folder, tmp_path / "traffic", moment],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(sealed_segments(folder)) == 2
    report = ingest(folder, traffic)
    assert report.segments == 2
    assert report.interactions == 1  # the killed run had appended the other 20
    assert [int(row["id"], 16) for row in _rows(traffic, "interactions")] == list(range(21))
    assert len(_rows(traffic, "feedback")) == 5
    assert sealed_segments(folder) == []


def test_two_at_once_move_each_record_once(folder: Path, traffic: Traffic) -> None:
    for start in range(0, 40, 10):
        _write(folder, [_interaction(number) for number in range(start, start + 10)])
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: ingest(folder, traffic), range(2)))
    assert sum(report.interactions for report in reports) == 40
    assert len(_rows(traffic, "interactions")) == 40


def test_a_full_store_keeps_the_segment(folder: Path, tmp_path: Path) -> None:
    from tuneloop.errors import StoreError

    _write(folder, [_interaction(1)])
    blocked = tmp_path / "traffic"
    blocked.mkdir()
    (blocked / "interactions").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="nothing was lost"):
        ingest(folder, Traffic(str(blocked)))
    assert len(sealed_segments(folder)) == 1
    (blocked / "interactions").unlink()
    assert ingest(folder, Traffic(str(blocked))).interactions == 1
