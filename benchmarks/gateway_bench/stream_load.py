"""Streams that run side by side; a process of its own.

    python -m gateway_bench.stream_load --url U --model M --authorization A \
        --streams 200 --ramp-seconds 8 --seconds 16

The streams start evenly over the ramp and begin anew when they end, so that all of them run through
the window that follows, at different places in their answers, and arrivals meet a busy proxy.
Counted is the window: tokens that came, and first tokens that were awaited. A stream still without
one at the end counts with the time that it has waited by then. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import selectors
from typing import Any

from gateway_bench.canned import TOKEN, request_body
from gateway_bench.http1 import Connection, connect, request
from gateway_bench.open_loop import percentile_ms

_TOKEN = TOKEN.encode()
_KEEP = len(_TOKEN) - 1


class StreamLoad:
    """One run."""

    def __init__(self, url: str, data: bytes, *, streams: int) -> None:
        self.url, self.data = url, data
        self.tokens = 0
        """Of all streams together, so far."""
        self.failed = 0
        self.completed = 0
        self.lengths: set[int] = set()
        """Tokens of the completed streams."""
        self.first_tokens: list[tuple[float, float]] = []
        """When each came, and the seconds from the request to it."""
        self._slots = [_Slot(self) for _ in range(streams)]

    async def run(self, *, ramp_seconds: float, seconds: float) -> dict[str, Any]:
        """Ramp up, watch the window, leave."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, slot in enumerate(self._slots):
            await asyncio.sleep(start + number * ramp_seconds / len(self._slots) - loop.time())
            await slot.start()
        await asyncio.sleep(start + ramp_seconds - loop.time())
        window_start, tokens_before = loop.time(), self.tokens
        await asyncio.sleep(seconds)
        window_end, tokens = loop.time(), self.tokens - tokens_before
        waits = [wait for at, wait in self.first_tokens if at >= window_start]
        waiting = [window_end - slot.asked for slot in self._slots if slot.waiting]
        for slot in self._slots:
            slot.leave()
        return {
            "tokens_per_second": round(tokens / (window_end - window_start), 1),
            "tokens": self.tokens,
            "streams_completed": self.completed,
            "stream_tokens": sorted(self.lengths),
            "failed": self.failed,
            "first_tokens": len(waits),
            "still_waiting": len(waiting),
            **{f"first_token_p{n}_ms": percentile_ms(waits + waiting, n) for n in (50, 90, 99)},
        }


class _Slot:
    """One of the streams that run side by side."""

    def __init__(self, load: StreamLoad) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._leaving = False
        self.asked = 0.0
        self.waiting = False
        """Whether the first token has not come yet."""

    async def start(self) -> None:
        self._connection: Connection = await connect(self._load.url)
        self._ask()

    def leave(self) -> None:
        self._connection.close()

    def _ask(self) -> None:
        self.asked, self.waiting = self._loop.time(), True
        self._tail, self._tokens = b"", 0
        self._connection.send(self._load.data, self._body, self._end)

    def _body(self, piece: bytes) -> None:
        # The tail is shorter than a token: it completes one that two pieces share and repeats none.
        text = self._tail + piece
        self._tail = text[-_KEEP:]
        found = text.count(_TOKEN)
        if not found:
            return
        if self.waiting:
            now = self._loop.time()
            self._load.first_tokens.append((now, now - self.asked))
            self.waiting = False
        self._tokens += found
        self._load.tokens += found

    def _end(self, status: int | None) -> None:
        if status != 200:
            self._load.failed += 1
        else:
            self._load.completed += 1
            self._load.lengths.add(self._tokens)
        if self._connection.open:
            self._ask()


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    headers = {"authorization": options.authorization}
    data = request(options.url, request_body(options.model, stream=True), headers)
    load = StreamLoad(options.url, data, streams=options.streams)
    return await load.run(ramp_seconds=options.ramp_seconds, seconds=options.seconds)


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--authorization", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--ramp-seconds", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    gc.disable()
    # asyncio rounds epoll's time-outs up to whole milliseconds; select's are exact.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    print(json.dumps(loop.run_until_complete(_run(options))))


if __name__ == "__main__":
    main()
