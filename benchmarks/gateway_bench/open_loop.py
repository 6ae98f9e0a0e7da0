"""Requests at a constant rate, whatever becomes of the earlier ones; a process of its own.

    python -m gateway_bench.open_loop --url U --model M --authorization A \
        --rate 500 --seconds 10

A request's latency counts from the moment at which it was due, so that neither a busy generator
nor a slow proxy hides waiting (no coordinated omission). There are as many connections as it takes.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import selectors
import statistics
from functools import partial
from typing import Any

from gateway_bench.canned import request_body
from gateway_bench.http1 import Connection, connect, request

_MOST_CONNECTIONS = 800
"""Below what select() takes. A proxy that needs more at one time does not hold the rate."""
_GRACE_SECONDS = 5.0
_SKIPPED_SHARE = 0.1
"""The first part of a run warms connections up and does not count."""


class OpenLoop:
    """One run: when each request was due, and how long after that it was answered."""

    def __init__(self, url: str, data: bytes, *, rate: float, seconds: float) -> None:
        self._url, self._data = url, data
        self._rate, self._count = rate, int(rate * seconds)
        self._idle: list[Connection] = []
        self._connections = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        """Seconds, in the order of the answers; without the first part."""
        self.lateness: list[float] = []
        """Seconds by which the generator itself was late."""
        self.failed = 0
        self.answered = 0

    async def run(self) -> None:
        """Send everything, then wait a little for the last answers."""
        self._loop = asyncio.get_running_loop()
        start = self._loop.time() + 0.05
        for number in range(self._count):
            due = start + number / self._rate
            wait = due - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            self._send(number, due)
        deadline = self._loop.time() + _GRACE_SECONDS
        while self.answered + self.failed < self._count and self._loop.time() < deadline:
            await asyncio.sleep(0.02)

    def _send(self, number: int, due: float) -> None:
        self.lateness.append(self._loop.time() - due)
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                self._ask(connection, number, due)
                return
            self._connections -= 1
        if self._connections >= _MOST_CONNECTIONS:
            self.failed += 1
            return
        self._connections += 1
        task = self._loop.create_task(self._connect_and_ask(number, due))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect_and_ask(self, number: int, due: float) -> None:
        try:
            self._ask(await connect(self._url), number, due)
        except OSError:
            self._connections -= 1
            self.failed += 1

    def _ask(self, connection: Connection, number: int, due: float) -> None:
        connection.send(self._data, _ignore, partial(self._end, connection, number, due))

    def _end(self, connection: Connection, number: int, due: float, status: int | None) -> None:
        if connection.open:
            self._idle.append(connection)
        else:
            self._connections -= 1
        if status != 200:
            self.failed += 1
            return
        self.answered += 1
        if number >= self._count * _SKIPPED_SHARE:
            self.latencies.append(self._loop.time() - due)

    def figures(self) -> dict[str, Any]:
        """What the run showed; times in ms."""
        found = {
            "sent": self._count,
            "answered": self.answered,
            "failed": self._count - self.answered,
            "connections": self._connections,
            "generator_late_p99_ms": percentile_ms(self.lateness, 99),
        }
        return found | {f"p{n}_ms": percentile_ms(self.latencies, n) for n in (50, 90, 99)}


def percentile_ms(seconds: list[float], percent: int) -> float | None:
    """The percentile in ms, by linear interpolation; None below 100 values."""
    if len(seconds) < 100:
        return None
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000, 4)


def _ignore(piece: bytes) -> None:
    """The answer's content was checked before the load."""


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--authorization", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    headers = {"authorization": options.authorization}
    data = request(options.url, request_body(options.model), headers)
    run = OpenLoop(options.url, data, rate=options.rate, seconds=options.seconds)
    gc.disable()
    # asyncio rounds epoll's time-outs up to whole milliseconds; select's are exact.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(run.run())
    print(json.dumps(run.figures()))


if __name__ == "__main__":
    main()
