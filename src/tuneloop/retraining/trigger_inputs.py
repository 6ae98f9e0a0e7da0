"""Reads what a decision to retrain stands on: measurements, corrections, cycles, the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tuneloop import review
from tuneloop.candidates import preparing
from tuneloop.datasets import versions
from tuneloop.datasets.sources import find_sources
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import rollouts
from tuneloop.errors import DataError, EvaluationError, UsageError
from tuneloop.evaluation import record as evaluations
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.monitoring import stage as monitoring
from tuneloop.monitoring.measurement import Measurement
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import cycles
from tuneloop.retraining.cycles import Cycle
from tuneloop.retraining.triggers import Benchmark, Material, PastCycle, TriggerEvidence
from tuneloop.workspace import Workspace

_WAITING = ("open", "second", "disputed")


def gather(project: Project, *, now: datetime) -> TriggerEvidence:
    """Everything that a decision stands on, read from the stores.

    Raises:
        StoreError: a store fails.
    """
    workspace, model = project.workspace, project.model
    alias = aliases.in_production(workspace, model.name)
    bundle = bundles.find(workspace, alias.bundle) if alias else None
    since = alias.moved_at if alias else None
    past = cycles.listing(workspace, model.name)
    return TriggerEvidence(
        now=now,
        level=model.automation.level,
        production_since=since,
        under_way=_under_way(workspace, model.name, past),
        last_cycle=next(_ended(past), None),
        material=_material(project, bundle, past),
        benchmark=benchmark(workspace, model, bundle),
        measurements=_measurements(workspace, model, since=since, now=now) if since else {},
    )


def _measurements(
    workspace: Workspace, model: ModelSettings, *, since: datetime, now: datetime
) -> dict[str, list[Measurement]]:
    """Those taken since the bundle is in production, as far back as a row of windows can reach."""
    windows = model.triggers.consecutive_windows + 1
    begin = max(since, now - timedelta(days=windows * model.monitors.window_days))
    by_monitor: dict[str, list[Measurement]] = {}
    for measurement in monitoring.history(workspace, model=model.name, since=begin):
        by_monitor.setdefault(measurement.monitor, []).append(measurement)
    return by_monitor


def _ended(past: Sequence[Cycle]) -> Iterator[PastCycle]:
    for cycle in past:
        if cycle.finished_at is not None:
            yield PastCycle(
                id=cycle.id,
                status=cycle.status,
                outcome=cycle.outcome,
                finished_at=cycle.finished_at,
            )


def _under_way(workspace: Workspace, model: str, past: Sequence[Cycle]) -> str | None:
    if past and past[0].status in cycles.OPEN:
        cycle = past[0]
        begun = f"{cycle.created_at:%Y-%m-%d %H:%M} UTC"
        return f"cycle {cycle.id} is {cycle.status} since {begun} ({cycle.reason})"
    rollout = rollouts.active(workspace, model)
    if rollout is not None:
        return f"rollout {rollout.id} of {short(rollout.candidate)} is under way"
    return None


def _material(project: Project, bundle: Bundle | None, past: Sequence[Cycle]) -> Material:
    """What is new since the newest dataset that production or the last verdict stands on."""
    name = project.model.name
    approved = len(review.approved_rows(project.workspace, name))
    items = review.listing(project.workspace, name, status=None)
    trained = bundle.manifest.dataset.corrections if bundle else 0
    judged = next((cycle for cycle in past if cycle.status in ("finished", "stopped")), None)
    seen = _version(project, judged.steps.get("prepare", {}).get("dataset") if judged else None)
    if seen is not None:
        trained = max(trained, preparing.corrections_in(seen))
    elif bundle is not None:
        seen = _version(project, bundle.manifest.dataset.digest)
    return Material(
        approved=max(0, approved - trained),
        waiting=sum(item.status in _WAITING for item in items),
        changed_sources=_changed_sources(project, seen),
    )


def _version(project: Project, digest: str | None) -> DatasetVersion | None:
    if not digest:
        return None
    try:
        return versions.load(project.workspace, project.model.name, digest)
    except UsageError:  # It came from elsewhere, or was removed.
        return None


def _changed_sources(project: Project, seen: DatasetVersion | None) -> tuple[str, ...]:
    if seen is None:
        return ()
    known = {source["source"]: source["digest"] for source in seen.report["sources"]}
    try:
        now = find_sources(project.model_file.folder, project.model.data.sources)
        return tuple(source.name for source in now if known.get(source.name) != source.digest())
    except DataError:  # The files are on another machine: nothing new can be read here.
        return ()


def benchmark(workspace: Workspace, model: ModelSettings, bundle: Bundle | None) -> Benchmark:
    """Stable: golden suites, as many cases as a gate asks for, that production has answered.

    Held-out cases alone are none: they change with every dataset version.
    """
    names = [suite.name for suite in model.evaluation.suites if suite.kind == "golden"]
    if not names:
        return Benchmark(stable=False, reason="no golden suite in evaluation.suites")
    cases, minimum = _golden_cases(workspace, names, bundle), model.evaluation.minimum_cases
    return Benchmark(
        stable=cases >= minimum,
        reason=f"production answered {cases} golden cases of at least {minimum}",
    )


def _golden_cases(workspace: Workspace, names: Sequence[str], bundle: Bundle | None) -> int:
    """Cases of these suites in the evaluation that the bundle was released with."""
    identity = bundle.manifest.evaluation.id if bundle else None
    if not identity:
        return 0
    try:
        suites = evaluations.find(workspace, identity).figures.get("suites", {})
    except (EvaluationError, UsageError):
        return 0
    return sum(
        max((figure[3] for figure in suites.get(name, {}).values()), default=0) for name in names
    )
