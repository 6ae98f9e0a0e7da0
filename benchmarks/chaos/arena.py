"""A gateway process of its own with two endpoints: `calm`, whose model server is well, and `desk`.

The healthy model server says what it was asked, so that an answer to another question is noticed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from chaos.books import Books
from chaos.client import OK, Answer, Client
from chaos.load import Load
from chaos.trial import Trial
from chaos.waiting import wait_for
from tuneloop.deployment.processes import ChildProcess, free_port
from tuneloop.gateway import server
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, Key, RouteSnapshot, Target
from tuneloop.storage.traffic import Traffic
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

MEMORY_MB = 64.0
"""That a gateway may take more under an attack: some large requests are read whole."""
_SEGMENT_SECONDS = 0.2
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([\d.e+-]+)$", re.MULTILINE)


def echo(received: Received) -> Reply:
    """The healthy model server's answer."""
    said = echoed(received.body["messages"])
    return Reply(text=said, pieces=(said[:4], said[4:]))


def echoed(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the healthy model server says to these messages."""
    return f"re: {messages[-1]['content']}"


def route(url: str, **rules: Any) -> tuple[Endpoint, Target]:
    """An endpoint with one bundle, and where that is served."""
    name = rules.pop("bundle", "desk")
    return Endpoint(arms=(Arm(bundle=name),), **rules), Target(base_url=url, served_name=name)


class Arena:
    """Starts the gateway when the context begins and stops it at its end."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        through: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`flags`: more of the gateway; `through`: what to start it with in place of Python."""
        self.books = Books(folder / "spool", Traffic(str(folder / "traffic")))
        self.port = free_port()
        self._folder = folder
        self._command = [
            *server.command(
                routes=folder / "routes.json",
                spool=self.books.spool,
                port=self.port,
                segment_seconds=_SEGMENT_SECONDS,
            ),
            "--until-stdin-closes",
            *flags,
        ]
        if through:
            self._command = [*through, *self._command]
        self._environment = environment
        self._version = 0
        self._stack = ExitStack()

    def __enter__(self) -> Arena:
        self.calm = self._stack.enter_context(ScriptedUpstream(echo))
        self._publish()
        self._gateway = ChildProcess(
            self._command, log=self._folder / "gateway.log", environment=self._environment
        )
        self._stack.callback(self._gateway.stop, grace_seconds=5.0)
        wait_for(self._is_up, "the gateway to start")
        self._process = psutil.Process(self._gateway.pid)
        self._memory_at_start = self.memory_mb("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """Process id of the gateway."""
        return self._gateway.pid

    def route(
        self, url: str | None = None, *, keys: dict[str, Key] | None = None, **rules: Any
    ) -> None:
        """Serve `desk` at a base URL, the healthy one by default, and wait until it is so."""
        self._publish(url, keys=keys, **rules)
        wait_for(lambda: self.metric("tuneloop_routes_version") == self._version, "the new routes")

    def load(self, endpoint: str, clients: int, **options: Any) -> Load:
        """Clients of an endpoint."""
        return Load(self.port, endpoint, clients=clients, **options)

    def calm_load(self) -> Load:
        """Two ordinary clients, who come anew for each request: nothing may happen to them."""
        return self.load("calm", 2, connect_anew=True)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        text = self.get("/metrics").body.decode()
        return sum(
            float(value)
            for found, given, value in _SAMPLE.findall(text)
            if found == name and wanted <= set(given.split(","))
        )

    def get(self, path: str) -> Answer:
        """The answer to a GET."""
        with Client(self.port) as client:
            return client.send("GET", path)

    def client(self, *, key: str | None = None) -> Client:
        """One more client, until the gateway is stopped."""
        return self._stack.enter_context(Client(self.port, key=key))

    def memory_mb(self, kind: str = "VmHWM") -> float:
        """Resident memory: the most until now, or `VmRSS` as it is now; MB of 10^6 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return float(re.findall(rf"{kind}:\s+(\d+) kB", status)[0]) * 1024 / 1e6

    def descriptors(self) -> int:
        """Files and connections that the gateway has open."""
        return self._process.num_fds()

    def settle(self, trial: Trial, *, memory_mb: float = MEMORY_MB) -> list[dict[str, Any]]:
        """Stop the gateway and account for everything; returns the rows of the traffic table."""
        served, captured, dropped = (
            self.metric(f"tuneloop_{what}_total") for what in ("served", "captured", "dropped")
        )
        start, peak = self._memory_at_start, self.memory_mb()
        self._gateway.terminate()
        wait_for(lambda: self._gateway.exit_code is not None, "the gateway to stop")
        code = self._gateway.exit_code
        rows = self.books.close()
        trial.settle(rows, dropped=int(dropped))
        trial.outcome.memory_mb = {"start": round(start, 1), "most": round(peak, 1)}
        trial.expect(code == 0, f"the gateway to end with 0, got {code}")
        trial.expect(
            served == captured + dropped,
            f"served = captured + dropped, got {served:g}, {captured:g}, {dropped:g}",
        )
        trial.expect(
            captured == len(rows) and not self.books.unreadable,
            f"as many rows as captures ({captured:g}), got {len(rows)} and "
            f"{self.books.unreadable} that are none",
        )
        trial.expect(
            peak - start <= memory_mb,
            f"at most {memory_mb:g} MB more memory, got {peak - start:.1f}",
        )
        return rows

    def _publish(
        self, url: str | None = None, *, keys: dict[str, Key] | None = None, **rules: Any
    ) -> None:
        self._version += 1
        calm, calm_target = route(self.calm.base_url, bundle="calm")
        desk, desk_target = route(url or self.calm.base_url, **rules)
        snapshot = RouteSnapshot(
            version=self._version,
            endpoints={"calm": calm, "desk": desk},
            bundles={"calm": calm_target, "desk": desk_target},
            keys=keys,
            secret="5ec7e7" if keys else "",
        )
        routes.publish(snapshot, self._folder / "routes.json")

    def _is_up(self) -> bool:
        return self.get("/readyz").outcome == OK


def mixed_up(rows: Sequence[Mapping[str, Any]]) -> int:
    """How many successful answers of the healthy model server are to another question."""
    good = [row for row in rows if row["status"] == 200 and row["error"] is None]
    return sum(row["response"] != echoed(json.loads(row["messages"])) for row in good)


BENCHMARKS = os.fspath(Path(__file__).resolve().parents[1])
