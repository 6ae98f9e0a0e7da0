"""`tuneloop key`: who may use the gateway."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    open_project,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.registry.keys import ApiKey

app = typer.Typer(no_args_is_help=True, help="API keys of the gateway: create, list, revoke.")


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="The person, team or program that it is for; revoke takes it too.")
    ],
    endpoint: Annotated[
        list[str] | None, typer.Option(help="An endpoint that it opens; default: all.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a minute.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at a time.")] = None,
    feedback_for_all: Annotated[
        bool,
        typer.Option(
            "--feedback-for-all", help="May give feedback on the answers that others got."
        ),
    ] = False,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Make a key and show it once. With the first one the gateway asks everybody for a key.

    Example: tuneloop key create help-desk --endpoint support-router --rate 600
    """
    from tuneloop.deployment import access
    from tuneloop.registry.keys import Grant

    grant = Grant(
        owner=name,
        endpoints=tuple(endpoint or ()),
        feedback_for_all=feedback_for_all,
        requests_per_minute=rate,
        concurrent_requests=concurrency,
    )
    with finishing(open_project(file, quiet=True)) as project:
        key, text = access.create(project.workspace, grant, actor=project.actor)
    if json_:
        print_json({"id": key.name, "name": key.name, "owner": key.owner, "key": text})
        return
    out.print(text, markup=False, soft_wrap=True)
    out.print(
        f"The key of {name}, id {key.name}. It is not shown again: keep it where {name} keeps "
        f"secrets. To close it: tuneloop key revoke {shlex.quote(name)}",
        markup=False,
    )


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List the keys, without their secrets; `tuneloop key revoke` takes a name or an id.

    Example: tuneloop key list --json
    """
    from tuneloop.registry import keys

    with finishing(open_project(file, quiet=True)) as project:
        listed, now = keys.listing(project.workspace), project.workspace.now()
    if json_:
        print_json([_plain(key) for key in listed])
        return
    rows = table(
        "name",
        "id",
        "opens",
        "a minute",
        "at a time",
        "created",
        "state",
        optional=("created", "at a time", "a minute"),
    )
    for key in listed:
        rows.add_row(
            key.owner,
            key.name,
            ", ".join(key.endpoints) or "all endpoints",
            "–" if key.requests_per_minute is None else f"{key.requests_per_minute:g}",
            "–" if key.concurrent_requests is None else str(key.concurrent_requests),
            ago(key.created_at, now),
            "active" if key.active else "revoked",
        )
    page(rows if listed else "No keys: the gateway answers all who can reach it.")


@app.command()
def revoke(
    key: Annotated[
        str, typer.Argument(metavar="NAME", help="The name it was made for, its id, or its start.")
    ],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Close a key; running gateways refuse it within a second.

    Where several keys have the name, it lists them with the id that tells them apart.

    Example: tuneloop key revoke help-desk
    """
    from tuneloop.deployment import access

    with finishing(open_project(file, quiet=True)) as project:
        closed = access.revoke(project.workspace, key, actor=project.actor)
    if json_:
        print_json(_plain(closed))
    else:
        out.print(f"The key of {closed.owner}, id {closed.name}, is revoked.", markup=False)


def _plain(key: ApiKey) -> dict[str, Any]:
    """A key as JSON; `name` is its id, as it was before keys were known by their owners' names."""
    return {"id": key.name, **dataclasses.asdict(key)}
