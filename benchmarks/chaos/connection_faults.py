"""Crowds of connections that say nothing, little by little, or far too much."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from chaos.arena import Arena, mixed_up
from chaos.client import Answer, exchange, receive
from chaos.trial import Place, Trial
from chaos.waiting import wait_for

_LIMIT_SECONDS = 1
"""For headers, and for bodies, in these faults; the product's own limits are longer."""
_DRIP_SECONDS = 0.2
_MODEST_FILES = ("sh", "-c", 'ulimit -Sn 1024 && exec "$@"', "sh")
"""Starts a command with as few open files as most systems allow by default."""
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
_HUGE_BYTES = 100_000_000


def idle_connections(trial: Trial, place: Place) -> None:
    """Thousands of connections that are opened and left alone; half have asked something before.

    The gateway starts with a limit of 1,024 open files, as most systems set it.
    """
    count = place.size.connections
    _allow_open_files(count + 500)
    with Arena(place.folder, through=_MODEST_FILES) as arena, ExitStack() as crowd:
        open_files = arena.descriptors()
        with arena.calm_load() as calm:
            for number in range(count):
                idle = socket.create_connection(("127.0.0.1", arena.port), timeout=30)
                crowd.enter_context(idle)
                if number % 2:
                    sent_at = time.monotonic()
                    idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                    trial.check(receive(idle, sent_at=sent_at), "ok", what="a client of a crowd")
            wait_for(lambda: arena.descriptors() >= open_files + count, "all to be accepted")
            calm.wait_for(place.size.answers)
            crowd.close()
            left = time.monotonic()
            trial.recovered(calm.wait_for_success(left))
            wait_for(lambda: arena.descriptors() < open_files + 100, "the crowd to be let go")
        trial.count(calm.answers)
        rows = arena.settle(trial)
        trial.expect(not mixed_up(rows), "every answer to its own question")


def slow_headers(trial: Trial, place: Place) -> None:
    """Connections that send their headers a line at a time, for ever; each is closed."""
    first = _HEAD + b"content-length: 2\r\n"
    with _crowd(trial, place, "--header-seconds", first, lambda: b"x-more: and more\r\n") as ends:
        for end in ends:
            trial.outcome.sent += 1
            trial.outcome.answered += end.status in (0, 408)
            trial.expect(end.status in (0, 408), f"a slow head to be cut off, got {end.status}")


def slow_bodies(trial: Trial, place: Place) -> None:
    """Connections that send their body a byte at a time; each gets a 408."""
    first = _HEAD + b"content-length: 1000000\r\n\r\n"
    with _crowd(trial, place, "--body-seconds", first, lambda: b"x") as ends:
        for end in ends:
            trial.check(end, "request_timeout", what="a slow body")


def slow_chunks(trial: Trial, place: Place) -> None:
    """The same with a body of unknown length."""
    first = _HEAD + b"transfer-encoding: chunked\r\n\r\n"
    with _crowd(trial, place, "--body-seconds", first, lambda: b"1\r\nx\r\n") as ends:
        for end in ends:
            trial.check(end, "request_timeout", what="a slow body in chunks")


def huge_bodies(trial: Trial, place: Place) -> None:
    """Bodies of 100 MB: said beforehand, in chunks, and behind a length that says less."""
    block = b"x" * (1 << 16)
    blocks = _HUGE_BYTES // len(block)

    def honest() -> Iterator[bytes]:
        yield _HEAD + b"content-length: %d\r\n\r\n" % (blocks * len(block))
        yield from (block for _ in range(blocks))

    def chunked() -> Iterator[bytes]:
        yield _HEAD + b"transfer-encoding: chunked\r\n\r\n"
        yield from (b"%x\r\n%b\r\n" % (len(block), block) for _ in range(blocks))
        yield b"0\r\n\r\n"

    def understated() -> Iterator[bytes]:
        yield _HEAD + b"content-length: 10\r\n\r\n"
        yield from (block for _ in range(blocks))

    attacks: tuple[tuple[Callable[[], Iterable[bytes]], str], ...] = (
        (honest, "request_too_large"),
        (chunked, "request_too_large"),
        (understated, "invalid_json"),
    )
    with Arena(place.folder) as arena:
        with arena.calm_load() as calm, ThreadPoolExecutor(4) as several:
            for make, expected in attacks:
                sent = [several.submit(exchange, arena.port, make()) for _ in range(4)]
                for answer in sent:
                    trial.check(answer.result(), expected, what=f"100 MB, {make.__name__}")
            over = time.monotonic()
            trial.recovered(calm.wait_for_success(over))
            calm.wait_for(place.size.answers)
        trial.count(calm.answers)
        arena.settle(trial)


@contextmanager
def _crowd(
    trial: Trial, place: Place, flag: str, first: bytes, more: Callable[[], bytes]
) -> Iterator[list[Answer]]:
    """Attackers who send `first`, then `more` again and again; how each of them ended."""
    with Arena(place.folder, flag, str(_LIMIT_SECONDS)) as arena:
        with arena.calm_load() as calm:
            ends = _drip(arena.port, place.size.attackers, first, more)
            over = time.monotonic()
            trial.recovered(calm.wait_for_success(over))
            calm.wait_for(place.size.answers)
        trial.count(calm.answers)
        yield ends
        arena.settle(trial)


def _drip(port: int, attackers: int, first: bytes, more: Callable[[], bytes]) -> list[Answer]:
    """Send little by little on many connections until the gateway ends each of them."""
    sent_at, ends = time.monotonic(), []
    open_ones = [
        socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(attackers)
    ]
    for connection in open_ones:
        connection.sendall(first)
    while open_ones:
        if time.monotonic() - sent_at > 60:
            raise TimeoutError(f"{len(open_ones)} slow connections are still open after 60 s")
        time.sleep(_DRIP_SECONDS)
        for connection in list(open_ones):
            if _is_ended(connection, more()):
                with connection:
                    ends.append(receive(connection, sent_at=sent_at))
                open_ones.remove(connection)
    return ends


def _is_ended(connection: socket.socket, more: bytes) -> bool:
    """Send more; whether an answer or the end of the connection has come."""
    try:
        connection.setblocking(False)
        connection.send(more)
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(30)
    return True


def _allow_open_files(count: int) -> None:
    """For this process; what it starts may take as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
