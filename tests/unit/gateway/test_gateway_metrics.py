"""The text that Prometheus reads."""

from __future__ import annotations

from tuneloop.gateway.metrics import Metrics


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
