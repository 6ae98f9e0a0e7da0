"""Which bundles should have a model server, and which do.

`tuneloop up` starts what is wanted here and writes back where it answers; deploying or rolling
back only changes what is wanted. The route file for the gateway follows from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from filelock import FileLock

from tuneloop.deployment import endpoints, rollouts
from tuneloop.deployment.backends.base import address_in
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import StoreError
from tuneloop.modelfile import EndpointSettings
from tuneloop.registry import keys, routes
from tuneloop.registry.manifest import Manifest
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace

ROUTES_FILE = "routes.json"
ServerStatus = Literal["wanted", "starting", "ready", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class ModelServer:
    """The server of one bundle."""

    bundle: str
    wanted: bool
    base_url: str | None
    """Where it answers once it is ready; None while nothing would run there."""
    status: ServerStatus
    detail: str
    changed_at: datetime


def listing(workspace: Workspace) -> list[ModelServer]:
    """Every bundle that has or had a server."""
    with workspace.records.begin() as tx:
        return [record_of(ModelServer, row) for row in tx.execute(sa.select(tables.model_servers))]


def find(workspace: Workspace, bundle: str) -> ModelServer | None:
    """The server of a bundle, if it was ever wanted."""
    return next((server for server in listing(workspace) if server.bundle == bundle), None)


def not_ready(workspace: Workspace) -> tuple[list[ModelServer], list[ModelServer]]:
    """The wanted servers that are not ready: those of bundles in production, and the others."""
    with workspace.records.begin() as tx:
        in_production = {endpoint.bundle for endpoint in endpoints.read(tx)}
    missing = [
        server for server in listing(workspace) if server.wanted and server.status != "ready"
    ]
    return (
        [server for server in missing if server.bundle in in_production],
        [server for server in missing if server.bundle not in in_production],
    )


def want(workspace: Workspace, bundle: str) -> None:
    """Ask for a server; `tuneloop up` starts it. One that is wanted already stays as it is."""
    table = tables.model_servers
    asked = {"status": "wanted", "detail": "", "changed_at": workspace.now()}
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.bundle == bundle)).first()
        if row is None:
            tx.execute(sa.insert(table).values(bundle=bundle, wanted=True, base_url=None, **asked))
        elif not row.wanted:
            running = row.status in ("ready", "starting")
            tx.execute(
                sa.update(table)
                .where(table.c.bundle == bundle)
                .values(wanted=True, **({} if running else asked))
            )


def report(
    workspace: Workspace,
    bundle: str,
    status: ServerStatus,
    *,
    base_url: str | None = None,
    detail: str = "",
) -> None:
    """Write down what became of a server."""
    table = tables.model_servers
    with workspace.records.begin() as tx:
        tx.execute(
            sa.update(table)
            .where(table.c.bundle == bundle)
            .values(status=status, base_url=base_url, detail=detail, changed_at=workspace.now())
        )


def release_unused(workspace: Workspace, *, keep: set[str]) -> None:
    """Stop wanting every server but those of the bundles in `keep` and of the endpoints."""
    with workspace.records.begin() as tx:
        keep |= warm(tx)
        table = tables.model_servers
        tx.execute(sa.update(table).where(table.c.bundle.not_in(keep)).values(wanted=False))


def warm(tx: sa.Connection) -> set[str]:
    """The bundles that must be able to answer: production, previous, a rollout's candidate."""
    kept = {
        bundle
        for endpoint in endpoints.read(tx)
        for bundle in (endpoint.bundle, endpoint.previous)
        if bundle
    }
    return kept | {rollout.candidate for rollout in rollouts.all_active(tx)}


def rolling_out(workspace: Workspace) -> bool:
    """Whether a rollout is under way."""
    with workspace.records.begin() as tx:
        return bool(rollouts.all_active(tx))


def start_afresh(workspace: Workspace, base_urls: Mapping[str, str]) -> None:
    """Want the servers of `base_urls` (bundle → where each will answer) and no other.

    What an earlier `tuneloop up` left behind is void: its servers are gone, and another program
    may answer on their ports by now. The routes follow the records alone.
    """
    forget_all(workspace)
    table = tables.model_servers
    with workspace.records.begin() as tx:
        known = set(tx.execute(sa.select(table.c.bundle)).scalars())
        tx.execute(sa.update(table).values(wanted=False))
        for bundle, url in base_urls.items():
            values = {"wanted": True, "status": "wanted", "base_url": url, "detail": ""}
            values |= {"changed_at": workspace.now()}
            if bundle in known:
                tx.execute(sa.update(table).where(table.c.bundle == bundle).values(**values))
            else:
                tx.execute(sa.insert(table).values(bundle=bundle, **values))
    _publish(workspace, keep_last_known=False)


def forget_all(workspace: Workspace) -> None:
    """After a stop nothing answers any more; what is wanted stays wanted."""
    table = tables.model_servers
    with workspace.records.begin() as tx:
        tx.execute(
            sa.update(table).values(
                status="stopped", base_url=None, detail="", changed_at=workspace.now()
            )
        )


def publish(workspace: Workspace) -> Path:
    """Write the route file that every gateway process watches; unchanged routes are not rewritten.

    No route is taken away from a server that may answer: an endpoint goes over to another bundle
    when that one's server is ready, and a server that is started again keeps its route.
    """
    return _publish(workspace, keep_last_known=True)


def routed(workspace: Workspace, endpoint: str) -> set[str]:
    """The bundles that an endpoint's requests go to, by the published routes."""
    route = published(workspace).endpoints.get(endpoint)
    return {arm.bundle for arm in route.arms if arm.weight > 0} if route else set()


def published(workspace: Workspace) -> routes.RouteSnapshot:
    """The routes that the gateways find; of version 0 where there are none."""
    return _last(workspace.root / ROUTES_FILE)


def _publish(workspace: Workspace, *, keep_last_known: bool) -> Path:
    path = workspace.root / ROUTES_FILE
    # One writer at a time, or a slow one could put older routes back.
    with FileLock(workspace.folder("locks") / "routes.lock"):
        before = _last(path)
        forgotten = msgspec.structs.replace(before, endpoints={}, bundles={})
        after = _snapshot(workspace, before if keep_last_known else forgotten)
        if after != before or before.version == 0:
            routes.publish(msgspec.structs.replace(after, version=before.version + 1), path)
    return path


def _snapshot(workspace: Workspace, before: routes.RouteSnapshot) -> routes.RouteSnapshot:
    """The routes as the records say, `before` where a server is not ready; its version stays."""
    with workspace.records.begin() as tx:
        servers = tx.execute(sa.select(tables.model_servers)).all()
        served = endpoints.read(tx)
        under_way = {r.endpoint: r for r in rollouts.all_active(tx)}
        live = warm(tx)
        manifests = {
            row.id: Manifest.of(row.manifest)
            for row in tx.execute(sa.select(tables.bundles).where(tables.bundles.c.id.in_(live)))
        }
        allowed, secret = keys.for_gateway(tx), keys.gateway_secret(tx)
    targets = {b: t for b, t in before.bundles.items() if b in live} | {
        row.bundle: target(row.bundle, manifests[row.bundle], row.base_url)
        for row in servers
        if row.bundle in live and row.base_url
    }
    ready = {row.bundle for row in servers if row.status == "ready"}
    table = {}
    for endpoint in served:
        route = _route(endpoint, before.endpoints.get(endpoint.name), targets, ready)
        if route is not None:
            table[endpoint.name] = _rolled_out(route, under_way.get(endpoint.name), targets)
    return msgspec.structs.replace(
        before, endpoints=table, bundles=targets, keys=allowed, secret=secret
    )


def _route(
    endpoint: Endpoint,
    before: routes.Endpoint | None,
    targets: Mapping[str, routes.Target],
    ready: set[str],
) -> routes.Endpoint | None:
    """Where an endpoint's requests go; None while nothing is known that could answer them."""
    rules = _rules(endpoint.settings)
    if before is not None and endpoint.bundle not in ready and _has_targets(before, targets):
        return msgspec.structs.replace(before, **rules)
    if endpoint.bundle is None or endpoint.bundle not in targets:
        return None
    return routes.Endpoint(
        arms=(routes.Arm(bundle=endpoint.bundle),),
        previous=endpoint.previous if endpoint.previous in targets else None,
        **rules,
    )


def _rolled_out(
    route: routes.Endpoint, rollout: Rollout | None, targets: Mapping[str, routes.Target]
) -> routes.Endpoint:
    """The route with the candidate's part in it.

    A candidate whose server fails keeps its part: production answers in its place, and what failed
    counts against it.
    """
    if rollout is None or rollout.candidate not in targets:
        return route
    if route.arms[0].bundle != rollout.production:
        return route
    if rollout.stage.name == "shadow" and rollout.plan.shadow is not None:
        if rollout.status == "paused":
            return route
        shadow = routes.Shadow(bundle=rollout.candidate, share=rollout.plan.shadow.share)
        return msgspec.structs.replace(route, shadow=shadow)
    share = rollout.stage.share
    arms = (
        routes.Arm(bundle=rollout.production, weight=1 - share),
        routes.Arm(bundle=rollout.candidate, weight=share),
    )
    return msgspec.structs.replace(route, arms=arms, salt=rollout.id)


def _rules(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What the model file's `endpoint` section says to the gateway; old records say less."""
    known = EndpointSettings.model_fields.keys() & recorded.keys()
    settings = EndpointSettings.model_validate({name: recorded[name] for name in known})
    return {
        "failover": settings.failover,
        "capture": routes.CaptureRule(
            enabled=bool(settings.capture),
            required=settings.capture == "required",
            share=settings.capture_share,
            redact=settings.redact,
            logprobs_share=settings.logprobs_share,
        ),
        "timeouts": routes.Timeouts(
            first_token=settings.first_token_seconds, total=settings.total_seconds
        ),
    }


def _has_targets(route: routes.Endpoint, targets: Mapping[str, routes.Target]) -> bool:
    return all(arm.bundle in targets for arm in route.arms)


def target(bundle: str, manifest: Manifest, base_url: str) -> routes.Target:
    """How a bundle's server is asked: under its own name, with its system text and sampling.

    `base_url` is that of a server of ours; one that somebody else runs has its own address.
    """
    address = address_in(manifest.serving.conditions)
    return routes.Target(
        base_url=address.base_url if address else base_url,
        served_name=address.served_name if address else bundle,
        api_key_env=address.api_key_env if address else None,
        system=manifest.task.system or None,
        sampling=dict(manifest.serving.sampling),
        control_tokens=tuple(manifest.serving.control_tokens or ()),
    )


def _last(path: Path) -> routes.RouteSnapshot:
    try:
        snapshot = routes.read(path)
    except StoreError:
        snapshot = None
    return snapshot or routes.RouteSnapshot(version=0)
