"""The gateway against other proxies: requests a second, added latency, memory.

    python benchmarks/bench_gateway.py [--repeats N] [--seconds S] [--requests N]

Same canned upstream (nginx that returns 300 bytes), one process each, on a core of its own;
upstream and load are on the other core(s). The proxies take turns, each started anew for its turn,
and the median over the turns counts. tuneloop is started as `tuneloop up` starts it, its spool on
disk.

- requests_per_second: wrk, 32 connections. added_ms: percentiles of the same runs less those of the
  upstream without a proxy: a closed loop under full load, so mostly waiting in line.
- added_ms_at_500_rps: from when a request was due at a constant rate (`gateway_bench.open_loop`).
- memory_mb: resident memory of tuneloop with capture, before and after --requests requests.

The last line is one JSON object, also written to benchmarks/results/gateway.json.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_bench import load, nginx, wrk
from gateway_bench.canned import MODEL, TEXT, request_body
from gateway_bench.installs import BENCH, MissingError, program
from gateway_bench.peers import AUTHORIZATION, Peer, Place, Started, Tuneloop, all_peers
from gateway_bench.processes import Cores, Running, accepts, answers, free_port
from gateway_bench.report import Comparison, Neighbours, difference, machine, median, write
from gateway_bench.wrk import WrkResult

CONNECTIONS = 32
RATE = 500
WARM_UP_SECONDS = 2
_ROOM = 1.2
"""A proxy that does fewer than so many times RATE would only show its queue there."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn of one proxy showed."""

    flat_out: WrkResult
    cpu_us: float
    """Processor time of the proxy for each request of the wrk run."""
    steady: dict[str, Any] | None
    """At RATE; None where the proxy cannot hold it."""


class Bench:
    """Tools, cores and settings of one run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.cores = Cores.of_this_machine()
        self._wrk, self._nginx = program("wrk"), program("nginx")
        self._options = options
        self._folder = folder
        self._turns = 0

    @contextmanager
    def upstream(self) -> Iterator[Started]:
        """The canned upstream, and how to ask it without a proxy."""
        port = free_port()
        configuration = nginx.canned_upstream(self._folder / "upstream", port)
        with Running(
            nginx.command(self._nginx, configuration),
            core=self.cores.upstream,
            log=self._folder / "upstream" / "log.txt",
            environment=self._nginx.environment,
        ) as running:
            running.wait_until(lambda: accepts(port), seconds=10)
            yield Started(running=running, port=port)

    def turn(self, peer: Peer, upstream: Started) -> Turn:
        """Start a proxy, load it, stop it."""
        started = self._start(peer, upstream)
        with started.running:
            turn = self.load(started)
            if isinstance(peer, Tuneloop) and peer.captures:
                _check_captured(started, turn.flat_out.requests)
            return turn

    def load(self, started: Started) -> Turn:
        """Both loads, after a warm-up."""
        self.wrk(started, WARM_UP_SECONDS)
        before = started.running.cpu_seconds()
        flat_out = self.wrk(started, self._options.seconds)
        cpu = started.running.cpu_seconds() - before
        steady = None
        if flat_out.per_second > RATE * _ROOM:
            seconds = self._options.seconds
            steady = load.open_loop(started.url, self.cores, rate=RATE, seconds=seconds)
            if steady["failed"]:
                raise RuntimeError(f"{steady['failed']} requests failed at {RATE} a second")
        return Turn(flat_out=flat_out, cpu_us=cpu / flat_out.requests * 1e6, steady=steady)

    def memory(self, upstream: Started) -> dict[str, Any]:
        """Resident memory of tuneloop with capture, over many requests."""
        from tuneloop.storage import spool

        peer = Tuneloop(capture=True)
        started = self._start(peer, upstream)
        folder = self._folder / f"turn-{self._turns}" / "spool"
        with started.running:
            self.wrk(started, WARM_UP_SECONDS)
            curve, sent = [started.running.memory_mb()], 0
            while sent < self._options.requests:
                sent += self.wrk(started, 5).requests
                curve.append(started.running.memory_mb())
                for segment in spool.sealed_segments(folder):
                    spool.remove(segment)  # as whoever moves them to the store does
            _check_captured(started, sent)
        rounded = [round(value, 1) for value in curve]
        return {"start": rounded[0], "end": rounded[-1], "curve": rounded, "requests": sent}

    def wrk(self, started: Started, seconds: float) -> WrkResult:
        """One run of wrk.

        Raises:
            RuntimeError: a request failed.
        """
        found = wrk.run(
            self._wrk,
            started.url,
            request_body(MODEL),
            authorization=AUTHORIZATION,
            core=self.cores.load,
            connections=CONNECTIONS,
            seconds=seconds,
            folder=self._folder,
        )
        if found.errors:
            raise RuntimeError(f"{found.errors} of {found.requests} requests failed")
        return found

    def _start(self, peer: Peer, upstream: Started) -> Started:
        self._turns += 1
        folder = self._folder / f"turn-{self._turns}"
        folder.mkdir()
        place = Place(
            folder=folder, upstream=f"127.0.0.1:{upstream.port}", cores=self.cores, streams=False
        )
        started = peer.start(place)
        try:
            started.running.wait_until(lambda: _answers(started), seconds=60)
        except BaseException:
            started.running.stop()
            raise
        return started


def _answers(started: Started) -> bool:
    """Whether the canned text comes through."""
    headers = {"content-type": "application/json", "authorization": AUTHORIZATION}
    return answers(started.url, request_body(MODEL), headers, text=TEXT)


def _check_captured(started: Started, requests: int) -> None:
    """Every request must be in the spool: without that, the figure is not that of capture."""
    with urllib.request.urlopen(f"http://127.0.0.1:{started.port}/metrics") as response:
        text = response.read().decode()
    captured, dropped = (
        sum(int(count) for count in re.findall(rf"^tuneloop_{what}_total{{.*}} (\d+)$", text, re.M))
        for what in ("captured", "dropped")
    )
    if captured < requests or dropped:
        raise RuntimeError(f"captured {captured} and dropped {dropped} of {requests} requests")


def main() -> int:
    """Compare and report."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the proxies on the way out
    BENCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="gateway-") as name:
        try:
            bench = Bench(options, Path(name))
        except MissingError as e:
            print(f"Expected nginx, as upstream, and wrk, as load: {e}.", file=sys.stderr)
            return 1
        where, neighbours = machine(bench.cores), Neighbours()
        comparison = Comparison(all_peers())
        direct: list[Turn] = []
        turns: dict[str, list[Turn]] = {name: [] for name in comparison.names}
        with bench.upstream() as upstream:
            for repeat in range(options.repeats):
                direct.append(bench.load(upstream))
                for peer in comparison.peers:
                    turn = comparison.turn(peer, lambda p=peer: bench.turn(p, upstream))
                    if turn is not None:
                        turns[peer.name].append(turn)
                        _print(repeat, peer.name, turn)
            memory = bench.memory(upstream) if options.requests else None
    result = _result(comparison, direct, turns, memory)
    settings = {
        "repeats": options.repeats,
        "seconds": options.seconds,
        "wrk": f"-t1 -c{CONNECTIONS}",
    }
    write(
        "gateway",
        result | {"settings": settings, "cores_used_by_others": neighbours.cores()} | where,
    )
    return 0


def _result(
    comparison: Comparison,
    direct: list[Turn],
    turns: dict[str, list[Turn]],
    memory: dict[str, Any] | None,
) -> dict[str, Any]:
    # A proxy that failed in a later turn has fewer turns: it is out altogether.
    kept = {name: [] if name in comparison.missing else found for name, found in turns.items()}
    speed = {name: median((t.flat_out.per_second for t in kept[name]), 1) for name in kept}
    added = {name: _added(found, direct) for name, found in kept.items()}
    cpu = {name: median((t.cpu_us for t in kept[name]), 1) for name in kept}
    ours, bare = speed["tuneloop"], speed["tuneloop_no_capture"]
    return {
        "requests_per_second": speed,
        "ratio_to_nginx": _ratio(ours, speed["nginx"]),
        "added_ms": added["tuneloop"]["flat_out"],
        "added_ms_at_500_rps": added["tuneloop"]["steady"],
        "memory_mb": None if memory is None else {key: memory[key] for key in ("start", "end")},
        "memory_curve_mb": memory and memory["curve"],
        "memory_requests": memory and memory["requests"],
        "capture_costs_share": _share(ours, bare),
        "capture_costs_share_of_cpu": _share(cpu["tuneloop_no_capture"], cpu["tuneloop"]),
        "ratio_to_nginx_without_keepalive": _ratio(ours, speed["nginx_without_keepalive"]),
        "ratio_to_litellm": _ratio(ours, speed["litellm"]),
        "ratio_to_tensorzero_embedded": _ratio(ours, speed["tensorzero_embedded"]),
        "added_ms_of_each": {name: one["flat_out"] for name, one in added.items()},
        "added_ms_at_500_rps_of_each": {name: one["steady"] for name, one in added.items()},
        "cpu_us_per_request": cpu,
        "every_requests_per_second": {
            name: [round(turn.flat_out.per_second, 1) for turn in found]
            for name, found in {"upstream": direct, **turns}.items()
        },
        "upstream_ms": {
            "p50": median(turn.flat_out.p50_ms for turn in direct),
            "p99": median(turn.flat_out.p99_ms for turn in direct),
        },
        "upstream_ms_at_500_rps": {
            "p50": median(_steady(turn, 50) for turn in direct),
            "p99": median(_steady(turn, 99) for turn in direct),
        },
        "generator_late_p99_ms": median(
            turn.steady["generator_late_p99_ms"] for turn in direct if turn.steady
        ),
        "left_out": comparison.missing,
        "versions": comparison.versions,
    }


def _added(found: list[Turn], direct: list[Turn]) -> dict[str, dict[str, float | None]]:
    """The proxy's percentiles less the upstream's of the same repeat; the median over the turns."""
    pairs = list(zip(found, direct, strict=False))
    flat = [(t.flat_out, d.flat_out) for t, d in pairs]
    return {
        "flat_out": {
            "p50": median(t.p50_ms - d.p50_ms for t, d in flat),
            "p99": median(t.p99_ms - d.p99_ms for t, d in flat),
        },
        "steady": {
            "p50": median(difference(_steady(t, 50), _steady(d, 50)) for t, d in pairs),
            "p99": median(difference(_steady(t, 99), _steady(d, 99)) for t, d in pairs),
        },
    }


def _steady(turn: Turn, percent: int) -> float | None:
    value: float | None = turn.steady and turn.steady[f"p{percent}_ms"]
    return value


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return round(ours / theirs, 3) if ours and theirs else None


def _share(smaller: float | None, larger: float | None) -> float | None:
    """By how much of the larger one the smaller one is less."""
    return round(1 - smaller / larger, 3) if smaller and larger else None


def _print(repeat: int, name: str, turn: Turn) -> None:
    steady = turn.steady or {}
    print(
        f"{repeat + 1} {name:20} {turn.flat_out.per_second:9.1f} requests/s "
        f"{turn.cpu_us:9.1f} µs of CPU each, at {RATE}/s p50 {steady.get('p50_ms')} "
        f"p99 {steady.get('p99_ms')} ms",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each proxy")
    parser.add_argument("--seconds", type=float, default=8, help="of each load in a turn")
    parser.add_argument(
        "--requests", type=int, default=500_000, help="for the memory figure; 0 leaves it out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
