"""Stage 5: move the captured traffic into its tables, measure a window, move the alerts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from tuneloop.errors import TuneloopError
from tuneloop.modelfile import ModelFile
from tuneloop.monitoring import alerts, series
from tuneloop.monitoring.embedders import Embedder, embedder_of
from tuneloop.monitoring.embeddings import embed_missing
from tuneloop.monitoring.measurement import Measurement, not_measured
from tuneloop.monitoring.monitors.table import Monitor, chosen
from tuneloop.monitoring.monitors.tally import Tally
from tuneloop.monitoring.series import history
from tuneloop.monitoring.watched import Watched
from tuneloop.monitoring.window import Window
from tuneloop.progress import Progress
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.ingest import ingest
from tuneloop.workspace import Workspace

__all__ = ["collect_traffic", "history", "measure", "run_monitors"]

SPOOL_FOLDER = "spool"
_T = TypeVar("_T")


def run_monitors(
    workspace: Workspace,
    *,
    model_file: ModelFile,
    bundle: Bundle,
    endpoint: str,
    until: datetime | None = None,
    only: Collection[str] | None = None,
    embedder: Embedder | None = None,
    progress: Progress,
) -> list[Measurement]:
    """Measure one bundle's traffic of the last window before `until` (default: now).

    Measurements are stored; alerts of the model open, repeat and resolve. `only` these monitors
    (default: all); `embedder`: default, the one that the model file names.

    Raises:
        UsageError: there is no monitor of a name in `only`.
        ModelFileError: the embedder that it names is not there.
        StoreError: a store fails.
        BusyError: another process has been moving the captured traffic for a minute.
        ConflictError: somebody else moved an alert at the same moment; run it again.
    """
    table = chosen(only)
    now = workspace.now()
    end = until or now
    settings = model_file.settings.monitors
    collect_traffic(workspace, progress=progress)
    window = Window(
        endpoint=endpoint,
        bundle=bundle.id,
        start=end - timedelta(days=settings.window_days),
        end=end,
    )
    watched = Watched(
        workspace=workspace,
        bundle=bundle,
        window=window,
        settings=settings,
        embedder=embedder or embedder_of(settings.embedder, folder=model_file.folder),
    )
    measurements = measure(watched, table, progress=progress)
    series.store(workspace, measurements, bundle=bundle, endpoint=endpoint, now=now)
    # A kill before this leaves measurements without their alerts; the next run makes up for it,
    # since alerts follow from the state of the monitor, not from its changes.
    changes = alerts.apply(
        workspace, model=bundle.model, measurements=measurements, now=now, bundle=bundle.id
    )
    for measurement, change in zip(measurements, changes, strict=True):
        note = f"{measurement.monitor}: {measurement.message}"
        progress.note(note if change is None else f"{note} (alert {change})")
    return measurements


def collect_traffic(workspace: Workspace, *, progress: Progress) -> None:
    """Move what the gateway captured into the traffic tables.

    Raises:
        StoreError: the tables cannot be written; nothing is lost.
        BusyError: another process has been at it for a minute.
    """
    progress.step("Moving captured traffic into its tables")
    report = ingest(workspace.folder(SPOOL_FOLDER), workspace.traffic)
    progress.note(f"{report.interactions} interactions and {report.feedback} feedback records new")
    if report.torn:
        progress.note(f"{report.torn} lines of the capture were torn or unreadable and are lost")


def measure(watched: Watched, table: Sequence[Monitor], *, progress: Progress) -> list[Measurement]:
    """Let the window pass by these monitors, a batch at a time; nothing is stored but embeddings.

    What a monitor lacks, such as a package or the dataset, silences that monitor alone.

    Raises:
        StoreError: the interactions cannot be read.
    """
    begun = _begin(watched, table, progress)
    progress.step(f"Measuring {_days(watched.window)} of {watched.window.endpoint}")
    _stream(watched, [tally for tally in begun.values() if isinstance(tally, Tally)], progress)
    return [_measured(name, watched.window, tally) for name, tally in begun.items()]


def _begin(
    watched: Watched, table: Sequence[Monitor], progress: Progress
) -> dict[str, Tally | TuneloopError]:
    """An empty tally of each monitor, or why there is none."""
    stored: int | TuneloopError = 0
    if any(monitor.tally.reads_vectors for monitor in table):
        stored = _or_error(partial(_embed, watched, progress))
    return {
        monitor.name: stored
        if monitor.tally.reads_vectors and isinstance(stored, TuneloopError)
        else _or_error(partial(monitor.tally, watched))
        for monitor in table
    }


def _embed(watched: Watched, progress: Progress) -> int:
    return embed_missing(watched.workspace, watched.window, watched.embedder, progress=progress)


def _stream(watched: Watched, tallies: Sequence[Tally], progress: Progress) -> None:
    import polars as pl

    traffic, window = watched.workspace.traffic, watched.window
    counted = window.interactions(traffic).select(pl.len()).collect(engine="streaming")
    total, done = int(counted.item()), 0
    embedder = watched.embedder.name if any(tally.reads_vectors for tally in tallies) else None
    for batch in window.batches(traffic, embedder=embedder):
        for tally in tallies:
            tally.add(batch)
        done += batch.interactions.height
        progress.update(done, max(done, total))


def _measured(name: str, window: Window, tally: Tally | TuneloopError) -> Measurement:
    measured = _or_error(partial(tally.measure, window)) if isinstance(tally, Tally) else tally
    if isinstance(measured, TuneloopError):
        return not_measured(name, window, str(measured).replace("\n", " "))
    return measured


def _or_error(make: Callable[[], _T]) -> _T | TuneloopError:
    try:
        return make()
    except TuneloopError as e:
        return e


def _days(window: Window) -> str:
    return f"{(window.end - window.start) / timedelta(days=1):g} days"
