"""A real gateway process, its files, and how tests talk to it."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from tuneloop.gateway import server
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, CaptureRule, Endpoint, RouteSnapshot, Target
from tuneloop.storage import spool
from tuneloop.storage.spool import Feedback, Interaction


@dataclass(kw_only=True)
class RunningGateway:
    """A gateway process, its files, and how to talk to it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    flags: tuple[str, ...] = ()
    version: int = 0
    _closing: list[openai.OpenAI] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def routes_file(self) -> Path:
        return self.folder / "routes.json"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def route(self, base_url: str, *, bundle: str = "b1", **target: Any) -> None:
        """Publish one endpoint, `desk`, served by one bundle."""
        self.version += 1
        capture = target.pop("capture", True)
        snapshot = RouteSnapshot(
            version=self.version,
            endpoints={
                "desk": Endpoint(arms=(Arm(bundle=bundle),), capture=CaptureRule(enabled=capture))
            },
            bundles={bundle: Target(base_url=base_url, served_name=f"served-{bundle}", **target)},
        )
        routes.publish(snapshot, self.routes_file)

    def start(self) -> None:
        command = server.command(
            routes=self.routes_file, spool=self.spool, port=self.port, segment_seconds=0.2
        )
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *self.flags], stdout=log, stderr=log)
        wait_for(lambda: self.get("/healthz") == (200, b'{"status":"ok"}'))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(15)

    def client(self, **options: Any) -> openai.OpenAI:
        made = openai.OpenAI(
            base_url=f"{self.url}/v1",
            **{"api_key": "none", "max_retries": 0, "timeout": 20} | options,
        )
        self._closing.append(made)
        return made

    def get(self, path: str) -> tuple[int, bytes]:
        return self.call(path)

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and body; status 0 when nothing answers."""
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read()
        except OSError:
            return 0, b""

    def metric(self, line: str) -> float:
        """The value of one line of /metrics; 0 when it is not there."""
        for found in self.get("/metrics")[1].decode().splitlines():
            if found.startswith(line + " "):
                return float(found.rsplit(" ", 1)[1])
        return 0.0

    def records(self) -> list[Interaction | Feedback]:
        """Everything on the spool, in order; waits until nothing is being written."""
        if self.process is None or self.process.poll() is not None:
            spool.seal_stale(self.spool)
        wait_for(lambda: not list(self.spool.glob("*.open")))
        segments = [spool.read_segment(path) for path in spool.sealed_segments(self.spool)]
        assert sum(segment.unreadable_lines for segment in segments) == 0
        return [record for segment in segments for record in segment.records]

    def interactions(self) -> list[Interaction]:
        return [record for record in self.records() if isinstance(record, Interaction)]

    def close(self) -> None:
        for client in self._closing:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            self.kill()


def wait_for(condition: Callable[[], object], *, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
