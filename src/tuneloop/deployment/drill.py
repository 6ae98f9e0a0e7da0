"""Rehearses a rollback on the live endpoint and measures how long it takes.

Probes are sent all the time, over many connections, so that every gateway process is asked. The
time of a rollback runs from the command to the last probe *sent* that the bundle before still
answered: from then on every process answers from the other bundle. Probes ask for one token and are
not captured. Every drill goes there and back, and so ends where it began.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tuneloop.deployment import admission, endpoints, release, rollouts
from tuneloop.errors import BusyError, DeploymentError, UsageError
from tuneloop.intervals import order_statistic
from tuneloop.progress import Progress
from tuneloop.registry import audit
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace

_QUIET_SECONDS = 1.5
"""A switch counts as done when nobody was answered by the bundle before for so long."""
_WAIT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """What a drill measured."""

    rollback_seconds: Mapping[str, float]
    """p50 and p99 over all switches"""
    every_rollback_seconds: tuple[float, ...]
    probes: int
    failed_requests: int
    """Probes that got no answer, or an error."""
    connections: int


@dataclass(frozen=True, kw_only=True)
class Probing:
    """How to ask the live endpoint."""

    url: str
    """Of the gateway, with `/v1`."""
    endpoint: str
    messages: Sequence[Mapping[str, str]]
    connections: int = 16
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Seen:
    sent_at: float
    bundle: str | None
    """None: it failed."""


def drill(
    workspace: Workspace,
    probing: Probing,
    *,
    model: str,
    repeats: int,
    actor: str,
    progress: Progress,
) -> DrillReport:
    """Roll back and forth `repeats` times under probes.

    Raises:
        UsageError: there is no previous bundle, or no probe is answered.
        GateError: the previous bundle was rejected or rolled back: clients would be answered by it.
        DeploymentError: a switch did not take effect; the endpoint is put back.
    """
    before = endpoints.find(workspace, model)
    if before is None or before.previous is None or before.bundle is None:
        raise UsageError(
            f"{model} has no previous bundle to go back to.",
            remedy="A drill needs two deployments. See: tuneloop history",
        )
    if (rollout := rollouts.active(workspace, model)) is not None:
        raise BusyError(
            f"Rollout {rollout.id} of {model} is under way, and going back would end it.",
            remedy="Drill when it is done.",
        )
    admission.require_way_back(workspace, bundles.find(workspace, before.previous), drill=True)
    seconds = []
    with _Probes(probing) as probes:
        probes.wait_for(lambda: probes.answered_by(str(before.bundle)), "answer a probe")
        try:
            for number in range(2 * repeats):
                progress.update(number, 2 * repeats)
                seconds.append(_switch(workspace, probes, model=model, actor=actor))
        finally:
            _return(workspace, before, actor=actor)
    report = DrillReport(
        rollback_seconds={f"p{p}": round(order_statistic(seconds, p / 100), 4) for p in (50, 99)},
        every_rollback_seconds=tuple(round(duration, 4) for duration in seconds),
        probes=len(probes.seen),
        failed_requests=sum(probe.bundle is None for probe in probes.seen),
        connections=probing.connections,
    )
    with workspace.records.begin() as tx:
        audit.record(
            tx,
            model=model,
            actor=actor,
            action="endpoint.drill",
            detail={**vars(report), "rollback_seconds": dict(report.rollback_seconds)},
            now=workspace.now(),
        )
    return report


def _return(workspace: Workspace, before: endpoints.Endpoint, *, actor: str) -> None:
    """A drill that was stopped half-way leaves production as it was."""
    now = endpoints.find(workspace, before.model)
    if now is not None and (now.bundle, now.previous) == (before.previous, before.bundle):
        release.roll_back(
            workspace,
            model=before.model,
            actor=actor,
            reason="the rollback drill was stopped",
            drill=True,
        )


def _switch(workspace: Workspace, probes: _Probes, *, model: str, actor: str) -> float:
    """Roll back once; seconds from the command to the last probe that the old bundle answered."""
    began = time.monotonic()
    moved = release.roll_back(
        workspace, model=model, actor=actor, reason="rollback drill", drill=True
    )
    old, new = str(moved.previous), str(moved.bundle)

    def done() -> bool:
        late = [s.sent_at for s in probes.seen if s.bundle == old and s.sent_at > began]
        last = max(late, default=began)
        return probes.answered_by(new, since=began) and time.monotonic() - last > _QUIET_SECONDS

    probes.wait_for(done, f"be answered by {new[:12]}")
    late = [s.sent_at - began for s in probes.seen if s.bundle == old and s.sent_at > began]
    return max(late, default=0.0)


class _Probes:
    """Asks all the time, each connection one probe after the other."""

    def __init__(self, probing: Probing) -> None:
        self.probing = probing
        self.seen: list[_Seen] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, daemon=True) for _ in range(probing.connections)
        ]

    def __enter__(self) -> _Probes:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def answered_by(self, bundle: str, *, since: float = 0.0) -> bool:
        """Whether a probe sent since then was answered by the bundle."""
        return any(probe.bundle == bundle and probe.sent_at >= since for probe in self.seen)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until it is so.

        Raises:
            DeploymentError: it does not become so.
        """
        deadline = time.monotonic() + _WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"Expected the endpoint to {what} within {_WAIT_SECONDS:g} s; it did not.",
                    remedy="See: tuneloop status",
                )
            time.sleep(0.02)

    def _ask(self) -> None:
        parts = urlsplit(self.probing.url)
        connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=_WAIT_SECONDS
        )
        body, headers = json.dumps(self._body()), self._headers()
        while not self._stopping.is_set():
            sent_at = time.monotonic()
            try:
                connection.request("POST", f"{parts.path}/chat/completions", body, headers)
                answer = connection.getresponse()
                answer.read()
                bundle = answer.headers["x-tuneloop-bundle"] if answer.status == 200 else None
            except (OSError, http.client.HTTPException):
                connection.close()
                bundle = None
            self.seen.append(_Seen(sent_at=sent_at, bundle=bundle))
            if bundle is None:
                time.sleep(0.1)
        connection.close()

    def _body(self) -> dict[str, Any]:
        return {
            "model": self.probing.endpoint,
            "messages": [dict(message) for message in self.probing.messages],
            "max_tokens": 1,
        }

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "x-tuneloop-capture": "off"}
        if self.probing.key is not None:
            headers["authorization"] = f"Bearer {self.probing.key}"
        return headers
