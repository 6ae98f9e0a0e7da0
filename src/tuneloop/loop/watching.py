"""The stages after the switch: monitor and retrain, and what people may ask of the traffic."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Literal

from tuneloop import review
from tuneloop.arguments import checked_methods
from tuneloop.errors import UsageError
from tuneloop.lineage import erasure, retention, tracing
from tuneloop.lineage.erasure_record import Erasure
from tuneloop.loop.held import Held
from tuneloop.monitoring import acceptance, alerts, series
from tuneloop.monitoring import stage as monitoring
from tuneloop.monitoring.acceptance import Accepted
from tuneloop.monitoring.alerts import Alert, AlertEvent
from tuneloop.monitoring.measurement import Measurement
from tuneloop.monitoring.monitors import table
from tuneloop.online_evaluation import measuring
from tuneloop.retraining.cycle import run_cycle
from tuneloop.retraining.cycle_end import CycleResult
from tuneloop.storage.ingest import IngestReport
from tuneloop.storage.retention import Pruned


@checked_methods
class Watching(Held):
    """What is live, watched, and followed by the next one."""

    # Stage 5: monitor

    def ingest(self) -> IngestReport:
        """Move what the gateway captured into the traffic tables.

        What was captured in the last seconds comes with the next call.

        Raises:
            BusyError: another process has been moving the captured traffic for a minute.
        """
        return self.project.ingest()

    def monitor(self, *, only: Collection[str] | None = None) -> list[Measurement]:
        """Measure the last window of traffic of the bundle in production.

        `only`: names of monitors, such as `["format_compliance"]`; None: all.

        Raises:
            UsageError: nothing is in production, or there is no such monitor.
            BusyError: another process has been moving the captured traffic for a minute.
        """
        return measuring.measure(self.project, only=only)

    def measurements(
        self, *, monitor: str | None = None, limit: int | None = None
    ) -> list[Measurement]:
        """Earlier measurements, the newest first: of one monitor or all, at most `limit`.

        Raises:
            UsageError: nothing was measured by this name, and there is no such monitor.
        """

        name = self.model.name
        measurements = monitoring.history(self.workspace, model=name, monitor=monitor, limit=limit)
        if monitor is not None and not measurements:
            table.chosen([monitor])
        return measurements

    def accept(self, monitor: str, *, reason: str) -> Accepted:
        """Call the last window of a monitor normal: its baseline is made anew from it on.

        `reason` goes into the audit log. An alert of it resolves when it is measured next.

        Raises:
            UsageError: there is no such monitor, no window that could be normal, or the monitor's
                limit is fixed; or nothing is in production.
        """
        bundle = self.project.bundle("production")
        return acceptance.accept(
            self.workspace,
            self._last_of(monitor, bundle.id),
            bundle=bundle,
            endpoint=self.model.endpoint_name,
            actor=self.actor,
            reason=reason,
        )

    def undo_accept(self, monitor: str, *, reason: str) -> Accepted:
        """Take back what was called normal last; what stood before it stands again.

        Raises:
            UsageError: nothing was called normal, or nothing is in production.
        """
        return acceptance.undo(
            self.workspace,
            monitor,
            bundle=self.project.bundle("production"),
            endpoint=self.model.endpoint_name,
            actor=self.actor,
            reason=reason,
        )

    def accepted(self) -> list[Accepted]:
        """All that was called normal, taken back or not, the newest first."""
        return acceptance.listing(self.workspace, self.model.name)

    def _last_of(self, monitor: str, bundle: str) -> Measurement:
        table.chosen([monitor])
        last = series.newest(self.workspace, model=self.model.name, bundle=bundle).get(monitor)
        if last is None:
            raise UsageError(
                f"The monitor {monitor!r} has not measured the bundle in production yet.",
                remedy=f"Measure it first: tuneloop monitor run --only {monitor}",
            )
        return last

    def alerts(self, *, all_: bool = False) -> list[Alert]:
        """Alerts that are not resolved, or all, the newest first."""
        return alerts.listing(self.workspace, self.model.name, unresolved_only=not all_)

    def alert_events(self, alert: str) -> list[AlertEvent]:
        """The life of an alert, named by its id, the oldest step first."""
        return alerts.events(self.workspace, alert)

    def acknowledge(self, alert: str) -> None:
        """Say that somebody looks after an alert, named by its id.

        Raises:
            UsageError: there is no such alert, or it is resolved.
        """
        alerts.acknowledge(self.workspace, alert, actor=self.actor)

    def prune(self, *, older_than: timedelta | None = None, dry_run: bool = False) -> Pruned:
        """Remove captured traffic that is older than that, else than `endpoint.retention_days`.

        Raises:
            UsageError: neither says how long it is kept.
        """
        return retention.prune(
            self.workspace,
            model=self.model.name,
            older_than=retention.kept_for(self.model) if older_than is None else older_than,
            actor=self.actor,
            dry_run=dry_run,
        )

    def interactions(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """Captured interactions of this endpoint, the newest first; at most `limit`."""

        self.ingest()
        return tracing.interactions(self.workspace, self.model.endpoint_name, limit=limit)

    def trace(self, interaction: str) -> dict[str, Any]:
        """One interaction, by its id, with its feedback and the bundle that answered it.

        Raises:
            UsageError: it was not captured.
        """

        self.ingest()
        return tracing.trace(self.workspace, interaction)

    def erase(
        self,
        by: Literal["user", "conversation", "interaction"],
        value: str,
        *,
        dry_run: bool = False,
    ) -> Erasure:
        """Delete a person's traffic, feedback and review items in every model of the workspace.

        Names every dataset version, run, bundle and endpoint that they reached, what cannot be
        undone, and what to do.

        Raises:
            NotAllowedError: people are declared, and whoever acts is no administrator.
            BusyError: captured traffic is being moved.
        """
        return erasure.erase(
            self.workspace,
            by,
            value,
            actor=self.actor,
            dry_run=dry_run,
            progress=self.progress,
        )

    # Stage 6: retrain

    def collect_corrections(self) -> int:
        """Put new edits from production into the review queue; how many were new."""
        return review.collect_corrections(self.project)

    def run(self, *, reason: str = "started by hand", force: bool = False) -> CycleResult:
        """One cycle: prepare, train, evaluate, decide, deploy.

        `reason` is kept with it. With `force` also where nothing is new. A refused candidate is a
        result, no error.

        Raises:
            BusyError: another cycle of this model is running.
            TuneloopError: a step failed; production is unchanged, the next call continues.
        """
        return run_cycle(self.project, reason=reason, force=force)
