"""The gateway against other proxies with streams: time to first token, tokens a second.

    python benchmarks/bench_gateway_stream.py [--repeats N] [--streams N] [--tokens N]

200 streams of 200 tokens side by side, one event a token, all the time as many
(`gateway_bench.stream_load`), before one upstream that keeps its pace
(`gateway_bench.stream_upstream`). One process each, on a core of its own, in turns; medians.

- added_first_token_ms: percentiles of the time to the first token less those without a proxy, at a
  pace of 15 tokens a second for each stream (3,000 together).
- tokens_per_second: what comes through when 20,000 together are offered, more than a Python proxy
  passes on. What cannot be passed on event by event piles up and goes in larger pieces.

The last line is one JSON object, also written to benchmarks/results/gateway-stream.json.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_bench import load
from gateway_bench.canned import MODEL, TOKEN, request_body
from gateway_bench.installs import BENCH
from gateway_bench.peers import AUTHORIZATION, Peer, Place, Started, all_peers
from gateway_bench.processes import Cores, Running, accepts, answers, free_port
from gateway_bench.report import Comparison, Neighbours, difference, machine, median, write


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn showed at both paces, as `gateway_bench.stream_load` prints it."""

    relaxed: dict[str, Any]
    offered: dict[str, Any]


class Bench:
    """Cores and settings of one run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.cores = Cores.of_this_machine()
        self._options = options
        self._folder = folder
        self._turns = 0

    def turn(self, peer: Peer | None) -> Turn:
        """One proxy at both paces; None: no proxy."""
        relaxed, offered = (
            self._at_pace(peer, together / self._options.streams)
            for together in (self._options.relaxed, self._options.offered)
        )
        return Turn(relaxed=relaxed, offered=offered)

    def _at_pace(self, peer: Peer | None, tokens_per_second: float) -> dict[str, Any]:
        with self._upstream(tokens_per_second) as upstream:
            started = upstream if peer is None else self._start(peer, upstream)
            with started.running:
                # As long as a stream takes, so that the streams are spread evenly.
                ramp = min(self._options.tokens / tokens_per_second, self._options.seconds)
                before = started.running.cpu_seconds()
                found = load.streams(
                    started.url,
                    self.cores,
                    streams=self._options.streams,
                    ramp_seconds=ramp,
                    seconds=self._options.seconds,
                )
                cpu = started.running.cpu_seconds() - before
        if found["failed"] or set(found["stream_tokens"]) - {self._options.tokens}:
            raise RuntimeError(
                f"{found['failed']} streams failed; lengths {found['stream_tokens']}"
            )
        return found | {"cpu_us_per_token": cpu / max(1, found["tokens"]) * 1e6}

    @contextmanager
    def _upstream(self, tokens_per_second: float) -> Iterator[Started]:
        port = free_port()
        command = load.python_module(
            "stream_upstream",
            port=port,
            tokens=self._options.tokens,
            tokens_per_second=tokens_per_second,
        )
        with Running(
            command,
            core=self.cores.upstream,
            log=self._folder / "upstream.txt",
            environment=load.ENVIRONMENT,
        ) as running:
            running.wait_until(lambda: accepts(port), seconds=10)
            yield Started(running=running, port=port)

    def _start(self, peer: Peer, upstream: Started) -> Started:
        self._turns += 1
        folder = self._folder / f"turn-{self._turns}"
        folder.mkdir()
        place = Place(
            folder=folder, upstream=f"127.0.0.1:{upstream.port}", cores=self.cores, streams=True
        )
        started = peer.start(place)
        try:
            started.running.wait_until(lambda: _streams(started), seconds=60)
        except BaseException:
            started.running.stop()
            raise
        return started


def _streams(started: Started) -> bool:
    """Whether a stream begins; that all of it comes is checked under load."""
    headers = {"content-type": "application/json", "authorization": AUTHORIZATION}
    body = request_body(MODEL, stream=True)
    return answers(started.url, body, headers, text=TOKEN)


def main() -> int:
    """Compare and report."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the proxies on the way out
    BENCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="gateway-stream-") as name:
        bench = Bench(options, Path(name))
        where, neighbours = machine(bench.cores), Neighbours()
        comparison = Comparison(all_peers())
        direct: list[Turn] = []
        turns: dict[str, list[Turn]] = {name: [] for name in comparison.names}
        for repeat in range(options.repeats):
            direct.append(bench.turn(None))
            _print(repeat, "upstream", direct[-1])
            for peer in comparison.peers:
                turn = comparison.turn(peer, lambda p=peer: bench.turn(p))
                if turn is not None:
                    turns[peer.name].append(turn)
                    _print(repeat, peer.name, turn)
    result = _result(comparison, direct, turns)
    settings = {"settings": vars(options), "cores_used_by_others": neighbours.cores()}
    write("gateway-stream", result | settings | where)
    return 0


def _result(
    comparison: Comparison, direct: list[Turn], turns: dict[str, list[Turn]]
) -> dict[str, Any]:
    # A proxy that failed in a later turn has fewer turns: it is out altogether.
    kept = {name: [] if name in comparison.missing else found for name, found in turns.items()}
    speed = {name: median((_speed(turn) for turn in kept[name]), 1) for name in kept}
    added = {name: _added(found, direct) for name, found in kept.items()}
    ours, nginx = speed["tuneloop"], speed["nginx"]
    everyone = {"upstream": direct, **kept}
    return {
        "tokens_per_second": speed,
        "ratio_to_nginx": round(ours / nginx, 3) if ours and nginx else None,
        "added_first_token_ms": added["tuneloop"],
        "added_first_token_ms_of_each": added,
        "first_token_ms_of_upstream": {
            key: median(turn.relaxed[f"first_token_{key}_ms"] for turn in direct)
            for key in ("p50", "p99")
        },
        "tokens_per_second_at_relaxed_pace": {
            name: median((turn.relaxed["tokens_per_second"] for turn in found), 1)
            for name, found in everyone.items()
        },
        "cpu_us_per_token": {
            name: median((turn.relaxed["cpu_us_per_token"] for turn in found), 1)
            for name, found in everyone.items()
        },
        "every_tokens_per_second": {
            name: [_speed(turn) for turn in found] for name, found in everyone.items()
        },
        "every_first_token_p50_ms": {
            name: [turn.relaxed["first_token_p50_ms"] for turn in found]
            for name, found in everyone.items()
        },
        "still_waiting_at_relaxed_pace": {
            name: [turn.relaxed["still_waiting"] for turn in found]
            for name, found in everyone.items()
        },
        "left_out": comparison.missing,
        "versions": comparison.versions,
    }


def _speed(turn: Turn) -> float:
    speed: float = turn.offered["tokens_per_second"]
    return speed


def _added(found: list[Turn], direct: list[Turn]) -> dict[str, float | None]:
    """The proxy's percentiles less the upstream's of the same repeat; the median over the turns."""
    added = {}
    for key in ("p50", "p99"):
        name = f"first_token_{key}_ms"
        pairs = zip(found, direct, strict=False)
        added[key] = median(difference(t.relaxed[name], d.relaxed[name]) for t, d in pairs)
    return added


def _print(repeat: int, name: str, turn: Turn) -> None:
    relaxed = turn.relaxed
    print(
        f"{repeat + 1} {name:20} {_speed(turn):9.1f} tokens/s; relaxed: "
        f"{relaxed['tokens_per_second']:8.1f} tokens/s, {relaxed['cpu_us_per_token']:7.1f} µs of "
        f"CPU each, first token p50 {relaxed['first_token_p50_ms']} "
        f"p99 {relaxed['first_token_p99_ms']} ms",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="turns of each proxy")
    parser.add_argument("--streams", type=int, default=200, help="side by side")
    parser.add_argument("--tokens", type=int, default=200, help="of each stream")
    parser.add_argument("--seconds", type=float, default=20, help="that count, of each load")
    parser.add_argument(
        "--relaxed", type=float, default=3_000, help="tokens a second together, for first tokens"
    )
    parser.add_argument(
        "--offered", type=float, default=20_000, help="tokens a second together, for the most"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
