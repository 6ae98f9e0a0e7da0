"""One screen: what is live, since when, is it healthy, what next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from tuneloop import under_way
from tuneloop.deployment import endpoints, rollouts, servers
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.registry import aliases, people
from tuneloop.registry import bundle as bundles
from tuneloop.retraining import automation, presence, review
from tuneloop.retraining.levels import Reached
from tuneloop.storage import tables
from tuneloop.under_way import UnderWay
from tuneloop.workspace import Workspace

Health = Literal["healthy", "alerts", "switching", "down", "not deployed"]


@dataclass(frozen=True, kw_only=True)
class Live:
    """The bundle in production."""

    bundle: str
    since: datetime
    dataset: str
    quantisation: str
    scores: Mapping[str, Any]
    """Metric → [value, low, high, n] as evaluated before the deployment."""
    server: str
    """Status of its model server: ready, starting, failed, stopped."""
    base_url: str | None
    answering: tuple[str, ...]
    """Bundles that the endpoint's requests go to; the one in production, and during a rollout the
    candidate. Another one answers until production's model server is ready."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The answer to "is everything all right?"."""

    model: str
    endpoint: str
    health: Health
    live: Live | None
    previous: str | None
    candidate: str | None
    gateway_url: str | None
    """Where clients reach the endpoint, while `tuneloop up` runs."""
    alerts: tuple[str, ...]
    """Messages of open alerts."""
    open_reviews: int
    approved_corrections: int
    """Approved and not yet in the production bundle's dataset."""
    rollout: str | None
    """The one under way: its id, stage, share of the candidate and what it waits for."""
    cycle: str | None
    """The last cycle: its status and outcome."""
    under_way: tuple[UnderWay, ...]
    """What processes are doing for the model at this moment."""
    workers: tuple[str, ...]
    """The workers that are alive, by name."""
    automation: Reached
    """The automation level that is reached, and what the next one needs."""
    people: str | None
    """A warning where fewer than two people can judge the model, or nobody is declared."""
    next_steps: tuple[str, ...]


def status(workspace: Workspace, model: ModelSettings, *, gateway_url: str | None) -> Status:
    """Read it all from the records store."""
    names = aliases.current(workspace, model.name)
    live = _live(workspace, model.name)
    with workspace.records.begin() as tx:
        alerts = tuple(
            tx.execute(
                sa.select(tables.alerts.c.message)
                .where(tables.alerts.c.model == model.name, tables.alerts.c.status != "resolved")
                .order_by(tables.alerts.c.opened_at)
            ).scalars()
        )
        reviews = {
            row[0]: int(row[1])
            for row in tx.execute(
                sa.select(tables.review_items.c.status, sa.func.count())
                .where(tables.review_items.c.model == model.name)
                .group_by(tables.review_items.c.status)
            )
        }
        cycle = tx.execute(
            sa.select(tables.cycles)
            .where(tables.cycles.c.model == model.name)
            .order_by(tables.cycles.c.created_at.desc())
            .limit(1)
        ).first()
    trained = _trained_corrections(workspace, live)
    approved = len(review.approved_rows(workspace, model.name))
    found = Status(
        model=model.name,
        endpoint=model.endpoint_name,
        health=_health(live, alerts, gateway_url),
        live=live,
        previous=names["previous"].bundle if "previous" in names else None,
        candidate=names["candidate"].bundle if "candidate" in names else None,
        gateway_url=gateway_url,
        alerts=alerts,
        open_reviews=sum(reviews.get(one, 0) for one in ("open", "second", "disputed")),
        approved_corrections=max(0, approved - trained),
        rollout=_rollout(workspace, model.name),
        cycle=f"{cycle.status}: {cycle.outcome or cycle.reason}" if cycle else None,
        under_way=tuple(
            under_way.seen(under_way.folder(workspace.root, model.name), now=workspace.now())
        ),
        workers=tuple(presence.alive(workspace)),
        automation=automation.reached(workspace, model),
        people=people.bus_factor(workspace, model.name).warning,
        next_steps=(),
    )
    return _with_next_steps(found, minimum_corrections=model.triggers.minimum_corrections)


def _live(workspace: Workspace, model: str) -> Live | None:
    endpoint = endpoints.find(workspace, model)
    if endpoint is None or endpoint.bundle is None:
        return None
    manifest = bundles.find(workspace, endpoint.bundle).manifest
    server = servers.find(workspace, endpoint.bundle)
    return Live(
        bundle=endpoint.bundle,
        since=aliases.current(workspace, model)["production"].moved_at,
        dataset=str(manifest["dataset"].get("label", "")),
        quantisation=str(manifest["serving"].get("quantisation", "")),
        scores=manifest["evaluation"].get("scores", {}),
        server=server.status if server else "stopped",
        base_url=server.base_url if server else None,
        answering=tuple(sorted(servers.routed(workspace, endpoint.name))),
    )


def _rollout(workspace: Workspace, model: str) -> str | None:
    found = rollouts.active(workspace, model)
    if found is None:
        return None
    stage = found.stage
    return (
        f"{found.id} of {short(found.candidate)}: {stage.name}, {stage.share:.0%} of the "
        f"conversations, {found.status}: {found.detail}"
    )


def _trained_corrections(workspace: Workspace, live: Live | None) -> int:
    if live is None:
        return 0
    manifest = bundles.find(workspace, live.bundle).manifest
    return int(manifest["dataset"].get("corrections", 0))


def _health(live: Live | None, alerts: tuple[str, ...], gateway_url: str | None) -> Health:
    if live is None:
        return "not deployed"
    if gateway_url is None:
        return "down"
    if live.server != "ready":
        return "switching" if live.answering and live.bundle not in live.answering else "down"
    return "alerts" if alerts else "healthy"


def _with_next_steps(found: Status, *, minimum_corrections: int) -> Status:
    steps = []
    if found.live is None and found.candidate is None:
        steps.append("Make and deploy a first bundle: tuneloop run")
    if found.candidate is not None:
        look = "bundle diff production candidate" if found.live else "evaluation show latest"
        steps.append(f"Look at the candidate: tuneloop {look}")
    if found.live is not None and found.gateway_url is None:
        steps.append("Serve it: tuneloop up")
    elif found.live is not None and found.health == "switching":
        names = ", ".join(short(bundle) for bundle in found.live.answering)
        steps.append(f"Nothing: {names} answers until the model server of production is ready")
    elif found.live is not None and found.live.server != "ready":
        steps.append("The model server is not ready: look into the workspace's logs")
    if found.alerts:
        steps.append("Look into the alerts: tuneloop alert list")
        if found.previous is not None:
            steps.append("Go back if the new bundle is to blame: tuneloop rollback")
    if found.open_reviews:
        steps.append(f"Review what waits ({found.open_reviews}): tuneloop review")
    if found.approved_corrections >= minimum_corrections:
        steps.append(f"Retrain on {found.approved_corrections} approved corrections: tuneloop run")
    return Status(**{**vars(found), "next_steps": tuple(steps) or ("Nothing: all is well.",)})
