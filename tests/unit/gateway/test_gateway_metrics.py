"""The text that Prometheus reads."""

from __future__ import annotations

from pathlib import Path

from tuneloop.gateway.metrics import Metrics
from tuneloop.gateway.shared_counts import CountsFile, SharedCounts, left_in, read


def test_every_interaction_is_captured_or_dropped_for_a_reason() -> None:
    metrics = Metrics()
    for reason in (None, "opt_out", None, "disk_full"):
        metrics.accounted('de"sk', reason)
    lines = metrics.render({"tuneloop_routes_version": 4}).splitlines()
    assert r'tuneloop_served_total{endpoint="de\"sk"} 4' in lines
    assert r'tuneloop_captured_total{endpoint="de\"sk"} 2' in lines
    assert r'tuneloop_dropped_total{endpoint="de\"sk",reason="opt_out"} 1' in lines
    assert r'tuneloop_dropped_total{endpoint="de\"sk",reason="disk_full"} 1' in lines
    assert "tuneloop_routes_version 4" in lines


def test_histogram_buckets_are_cumulative() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.3, 500.0):
        metrics.answered(
            "desk", status=200, error=None, seconds=seconds, first_token_seconds=seconds
        )
    lines = metrics.render({}).splitlines()
    assert 'tuneloop_request_seconds_bucket{endpoint="desk",le="0.005"} 1' in lines
    assert 'tuneloop_request_seconds_bucket{endpoint="desk",le="0.5"} 2' in lines
    assert 'tuneloop_request_seconds_bucket{endpoint="desk",le="+Inf"} 3' in lines
    assert 'tuneloop_request_seconds_count{endpoint="desk"} 3' in lines
    assert 'tuneloop_first_token_seconds_count{endpoint="desk"} 3' in lines


def test_the_counts_of_all_processes_add_up_and_outlive_them(tmp_path: Path) -> None:
    mine, other = Metrics(), Metrics()
    for metrics in (mine, other, other):
        metrics.accounted("desk", None)
        metrics.answered("desk", status=200, error=None, seconds=0.3, first_token_seconds=None)
        metrics.refused["invalid_json"] += 1
    SharedCounts(other, tmp_path, "gateway-1").leave()
    shared = SharedCounts(mine, tmp_path, "gateway-0")
    shared.leave()
    mine.accounted("desk", "opt_out")
    text = shared.total().render({}).splitlines()
    assert 'tuneloop_served_total{endpoint="desk"} 4' in text
    assert 'tuneloop_captured_total{endpoint="desk"} 3' in text
    assert 'tuneloop_requests_total{endpoint="desk",status="200"} 3' in text
    assert 'tuneloop_request_seconds_count{endpoint="desk"} 3' in text
    assert 'tuneloop_refused_total{reason="invalid_json"} 3' in text
    assert shared.total().render({}).splitlines() == text  # counted once, however often it is asked


def test_counts_are_left_without_a_new_block_and_outgrow_their_file(tmp_path: Path) -> None:
    file = CountsFile(tmp_path / "gateway-0-1.counts")
    file.write(b"{}")
    inode, size = file.path.stat().st_ino, file.path.stat().st_size
    for number in range(50):
        file.write(b"%d" % number)
        assert read(file.path) == b"%d" % number
    assert (file.path.stat().st_ino, file.path.stat().st_size) == (inode, size)
    file.write(b"x" * size)
    assert read(file.path) == b"x" * size
    assert list(tmp_path.iterdir()) == [file.path]


def test_a_writer_killed_in_the_middle_leaves_what_it_wrote_before(tmp_path: Path) -> None:
    file = CountsFile(tmp_path / "gateway-0-1.counts")
    file.write(b"first")
    file.write(b"second")
    data = bytearray(file.path.read_bytes())
    data[data.index(b"second")] ^= 1
    file.path.write_bytes(data)
    assert read(file.path) == b"first"
    data[data.index(b"first")] ^= 1
    file.path.write_bytes(data)
    assert read(file.path) is None
    assert left_in(tmp_path).served == {}
