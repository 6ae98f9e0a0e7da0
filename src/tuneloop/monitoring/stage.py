"""Stage 5: move the captured traffic into its tables, measure a window, move the alerts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from tuneloop.embedders import Embedder, embedder_of
from tuneloop.errors import ExtensionError, TuneloopError
from tuneloop.hashing import canonical_json
from tuneloop.metric_names import is_monitor
from tuneloop.modelfile import ModelFile
from tuneloop.monitoring import alerts, late, series
from tuneloop.monitoring.embeddings import embed_missing
from tuneloop.monitoring.measurement import Measurement, not_measured
from tuneloop.monitoring.monitors import metrics
from tuneloop.monitoring.monitors.table import Monitor, chosen, failed
from tuneloop.monitoring.monitors.table import levels as levels_of
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
    (default: all that apply to its task); `embedder`: default, the one that the model file names.

    Raises:
        UsageError: there is no monitor of a name in `only`.
        ModelFileError: the embedder that it names is not there.
        StoreError: a store fails.
        BusyError: another process has been moving the captured traffic for a minute.
        ConflictError: somebody else moved an alert at the same moment; run it again.
    """
    table = chosen(only, task=bundle.manifest.task.as_json())
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
    table |= metrics.wanted(only, settings, workspace.traffic, window)
    watched = Watched(
        workspace=workspace,
        bundle=bundle,
        window=window,
        settings=settings,
        embedder=embedder or embedder_of(settings.embedder, folder=model_file.folder),
        timeout_seconds=model_file.settings.endpoint.first_token_seconds,
    )
    others = {name: one for name, one in table.items() if is_monitor(name)}
    levels = levels_of(
        model_file.settings,
        bundle.manifest.task.as_json(),
        metrics.counted(workspace, model_file.settings) | others,
    )
    measurements = measure(watched, table, levels=levels, progress=progress)
    kept = _kept(workspace, measurements, table, model=bundle.model)
    series.store(workspace, kept, bundle=bundle, endpoint=endpoint, now=now)
    # A kill before this leaves measurements without their alerts; the next run makes up for it,
    # since alerts follow from the state of the monitor, not from its changes.
    changes = alerts.apply(
        workspace, model=bundle.model, measurements=measurements, now=now, bundle=bundle.id
    )
    for measurement, change in zip(measurements, changes, strict=True):
        if change is not None:
            progress.note(f"{measurement.monitor}: alert {change}")
    return measurements


def _kept(
    workspace: Workspace,
    measurements: Sequence[Measurement],
    table: Mapping[str, Monitor | ExtensionError],
    *,
    model: str,
) -> list[Measurement]:
    """The measurements that are worth storing: of what looks every hour, the news."""
    hourly = {
        name
        for name, monitor in table.items()
        if isinstance(monitor, Monitor) and monitor.every == "hour"
    }
    looks = [measurement for measurement in measurements if measurement.monitor in hourly]
    news = series.news(workspace, looks, model=model) if looks else []
    return [one for one in measurements if one.monitor not in hourly or one in news]


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


def measure(
    watched: Watched,
    table: Mapping[str, Monitor | ExtensionError],
    *,
    levels: Mapping[str, float] | None = None,
    progress: Progress,
) -> list[Measurement]:
    """Let the window pass by these monitors, a batch at a time; nothing is stored but embeddings.

    `levels`: monitor → with what chance it may alert for nothing; default: the window's own.
    What a monitor lacks, such as a package or the dataset, silences that monitor alone, and so
    does an error in the code of one that a package adds.

    Raises:
        StoreError: the interactions cannot be read.
    """
    found: dict[str, Measurement] = {}
    for waiting, part in late.by_window(watched, table):
        window = waiting.window
        tallies = _begin(waiting, part, progress)
        progress.step(f"Measuring {_days(window)} of {window.endpoint}{_waited(window)}")
        if any(isinstance(tally, Tally) and tally.reads_window for tally in tallies.values()):
            _stream(waiting, tallies, progress)
        for name, tally in tallies.items():
            measured = _measured(name, _looked_at(window, name, levels or {}), tally)
            found[name] = late.told(measured, window)
    return [found[name] for name in table]


def _looked_at(window: Window, monitor: str, levels: Mapping[str, float]) -> Window:
    """As sure as this monitor must be; one that has no level, as sure as the surest."""
    return replace(window, level=levels.get(monitor, min(levels.values(), default=window.level)))


def _begin(
    watched: Watched, table: Mapping[str, Monitor | ExtensionError], progress: Progress
) -> dict[str, Tally | TuneloopError]:
    """An empty tally of each monitor, or why there is none."""
    reading = {
        name
        for name, monitor in table.items()
        if isinstance(monitor, Monitor) and monitor.tally.reads_vectors
    }
    embedded: int | TuneloopError = 0
    if reading:
        embedded = _or_error("embeddings", partial(_embed, watched, progress))
    tallies: dict[str, Tally | TuneloopError] = {}
    for name, monitor in table.items():
        if isinstance(monitor, ExtensionError):
            tallies[name] = monitor
        elif name in reading and isinstance(embedded, TuneloopError):
            tallies[name] = embedded
        else:
            tallies[name] = _or_error(name, partial(monitor.tally, watched))
    return tallies


def _embed(watched: Watched, progress: Progress) -> int:
    return embed_missing(watched.workspace, watched.window, watched.embedder, progress=progress)


def _stream(
    watched: Watched, tallies: dict[str, Tally | TuneloopError], progress: Progress
) -> None:
    """Let every tally see the window; one that fails is replaced by why, and sees no more."""
    import polars as pl

    traffic, window = watched.workspace.traffic, watched.window
    counted = window.interactions(traffic).select(pl.len()).collect(engine="streaming")
    total, done = int(counted.item()), 0
    reads_vectors = any(isinstance(t, Tally) and t.reads_vectors for t in tallies.values())
    embedder = watched.embedder.name if reads_vectors else None
    for batch in window.batches(traffic, embedder=embedder):
        for name, tally in tallies.items():
            if isinstance(tally, Tally):
                problem = _or_error(name, partial(tally.add, batch))
                if isinstance(problem, TuneloopError):
                    tallies[name] = problem
        done += batch.interactions.height
        progress.update(done, max(done, total))


def _measured(name: str, window: Window, tally: Tally | TuneloopError) -> Measurement:
    measured: Measurement | TuneloopError
    if isinstance(tally, Tally):
        measured = _or_error(name, partial(_measurement, name, tally, window))
    else:
        measured = tally
    if isinstance(measured, TuneloopError):
        return not_measured(name, window, str(measured).replace("\n", " "))
    return measured


def _measurement(name: str, tally: Tally, window: Window) -> Measurement:
    """What the tally measured, which can be stored.

    Raises:
        TypeError, ValueError: it is no measurement of this monitor.
    """
    measured = tally.measure(window)
    if not isinstance(measured, Measurement):
        raise TypeError(f"measured {measured!r}, expected a Measurement")
    if measured.monitor != name:
        raise ValueError(f"measured {measured.monitor!r}")
    canonical_json(dict(measured.detail))
    return measured


def _or_error(name: str, make: Callable[[], _T]) -> _T | TuneloopError:
    """What a part of a monitor makes, or why it cannot; an error in our own code is raised."""
    try:
        return make()
    except TuneloopError as e:
        return e
    except Exception as e:  # noqa: BLE001  a package's code may raise anything
        return failed(name, e)


def _waited(window: Window) -> str:
    return f" up to {window.end:%Y-%m-%d %H:%M}" if window.waited else ""


def _days(window: Window) -> str:
    return f"{(window.end - window.start) / timedelta(days=1):g} days"
