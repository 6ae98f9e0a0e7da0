"""Which bundles should have a model server, and which do.

`tuneloop up` starts what is wanted here and writes back where it answers; deploying or rolling
back only changes what is wanted. The route file for the gateway follows from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from filelock import FileLock

from tuneloop.errors import StoreError
from tuneloop.registry import routes
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

ROUTES_FILE = "routes.json"
Status = Literal["wanted", "starting", "ready", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class ModelServer:
    """The server of one bundle."""

    bundle: str
    wanted: bool
    base_url: str | None
    """Where it answers, while it is ready."""
    status: Status
    detail: str
    changed_at: datetime


def listing(workspace: Workspace) -> list[ModelServer]:
    """Every bundle that has or had a server."""
    with workspace.records.begin() as tx:
        return [_record(row) for row in tx.execute(sa.select(tables.model_servers))]


def find(workspace: Workspace, bundle: str) -> ModelServer | None:
    """The server of a bundle, if it was ever wanted."""
    return next((server for server in listing(workspace) if server.bundle == bundle), None)


def want(workspace: Workspace, bundle: str) -> None:
    """Ask for a server; `tuneloop up` starts it."""
    table = tables.model_servers
    asked = {"status": "wanted", "detail": "", "changed_at": workspace.now()}
    with workspace.records.begin() as tx:
        row = tx.execute(sa.select(table).where(table.c.bundle == bundle)).first()
        if row is None:
            tx.execute(sa.insert(table).values(bundle=bundle, wanted=True, base_url=None, **asked))
        else:
            running = row.status in ("ready", "starting")
            tx.execute(
                sa.update(table)
                .where(table.c.bundle == bundle)
                .values(wanted=True, **({} if running else asked))
            )


def report(
    workspace: Workspace,
    bundle: str,
    status: Status,
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
        for row in tx.execute(sa.select(tables.endpoints)):
            keep |= {bundle for bundle in (row.bundle, row.previous) if bundle}
        table = tables.model_servers
        tx.execute(sa.update(table).where(table.c.bundle.not_in(keep)).values(wanted=False))


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

    An endpoint whose server is not ready keeps its last known target, so that a restart of the
    model server or of the database takes no route away.
    """
    path = workspace.root / ROUTES_FILE
    # One writer at a time, or a slow one could put older routes back.
    with FileLock(workspace.folder("locks") / "routes.lock"):
        before = _last(path)
        after = _snapshot(workspace, before)
        if after.version != before.version:
            routes.publish(after, path)
    return path


def _snapshot(workspace: Workspace, before: routes.RouteSnapshot) -> routes.RouteSnapshot:
    """The routes as the records say; the same version when nothing has changed."""
    with workspace.records.begin() as tx:
        servers = {
            row.bundle: row.base_url
            for row in tx.execute(sa.select(tables.model_servers))
            if row.base_url
        }
        endpoints = tx.execute(sa.select(tables.endpoints)).all()
        live = {bundle for row in endpoints for bundle in (row.bundle, row.previous) if bundle}
        manifests = {
            row.id: row.manifest
            for row in tx.execute(sa.select(tables.bundles).where(tables.bundles.c.id.in_(live)))
        }
    targets = {
        bundle: _target(bundle, manifests[bundle], servers[bundle])
        for bundle in live
        if bundle in servers
    }
    targets |= {b: t for b, t in before.bundles.items() if b in live and b not in targets}
    table = {
        row.name: routes.Endpoint(
            arms=(routes.Arm(bundle=row.bundle),),
            previous=row.previous if row.previous in targets else None,
            capture=bool(row.settings.get("capture", True)),
        )
        for row in endpoints
        if row.bundle in targets
    }
    after = routes.RouteSnapshot(version=before.version, endpoints=table, bundles=targets)
    if after == before and before.version > 0:
        return before
    return routes.RouteSnapshot(version=before.version + 1, endpoints=table, bundles=targets)


def _target(bundle: str, manifest: dict[str, Any], base_url: str) -> routes.Target:
    return routes.Target(
        base_url=base_url,
        served_name=bundle,
        system=manifest["task"]["system"] or None,
        sampling=dict(manifest["serving"]["sampling"]),
    )


def _last(path: Path) -> routes.RouteSnapshot:
    try:
        found = routes.read(path)
    except StoreError:
        found = None
    return found or routes.RouteSnapshot(version=0)


def _record(row: sa.Row[Any]) -> ModelServer:
    return ModelServer(
        bundle=row.bundle,
        wanted=row.wanted,
        base_url=row.base_url,
        status=row.status,
        detail=row.detail,
        changed_at=row.changed_at,
    )
