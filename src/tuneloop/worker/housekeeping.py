"""What must be looked after while a workspace is served: dropped captures, what is too old, logs.

A chore of the worker. Nothing that it does can slow or end the serving.
"""

from __future__ import annotations

import logging
import os
import shutil
from datetime import datetime, timedelta
from functools import partial

from tuneloop.deployment import endpoints
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.gateway import shared_counts
from tuneloop.lineage import retention
from tuneloop.monitoring import alerts, capture_drops
from tuneloop.monitoring.capture_drops import Spell
from tuneloop.storage.spool import DropReason
from tuneloop.worker.complaints import Complaints
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)

ACTOR = "housekeeping"
_PRUNE_EVERY = timedelta(days=1)
_PRUNE_AGAIN = timedelta(minutes=10)
"""After a failure."""
_LOG_BYTES = 50_000_000
_FAULTS = {str(reason) for reason in DropReason}
"""Drops that nobody asked for: an opt-out, for one, is none."""


class Housekeeping:
    """What is remembered from one look to the next."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._began = workspace.now()
        self._spells: dict[str, Spell] = {}
        self._prune_at = self._began
        self._complaints = Complaints(_log)

    def step(self) -> None:
        """Look once; what fails is tried again and keeps nothing else from being done."""
        now = self._workspace.now()
        self._complaints.heard("captures", lambda: self._watch_captures(now))
        self._complaints.heard("logs", self._cut_logs)
        if now >= self._prune_at:
            self._complaints.heard("retention", lambda: self._prune_all(now))

    def _cut_logs(self) -> None:
        """Keep the last 50 MB of a log beside what is written now; the file stays the same one.

        Its writers append to a descriptor that they do not open again, so it is copied and cut
        (logrotate's copytruncate): a line written in between is lost.
        """
        for log in self._workspace.folder("logs").glob("*.log"):
            if log.stat().st_size > _LOG_BYTES:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)

    def _watch_captures(self, now: datetime) -> None:
        """Speak of what the gateways dropped; the spell moves on when that has been recorded."""
        run = self._workspace.folder("run")
        dropped: dict[str, dict[str, int]] = {}
        for (name, reason), count in shared_counts.left_in(run).dropped.items():
            if reason in _FAULTS:
                dropped.setdefault(name, {})[reason] = count
        for endpoint in endpoints.listing(self._workspace):
            self._watch_endpoint(endpoint, dropped.get(endpoint.name, {}), now)

    def _watch_endpoint(self, endpoint: Endpoint, counts: dict[str, int], now: datetime) -> None:
        before = self._spells.get(endpoint.name, Spell(spoke_at=self._began))
        spell, said = capture_drops.look(before, counts, now, where=_room(self._workspace))
        if said is not None:
            moved = alerts.apply(
                self._workspace, model=endpoint.model, measurements=[said], now=now
            )
            if moved != [None]:
                fields = {"endpoint": endpoint.name, "alert": said.monitor, "change": moved[0]}
                bad = said.verdict == "alert"
                level = logging.WARNING if bad else logging.INFO
                _log.log(level, "%s: %s", endpoint.name, said.message, extra=fields)
        self._spells[endpoint.name] = spell

    def _prune_all(self, now: datetime) -> None:
        self._prune_at = now + _PRUNE_AGAIN
        done = [
            self._complaints.heard(f"retention of {endpoint.name}", partial(self._prune, endpoint))
            for endpoint in endpoints.listing(self._workspace)
            if endpoint.settings.get("retention_days") is not None
        ]
        if all(done):
            self._prune_at = now + _PRUNE_EVERY

    def _prune(self, endpoint: Endpoint) -> None:
        days = endpoint.settings["retention_days"]
        pruned = retention.prune(
            self._workspace, model=endpoint.model, older_than=timedelta(days=days), actor=ACTOR
        )
        _log.info(
            "%s: %d interactions older than %g days removed.",
            endpoint.name,
            pruned.interactions,
            days,
            extra={
                "endpoint": endpoint.name,
                "bytes_before": pruned.bytes_before,
                "bytes_after": pruned.bytes_after,
            },
        )


def _room(workspace: Workspace) -> str:
    spool = workspace.folder("spool")
    return f"The disk of {spool} has {shutil.disk_usage(spool).free / 1e6:,.0f} MB free."
