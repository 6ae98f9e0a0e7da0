"""Reads what a decision to retrain stands on: measurements, corrections, cycles, the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tuneloop import review
from tuneloop.candidates import preparing
from tuneloop.datasets import source_watch, versions
from tuneloop.datasets.source_watch import SourcesNow
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment import rollouts
from tuneloop.errors import EvaluationError, UsageError
from tuneloop.evaluation import record as evaluations
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.monitoring import stage as monitoring
from tuneloop.monitoring.measurement import Measurement
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import cycles, new_data
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
    seen = _seen(project, bundle, past)
    sources = _sources(project, seen, now)
    return TriggerEvidence(
        now=now,
        level=model.automation.level,
        production_since=since,
        under_way=_under_way(workspace, model.name, past),
        last_cycle=next(_ended(past), None),
        material=_material(project, bundle, past, sources),
        sources=sources,
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


def sources_now(project: Project, now: datetime) -> SourcesNow | None:
    """The data files as they are now, held against what `gather` holds them against.

    Raises:
        StoreError: a store fails.
    """
    alias = aliases.in_production(project.workspace, project.model.name)
    bundle = bundles.find(project.workspace, alias.bundle) if alias else None
    past = cycles.listing(project.workspace, project.model.name)
    return _sources(project, _seen(project, bundle, past), now)


def _sources(project: Project, seen: DatasetVersion | None, now: datetime) -> SourcesNow | None:
    if seen is None:
        return None
    return source_watch.look(
        project.workspace,
        project.model_file,
        seen,
        now=now,
        template=project.template,
        progress=project.progress,
    )


def _seen(project: Project, bundle: Bundle | None, past: Sequence[Cycle]) -> DatasetVersion | None:
    """The newest dataset that the last verdict or production stands on, where it is here."""
    judged = _judged(project, past)
    if judged is None and bundle is not None:
        return _version(project, bundle.manifest.dataset.digest)
    return judged


def _judged(project: Project, past: Sequence[Cycle]) -> DatasetVersion | None:
    """The dataset of the last cycle that came to a verdict."""
    judged = next((cycle for cycle in past if cycle.status in ("finished", "stopped")), None)
    return _version(project, judged.steps.get("prepare", {}).get("dataset") if judged else None)


def _material(
    project: Project, bundle: Bundle | None, past: Sequence[Cycle], sources: SourcesNow | None
) -> Material:
    """What is new since the newest dataset that production or the last verdict stands on."""
    name = project.model.name
    approved = len(review.approved_rows(project.workspace, name))
    items = review.listing(project.workspace, name, status=None)
    trained = bundle.manifest.dataset.corrections if bundle else 0
    if (judged := _judged(project, past)) is not None:
        trained = max(trained, preparing.corrections_in(judged))
    return Material(
        approved=max(0, approved - trained),
        waiting=sum(item.status in _WAITING for item in items),
        changed_sources=new_data.material(sources),
    )


def _version(project: Project, digest: str | None) -> DatasetVersion | None:
    if not digest:
        return None
    try:
        return versions.load(project.workspace, project.model.name, digest)
    except UsageError:  # It came from elsewhere, or was removed.
        return None


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
