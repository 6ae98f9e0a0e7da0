"""Reads from the stores what advice stands on; see `facts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import sqlalchemy as sa

from tuneloop import review
from tuneloop.candidates import preparing
from tuneloop.candidates.promotion import decide
from tuneloop.datasets import versions
from tuneloop.deployment import admission, endpoints, rollouts
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import UsageError
from tuneloop.evaluation.comparison import Standing
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.monitoring import alerts
from tuneloop.registry import aliases, approvals
from tuneloop.registry import bundle as bundles
from tuneloop.registry.aliases import Alias
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.standing import KINDS
from tuneloop.retraining import cycles
from tuneloop.retraining.cycles import Cycle
from tuneloop.status.facts import (
    Candidate,
    Erased,
    Facts,
    LastCycle,
    LastRollout,
    OpenAlert,
    Role,
    Served,
)
from tuneloop.storage import tables
from tuneloop.under_way import UnderWay
from tuneloop.workspace import Workspace

Names = Mapping[str, Alias]
"""Alias → where it points, of one model."""
_CROSSED = ("opened", "repeated", "reopened")
_ROLES: tuple[Role, ...] = ("production", "previous", "candidate")


def gather(
    workspace: Workspace,
    model: ModelSettings,
    *,
    live: Served | None,
    gateway_runs: bool,
    workers: Sequence[str],
    under_way: Sequence[UnderWay],
    changed_sources: Sequence[str] = (),
) -> Facts:
    """Everything that advice stands on.

    Raises:
        StoreError: a store cannot be read.
    """
    names, past = aliases.current(workspace, model.name), cycles.listing(workspace, model.name)
    reviews = _reviews(workspace, model.name)
    approved = len(review.approved_rows(workspace, model.name))
    return Facts(
        live=live,
        previous=short(names["previous"].bundle) if "previous" in names else None,
        came_by_rollback=endpoints.came_by_rollback(workspace, model.name),
        gateway_runs=gateway_runs,
        alerts=_open_alerts(workspace, model.name, names),
        candidate=_candidate(workspace, model, names),
        rollout=_last_rollout(workspace, rollouts.listing(workspace, model.name)),
        cycle=_last_cycle(past[0] if past else None, under_way),
        erased=_erased(workspace, names),
        open_reviews=reviews.get("open", 0) + reviews.get("second", 0),
        disputed_reviews=reviews.get("disputed", 0),
        approved_corrections=approved,
        new_corrections=max(0, approved - _learnt_from(workspace, names, past)),
        minimum_corrections=model.triggers.minimum_corrections,
        changed_sources=tuple(changed_sources),
        worker_alive=bool(workers),
        scheduled=any(when != "never" for when in model.schedule.model_dump().values()),
        rolls_out=model.rollout.automatic,
    )


def _reviews(workspace: Workspace, model: str) -> dict[str, int]:
    """Status → how many review items have it."""
    column = tables.review_items.c.status
    query = (
        sa.select(column, sa.func.count())
        .where(tables.review_items.c.model == model)
        .group_by(column)
    )
    with workspace.records.begin() as tx:
        return {str(row[0]): int(row[1]) for row in tx.execute(query)}


def _open_alerts(workspace: Workspace, model: str, names: Names) -> tuple[OpenAlert, ...]:
    """The alerts that are not resolved, the oldest first, with the bundles that they are about."""
    since = names["production"].moved_at if "production" in names else None
    open_alerts = []
    for alert in reversed(alerts.listing(workspace, model)):
        crossed = [e.bundle for e in alerts.events(workspace, alert.id) if e.event in _CROSSED]
        about = OpenAlert(
            monitor=alert.monitor,
            opened_on=short(crossed[0]) if crossed and crossed[0] else None,
            measured=tuple(short(bundle) for bundle in crossed if bundle),
            since_live=since is None or alert.opened_at >= since,
            message=alert.message,
        )
        open_alerts.append(about)
    return tuple(open_alerts)


def _candidate(workspace: Workspace, model: ModelSettings, names: Names) -> Candidate | None:
    """The candidate, and what keeps it from production."""
    if "candidate" not in names:
        return None
    bundle = bundles.find(workspace, names["candidate"].bundle)
    evaluation = bundle.manifest.evaluation
    stands = _decided(workspace, model, bundle, names)
    return Candidate(
        bundle=bundle.short,
        standing=stands.standing,
        reason=stands.reason,
        kinds=stands.kinds,
        evaluation=evaluation.id,
    )


def _decided(workspace: Workspace, model: ModelSettings, bundle: Bundle, names: Names) -> Candidate:
    """Without its report. The last word has live traffic, then people, then the evaluation."""
    evaluation, live = bundle.manifest.evaluation, names.get("production")
    stands = {who: Standing(**stored) for who, stored in evaluation.comparisons.items()}
    decision = decide(
        gates=evaluation.verdict or "not judged",
        gates_reason=evaluation.reason,
        production=stands.get("production"),
        base=stands.get("base"),
    )
    outdated = evaluation.verdict == "passed" and evaluation.production != (
        live.bundle if live else None
    )
    under_way = rollouts.active(workspace, model.name)
    if under_way is not None and under_way.candidate == bundle.id:
        return Candidate(bundle=bundle.short, standing="rolling out", reason=under_way.detail)
    kept = {refusal.how: refusal for refusal in admission.refusals(workspace, bundle)}
    for how in admission.LIVE:
        if how in kept:
            told = kept[how].about(bundle.id)
            return Candidate(bundle=bundle.short, standing="taken back", reason=told)
    needed = [approvals.granted(workspace, model, bundle, kind) for kind in KINDS]
    missing = [approval for approval in needed if not approval.granted]
    if "rejected" in kept:
        told = next((one.reason for one in missing if one.rejected_by), "")
        return Candidate(bundle=bundle.short, standing="rejected", reason=told)
    if "not passed" in kept and evaluation.verdict == "passed":
        told = kept["not passed"].about(bundle.id)
        return Candidate(bundle=bundle.short, standing="refused", reason=told)
    if outdated:
        return Candidate(bundle=bundle.short, standing="outdated", reason=decision.reason)
    if not decision.deploy:
        return Candidate(bundle=bundle.short, standing="refused", reason=decision.reason)
    if missing:
        return Candidate(
            bundle=bundle.short,
            standing="waits",
            reason=missing[0].reason,
            kinds=tuple(approval.kind for approval in missing),
        )
    return Candidate(bundle=bundle.short, standing="accepted", reason=decision.reason)


def _last_rollout(workspace: Workspace, past: Sequence[Rollout]) -> LastRollout | None:
    """The newest of a model's rollouts; `past`: all, the newest first."""
    if not past:
        return None
    newest = past[0]
    asks = newest.status == "running" and rollouts.events(workspace, newest.id)[-1].event == "hold"
    return LastRollout(
        id=newest.id,
        candidate=short(newest.candidate),
        status=newest.status,
        detail=newest.detail,
        asks=asks,
    )


def _last_cycle(cycle: Cycle | None, under_way: Sequence[UnderWay]) -> LastCycle | None:
    """The newest cycle as advice needs it."""
    if cycle is None:
        return None
    bundle = cycle.steps.get("evaluate", {}).get("bundle")
    return LastCycle(
        id=cycle.id,
        status=cycle.status,
        outcome=cycle.outcome,
        bundle=short(bundle) if bundle else None,
        at_work=any(work.what == cycles.UNDER_WAY for work in under_way),
    )


def _erased(workspace: Workspace, names: Names) -> tuple[Erased, ...]:
    """The bundles with a name whose dataset holds rows that an erasure deleted elsewhere."""
    table = tables.audit_events
    query = (
        sa.select(table.c.detail)
        .where(table.c.action == "personal_data.erase")
        .order_by(table.c.id.desc())
    )
    with workspace.records.begin() as tx:
        events = list(tx.execute(query).scalars())
    erased = []
    for role in _ROLES if events else ():
        if role not in names:
            continue
        bundle = bundles.find(workspace, names[role].bundle)
        dataset = bundle.manifest.artifacts.dataset
        hit = next((event for event in events if dataset in event["datasets"]), None)
        if hit is not None:
            erased.append(Erased(bundle=bundle.short, role=role, erasure=hit["erasure"]))
    return tuple(erased)


def _learnt_from(workspace: Workspace, names: Names, past: Sequence[Cycle]) -> int:
    """How many approved corrections are in a dataset that a bundle was made or refused on."""
    known = [
        bundles.find(workspace, names[role].bundle).manifest.dataset.corrections
        for role in ("production", "candidate")
        if role in names
    ]
    judged = next((cycle for cycle in past if cycle.status in ("finished", "stopped")), None)
    digest = judged.steps.get("prepare", {}).get("dataset") if judged else None
    if judged is not None and digest is not None:
        with suppress(UsageError):  # It was removed.
            known.append(preparing.corrections_in(versions.load(workspace, judged.model, digest)))
    return max(known, default=0)
