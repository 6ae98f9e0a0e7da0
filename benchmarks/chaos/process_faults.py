"""What can happen to a gateway process itself: a kill, a full disk, a clock that jumps."""

from __future__ import annotations

import os
import resource
import struct
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.arena import BENCHMARKS, Arena, echo, mixed_up, route
from chaos.books import Books
from chaos.load import Load
from chaos.trial import Place, Trial
from chaos.waiting import wait_for
from tuneloop.deployment.gateways import GatewayPlace, Gateways
from tuneloop.deployment.supervisor import ProcessStatus, RestartTiming, Supervisor
from tuneloop.gateway import server
from tuneloop.registry import routes
from tuneloop.registry.routes import CaptureRule, RouteSnapshot
from tuneloop.storage.traffic import Traffic
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

_GATEWAYS = 2
_QUICKLY = RestartTiming(first_seconds=0.1, longest_seconds=0.1)
"""The supervisor waits longer after each crash in a row; here the crashes are ours."""
_DAY = 86_400
_SMALL_FILE_BYTES = 20_000
"""Some records, and the beginning of one more."""


def gateway_killed(trial: Trial, place: Place) -> None:
    """All gateway processes killed with -9 under load, again and again, while traffic is moved."""

    def script(received: Received) -> Reply:
        said = echo(received).text
        return Reply(text=said, pieces=tuple(said), piece_delay_seconds=0.001)

    with (
        ScriptedUpstream(script) as upstream,
        SupervisedGateways(place.folder, upstream.base_url) as gateways,
    ):
        with Load(gateways.port, "desk", clients=place.size.clients) as load:
            for _ in range(place.size.kills):
                load.wait_for(place.size.answers // 6)
                killed = time.monotonic()
                gateways.kill_all()
                trial.recovered(load.wait_for_success(killed))
                gateways.wait_until_ready()
                gateways.books.move()
            load.wait_for(place.size.answers // 6)
        gateways.stop()
        trial.count(load.answers, may_break=True)
        rows = gateways.books.close()
        trial.settle(rows, dropped=0)
        trial.expect(not mixed_up(rows), "every answer to its own question")


class SupervisedGateways:
    """Gateways on one socket, kept running as `tuneloop up` does it."""

    def __init__(self, folder: Path, upstream_url: str) -> None:
        self.books = Books(folder / "spool", Traffic(str(folder / "traffic")))
        endpoint, target = route(upstream_url)
        snapshot = RouteSnapshot(version=1, endpoints={"desk": endpoint}, bundles={"desk": target})
        routes.publish(snapshot, folder / "routes.json")
        self._place = GatewayPlace(
            routes=folder / "routes.json",
            spool=self.books.spool,
            run=folder / "run",
            logs=folder / "logs",
        )
        self._supervisor = Supervisor(folder / "up.lock", timing=_QUICKLY)
        self._status: Sequence[ProcessStatus] = ()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise)

    def __enter__(self) -> SupervisedGateways:
        self._listener = server.listen("127.0.0.1", 0)
        self._gateways = Gateways(self._place, self._listener, count=_GATEWAYS)
        self._thread.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where all of them accept connections."""
        return int(self._listener.getsockname()[1])

    def wait_until_ready(self) -> None:
        """Until every one of them runs."""
        wait_for(lambda: len(self._running()) == _GATEWAYS, "the gateways to start")

    def kill_all(self) -> None:
        """End them all with SIGKILL."""
        for pid in self._running():
            os.kill(pid, 9)

    def stop(self) -> None:
        """Stop the supervisor, and with it the gateways."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._thread.join()
            self._listener.close()

    def _running(self) -> list[int]:
        return [one.pid for one in self._status if one.status == "ready" and one.pid is not None]

    def _supervise(self) -> None:
        with self._supervisor:
            while not self._stopping.is_set():
                self._status = self._supervisor.reconcile(self._gateways.wanted)
                self._gateways.saw(self._status)
                time.sleep(0.05)


def disk_full(trial: Trial, place: Place) -> None:
    """The disk takes nothing, then less than a whole record, then all again.

    A limit on the size of the gateway's files stands for the full disk.
    """
    with Arena(place.folder) as arena, ScriptedUpstream(echo) as upstream:
        arena.route(upstream.base_url, capture=CaptureRule(required=True))
        with (
            arena.load("calm", place.size.clients) as calm,
            arena.load("desk", 2) as required,
        ):
            calm.wait_for(place.size.answers)
            unlimited = resource.prlimit(arena.pid, resource.RLIMIT_FSIZE, (0, -1))
            calm.wait_for(place.size.answers)
            feedback = arena.client().send(
                "POST",
                "/v1/feedback",
                b'{"interaction": "%b", "kind": "rating", "value": 1}' % (b"ab" * 16),
            )
            resource.prlimit(arena.pid, resource.RLIMIT_FSIZE, (_SMALL_FILE_BYTES, -1))
            calm.wait_for(place.size.answers)
            resource.prlimit(arena.pid, resource.RLIMIT_FSIZE, unlimited)
            freed = time.monotonic()
            trial.recovered(required.wait_for_success(freed))
            calm.wait_for(place.size.answers)
        trial.count(calm.answers)
        trial.count(required.answers, errors={"capture_unavailable"})
        trial.check(feedback, "feedback_not_stored", what="feedback that cannot be kept")
        refused = [a for a in required.answers if a.outcome != "ok"]
        trial.expect(refused, "refusals where every request must be captured, got none")
        arena.settle(trial)
        trial.expect(trial.outcome.dropped, "some answers counted as dropped, got none")


def clock_jumps(trial: Trial, place: Place) -> None:
    """The wall clock jumps a day ahead, two days back, to 1970, and home, under load."""
    offset = place.folder / "clock-offset"
    _set_clock(offset, 0)
    shifted = (sys.executable, "-m", "chaos.shifted_clock", str(offset))
    environment = {"PYTHONPATH": BENCHMARKS}
    with Arena(place.folder, through=shifted, environment=environment) as arena:
        with arena.load("calm", place.size.clients) as load:
            for seconds in (0, _DAY, -_DAY, -int(time.time()), 0):
                _set_clock(offset, seconds)
                jumped = time.monotonic()
                trial.recovered(load.wait_for_success(jumped))
                load.wait_for(place.size.answers // 4)
        trial.count(load.answers)
        rows = arena.settle(trial)
        days = {str(row["time"].date()) for row in rows}
        trial.expect(len(days) == 4, f"rows on four days, got {sorted(days)}")
        trial.expect(not mixed_up(rows), "every answer to its own question")


def _set_clock(file: Path, seconds: int) -> None:
    """Whole or not at all, for the gateway reads it all the time."""
    new = file.with_suffix(".new")
    new.write_bytes(struct.pack("<q", seconds))
    new.replace(file)
