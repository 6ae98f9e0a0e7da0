"""The spool keeps what it accepted, whatever dies, and says what it could not keep."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneloop.errors import StoreError
from tuneloop.storage import spool
from tuneloop.storage.spool import DropReason, Feedback, Interaction, Spool, SpoolLimits


def _feedback(number: int, value: str = '"x"') -> Feedback:
    return Feedback(id=f"{number:032x}", time="t", interaction="0" * 32, kind="label", value=value)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _numbers(folder: Path) -> list[int]:
    segments = [spool.read_segment(path) for path in spool.sealed_segments(folder)]
    assert sum(segment.unreadable_lines for segment in segments) == 0
    return [int(record.id, 16) for segment in segments for record in segment.records]


def test_records_come_back_in_order_and_whole(tmp_path: Path) -> None:
    interaction = Interaction(
        id=spool.new_id(time.time_ns()),
        time=spool.iso_time(1_770_000_000_123_000_000),
        endpoint="desk",
        bundle="b1",
        status=200,
        messages='[{"role":"user","content":"two\\nlines \U0001f600"}]',
        request="{}",
        response="line\nbreak\u2028",
        latency_ms=1.5,
        conversation="0" * 16,
        tags={"probe": "golden"},
    )
    records = [interaction, _feedback(1), _feedback(2)]
    writer = Spool(tmp_path)
    assert [writer.append(spool.encode(record)) for record in records] == [None] * 3
    writer.close()
    (segment,) = spool.sealed_segments(tmp_path)
    assert spool.read_segment(segment).records == records
    assert interaction.time == "2026-02-02T02:40:00.123Z"
    assert writer.append(b"late\n") is DropReason.CLOSED
    spool.remove(segment)
    assert list(tmp_path.iterdir()) == []


def test_segments_are_sealed_by_size_and_by_age(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=500, segment_seconds=0.1, sync_seconds=0.01)
    writer = Spool(tmp_path, limits=limits)
    for number in range(5):
        writer.append(spool.encode(_feedback(number, '"' + "x" * 600 + '"')))
    _wait(lambda: len(spool.sealed_segments(tmp_path)) == 5)
    writer.append(spool.encode(_feedback(5)))
    _wait(lambda: len(spool.sealed_segments(tmp_path)) == 6)  # nothing else came, time passed
    writer.close()
    assert _numbers(tmp_path) == list(range(6))


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    writer = Spool(tmp_path, limits=SpoolLimits(segment_bytes=2000, sync_seconds=0.001))

    def write(first: int) -> None:
        for number in range(first, first + 200):
            assert writer.append(spool.encode(_feedback(number))) is None

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 200, 400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(_numbers(tmp_path)) == list(range(600))


def test_a_slow_disk_keeps_no_record_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, released = threading.Event(), threading.Event()

    def slow_fsync(descriptor: int) -> None:
        syncing.set()
        released.wait(10)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    writer = Spool(tmp_path, limits=SpoolLimits(sync_seconds=0.001))
    writer.append(spool.encode(_feedback(0)))
    assert syncing.wait(10)
    for number in range(1, 100):
        assert writer.append(spool.encode(_feedback(number))) is None
    assert not released.is_set()
    released.set()
    writer.close()
    assert _numbers(tmp_path) == list(range(100))


_WRITE_FOREVER = """
import os, sys
from pathlib import Path
from tuneloop.storage import spool
writer = spool.Spool(Path(sys.argv[1]))
number = 0
while True:
    record = spool.Feedback(id=f"{number:032x}", time="t", interaction="i", kind="label", value="1")
    assert writer.append(spool.encode(record)) is None
    os.write(1, b"%d\\n" % number)
    number += 1
"""


@pytest.mark.process
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    time.sleep(0.5)
    assert spool.seal_stale(tmp_path).segments == 0  # its writer lives
    process.send_signal(signal.SIGKILL)
    acknowledged = [int(line) for line in process.stdout.read().split(b"\n")[:-1]]
    process.stdout.close()
    process.wait()
    assert len(acknowledged) > 100
    assert spool.seal_stale(tmp_path).segments == 1
    kept = _numbers(tmp_path)
    assert kept == list(range(len(kept)))
    assert set(acknowledged) <= set(kept)
    assert spool.seal_stale(tmp_path).segments == 0


def test_a_torn_last_line_is_cut_off_and_counted(tmp_path: Path) -> None:
    whole = spool.encode(_feedback(1)) + spool.encode(_feedback(2))
    (tmp_path / "a.jsonl.open").write_bytes(whole + spool.encode(_feedback(3))[:-30])
    (tmp_path / "b.jsonl.open").write_bytes(b'{"record":"feedb')
    (tmp_path / "c.jsonl.open").write_bytes(b"")
    sealed = spool.seal_stale(tmp_path)
    assert (sealed.segments, sealed.torn_lines) == (3, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]
    assert _numbers(tmp_path) == [1, 2]


def test_lines_that_are_no_records_are_counted_when_reading(tmp_path: Path) -> None:
    good = spool.encode(_feedback(1))
    (tmp_path / "a.jsonl").write_bytes(good + b"\0\0\0\n" + b"\xff\n" + b"{}\n" + good)
    segment = spool.read_segment(tmp_path / "a.jsonl")
    assert (len(segment.records), segment.unreadable_lines) == (2, 3)


def test_a_segment_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.open"
    path.write_bytes(spool.encode(_feedback(1)))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert spool.seal_stale(tmp_path).segments == 0
    assert spool.seal_stale(tmp_path).segments == 1


def test_a_segment_taken_for_stale_before_its_lock_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, sealed = fcntl.flock, []

    def seal_first(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        sealed.append(spool.seal_stale(tmp_path).segments)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", seal_first)
    writer = Spool(tmp_path)
    assert [writer.append(spool.encode(_feedback(number))) for number in range(3)] == [None] * 3
    writer.close()
    assert sealed == [1], "the other process came between opening and locking"
    assert _numbers(tmp_path) == [0, 1, 2]


_FILL_UP = """
import resource, signal, sys
from pathlib import Path
from tuneloop.storage import spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
writer = spool.Spool(Path(sys.argv[1]))
for number in range(60):
    record = spool.Feedback(
        id=f"{number:032x}", time="t", interaction="i", kind="label", value='"' + "x" * 100 + '"'
    )
    print(number, writer.append(spool.encode(record)))
writer.close()
"""


@pytest.mark.process
def test_a_full_disk_drops_whole_records_and_says_so(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: write() fails in the middle of a line."""
    done = subprocess.run(
        [sys.executable, "-c", _FILL_UP, str(tmp_path)], capture_output=True, text=True, check=True
    )
    outcomes = [line.split() for line in done.stdout.splitlines()]
    assert {reason for _, reason in outcomes} == {"None", "disk_full"}
    kept = _numbers(tmp_path)
    assert kept == [int(number) for number, reason in outcomes if reason == "None"]
    assert 10 < len(kept) < 60


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot create the spool folder"):
        Spool(tmp_path / "file" / "spool")


def test_ids_sort_by_time() -> None:
    ids = [spool.new_id(ms * 1_000_000) for ms in (1, 2, 300, 1_770_000_000_000)]
    assert ids == sorted(ids)
    assert all(len(made) == 32 for made in ids)
    assert len({spool.new_id(5) for _ in range(1000)}) == 1000
