"""Puts a backtest together: captured traffic, the candidate's own server, the rules of a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tuneloop import review
from tuneloop.datasets import versions
from tuneloop.deployment import bundle_server, endpoints, outcomes, replay, servers
from tuneloop.deployment.backends.table import backend_of
from tuneloop.deployment.backtest import Answer, Backtest, Pair, Replayed, conclude, shadow_first
from tuneloop.deployment.replay import Asking, Captured
from tuneloop.errors import UsageError
from tuneloop.modelfile import EndpointSettings
from tuneloop.project import Project
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.messages import prompt_of
from tuneloop.task.answer_form import declared_form


@dataclass(frozen=True, kw_only=True)
class _Traffic:
    """What production was asked, and by whom it was answered."""

    endpoint: str
    settings: EndpointSettings
    """Under which it was captured."""
    production: str
    """Bundle id."""
    since: datetime
    captured: Captured


def backtest(project: Project, bundle: Bundle, *, since: timedelta, limit: int) -> Backtest:
    """Ask a bundle what production was asked in the time `since`, and score both answers.

    Raises:
        UsageError: nothing is in production, or nothing that it answered was captured.
        DeploymentError: the bundle's server does not come up.
        StoreError: the captured traffic cannot be read.
    """
    project.ingest()
    traffic = _traffic(project, since=project.workspace.now() - since, limit=limit)
    rows = traffic.captured.rows
    project.progress.step(f"Asking {bundle.short} what production was asked: {len(rows)} requests")
    try:
        answers = _ask(project, bundle, traffic)
    finally:
        servers.release_unused(project.workspace, keep=set())
    return _judged(project, bundle, traffic, answers)


def _traffic(project: Project, *, since: datetime, limit: int) -> _Traffic:
    endpoint = endpoints.find(project.workspace, project.model.name)
    if endpoint is None or endpoint.bundle is None:
        raise UsageError(
            f"Nothing is in production of {project.model.name}, so nothing can be replayed.",
            remedy="Deploy a first bundle with: tuneloop run",
        )
    captured = replay.captured(
        project.workspace.traffic,
        endpoint=endpoint.name,
        bundle=endpoint.bundle,
        since=since,
        limit=limit,
    )
    if not captured.rows:
        others = ", ".join(f"{n} {reason}" for reason, n in captured.left_out.items())
        raise UsageError(
            f"Expected captured chats that production has answered since {since:%Y-%m-%d %H:%M} "
            f"UTC, found none{f' ({others})' if others else ''}.",
            remedy="Look farther back (--since 30d), or check that the endpoint captures: "
            "tuneloop traffic list",
        )
    known = EndpointSettings.model_fields.keys() & endpoint.settings.keys()
    return _Traffic(
        endpoint=endpoint.name,
        settings=EndpointSettings.model_validate({key: endpoint.settings[key] for key in known}),
        production=endpoint.bundle,
        since=since,
        captured=captured,
    )


def _ask(project: Project, bundle: Bundle, traffic: _Traffic) -> list[Answer]:
    served = bundle.manifest.serving
    asking = Asking(
        at_a_time=min(replay.AT_A_TIME, backend_of(served).concurrency(served.as_json())),
        total_seconds=traffic.settings.total_seconds,
        redact=traffic.settings.redact,
    )
    with bundle_server.opened(project.workspace, bundle) as server:
        target = servers.target(bundle.id, bundle.manifest, server.base_url)
        return replay.ask(target, traffic.captured.rows, asking, progress=project.progress)


def _judged(project: Project, bundle: Bundle, traffic: _Traffic, answers: list[Answer]) -> Backtest:
    store, fits = project.workspace.traffic, declared_form(bundle.manifest.task.as_json())
    rows, rollout = traffic.captured.rows, project.model.rollout
    corrections = replay.corrections(
        store, [row["id"] for row in rows], since=traffic.since, fits=fits
    )
    pairs = [
        Pair(
            interaction=row["id"],
            question=prompt_of(row["messages"]),
            production=replay.answer_in(row),
            candidate=answer,
            correction=corrections.get(row["id"]),
        )
        for row, answer in zip(rows, answers, strict=True)
    ]
    plan = outcomes.plan_for(
        store,
        rollout,
        endpoint=traffic.endpoint,
        bundle=traffic.production,
        timeout_seconds=traffic.settings.first_token_seconds,
        now=project.workspace.now(),
    )
    return conclude(
        shadow_first(plan, pairs=rollout.shadow_pairs),
        pairs,
        fits=fits,
        replayed=Replayed(
            candidate=bundle.id,
            production=traffic.production,
            since=traffic.since,
            chats=traffic.captured.chats,
            left_out=traffic.captured.left_out,
            redacted=traffic.settings.redact,
        ),
        trained_on=_trained_on(project, bundle) if corrections else frozenset(),
    )


def _trained_on(project: Project, bundle: Bundle) -> frozenset[str]:
    """The interactions whose approved correction is among the bundle's training rows."""
    version = versions.load(project.workspace, project.model.name, bundle.manifest.dataset.digest)
    rows = versions.read_examples(project.workspace, version, "train")
    reviewed = {row.tags["review"] for row in rows if "review" in row.tags}
    items = review.listing(project.workspace, project.model.name, status="approved")
    return frozenset(item.interaction for item in items if item.id in reviewed and item.interaction)
