"""One screen: what is live, since when, is it healthy, what next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tuneloop import under_way
from tuneloop.deployment import admission, endpoints, rollouts, servers
from tuneloop.deployment.admission import Past
from tuneloop.evaluation.weakening import weakened
from tuneloop.hashing import short
from tuneloop.modelfile import ModelSettings
from tuneloop.registry import aliases, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.aliases import Alias
from tuneloop.registry.weakness import sentences
from tuneloop.retraining import automation, cycles
from tuneloop.retraining.cycles import Cycle
from tuneloop.retraining.levels import Reached
from tuneloop.status import situation
from tuneloop.status.advice import Advice, advise, of_another
from tuneloop.status.facts import Candidate, Facts, OpenAlert, Served
from tuneloop.under_way import UnderWay
from tuneloop.worker import presence
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
    weakened: tuple[str, ...]
    """What it was held to less than by default or than the bundle before it."""
    answering: tuple[str, ...]
    """Bundles that the endpoint's requests go to; the one in production, and during a rollout the
    candidate. Another one answers until production's model server is ready."""
    behaves_as: str
    """Another bundle that behaves the same, and what is held against that; empty: none does."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """The answer to "is everything all right?"."""

    model: str
    endpoint: str
    health: Health
    live: Live | None
    previous: str | None
    candidate: str | None
    candidate_standing: str | None
    """What keeps the candidate from production, or that nothing does."""
    candidate_weakened: tuple[str, ...]
    """What the candidate was held to less than by default or than production."""
    candidate_behaves_as: str
    """Another bundle that behaves the same, and what is held against that; empty: none does."""
    gateway_url: str | None
    """Where clients reach the endpoint, while `tuneloop up` runs."""
    alerts: tuple[str, ...]
    """Messages of open alerts; one about another bundle than the one in production says so."""
    open_reviews: int
    approved_corrections: int
    """Approved and not yet in the production bundle's dataset."""
    changed_sources: tuple[str, ...]
    """Data files that are not what the bundle in production was made of."""
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
    """`advice`, each in one line."""
    advice: tuple[Advice, ...]


def status(
    workspace: Workspace,
    model: ModelSettings,
    *,
    gateway_url: str | None,
    changed_sources: Sequence[str] = (),
) -> Status:
    """Read it all from the records store; `changed_sources` are the data files that are not what
    production was made of."""
    names = aliases.current(workspace, model.name)
    past = admission.past_of(workspace, model.name)
    live, workers = _live(workspace, model.name, past), tuple(presence.alive(workspace))
    doing = under_way.seen(under_way.folder(workspace.root, model.name), now=workspace.now())
    facts = situation.gather(
        workspace,
        model,
        under_way=doing,
        live=_served(live) if live else None,
        gateway_runs=gateway_url is not None,
        workers=workers,
        changed_sources=changed_sources,
    )
    advice = advise(facts)
    trained = _trained_corrections(workspace, live)
    return Status(
        model=model.name,
        endpoint=model.endpoint_name,
        health=_health(live, bool(facts.alerts), gateway_url),
        live=live,
        previous=names["previous"].bundle if "previous" in names else None,
        candidate=names["candidate"].bundle if "candidate" in names else None,
        candidate_standing=_standing(facts.candidate) if facts.candidate else None,
        candidate_weakened=_weakened(workspace, names),
        candidate_behaves_as=admission.namesake(names["candidate"].bundle, past)
        if "candidate" in names
        else "",
        gateway_url=gateway_url,
        alerts=tuple(_told(alert, facts.live) for alert in facts.alerts),
        open_reviews=facts.open_reviews + facts.disputed_reviews,
        approved_corrections=max(0, facts.approved_corrections - trained),
        changed_sources=facts.changed_sources,
        rollout=_rollout(workspace, model.name),
        under_way=tuple(doing),
        cycle=_cycle(facts, cycles.newest(workspace, model.name)),
        workers=workers,
        automation=automation.reached(workspace, model),
        people=people.bus_factor(workspace, model.name).warning,
        next_steps=tuple(map(str, advice)),
        advice=advice,
    )


def _served(live: Live) -> Served:
    from_others = live.bundle not in live.answering
    return Served(
        bundle=short(live.bundle),
        server=live.server,
        switching_from=tuple(map(short, live.answering)) if from_others else (),
    )


def _told(alert: OpenAlert, live: Served | None) -> str:
    if not of_another(alert, live.bundle if live else None):
        return alert.message
    return f"of {alert.measured[-1]}, no longer in production: {alert.message}"


def _standing(candidate: Candidate) -> str:
    standing = "waits for approval" if candidate.standing == "waits" else candidate.standing
    return f"{standing}: {candidate.reason}" if candidate.reason else standing


def _weakened(workspace: Workspace, names: Mapping[str, Alias]) -> tuple[str, ...]:
    if "candidate" not in names:
        return ()
    bundle = bundles.find(workspace, names["candidate"].bundle)
    return tuple(sentences(weakened(bundle.manifest)))


def _cycle(facts: Facts, cycle: Cycle | None) -> str | None:
    """How it ended, or what it waits for; true also after what people have done since."""
    last = facts.cycle
    if cycle is None or last is None:
        return None
    by_itself = "deploy" in cycle.steps or "rollout" in cycle.steps
    if facts.live is not None and last.bundle == facts.live.bundle and not by_itself:
        return f"{cycle.status}: its candidate {last.bundle} is in production, deployed by hand"
    candidate = facts.candidate
    if cycle.status == "waiting" and candidate is not None and candidate.bundle == last.bundle:
        if candidate.standing == "accepted":
            return f"waiting: its candidate {last.bundle} is approved; it can go on"
        if candidate.standing == "rejected":
            return f"waiting: its candidate {last.bundle} is rejected; it can end"
    return f"{cycle.status}: {cycle.outcome or cycle.reason}"


def _live(workspace: Workspace, model: str, past: Past) -> Live | None:
    endpoint = endpoints.find(workspace, model)
    if endpoint is None or endpoint.bundle is None:
        return None
    manifest = bundles.find(workspace, endpoint.bundle).manifest
    server = servers.find(workspace, endpoint.bundle)
    return Live(
        bundle=endpoint.bundle,
        since=aliases.current(workspace, model)["production"].moved_at,
        dataset=manifest.dataset.label,
        quantisation=manifest.serving.quantisation,
        scores=manifest.evaluation.scores,
        server=server.status if server else "stopped",
        base_url=server.base_url if server else None,
        weakened=tuple(sentences(weakened(manifest))),
        answering=tuple(sorted(servers.routed(workspace, endpoint.name))),
        behaves_as=admission.namesake(endpoint.bundle, past),
    )


def _rollout(workspace: Workspace, model: str) -> str | None:
    rollout = rollouts.active(workspace, model)
    if rollout is None:
        return None
    stage = rollout.stage
    return (
        f"{rollout.id} of {short(rollout.candidate)}: {stage.name}, {stage.share:.0%} of the "
        f"conversations, {rollout.status}: {rollout.detail}"
    )


def _trained_corrections(workspace: Workspace, live: Live | None) -> int:
    if live is None:
        return 0
    manifest = bundles.find(workspace, live.bundle).manifest
    return manifest.dataset.corrections


def _health(live: Live | None, alerts: bool, gateway_url: str | None) -> Health:
    if live is None:
        return "not deployed"
    if gateway_url is None:
        return "down"
    if live.server != "ready":
        return "switching" if live.answering and live.bundle not in live.answering else "down"
    return "alerts" if alerts else "healthy"
