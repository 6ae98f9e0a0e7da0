"""`tuneloop key`: who may use the gateway."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)

app = typer.Typer(no_args_is_help=True, help="API keys of the gateway: create, list, revoke.")


@app.command()
def create(
    owner: Annotated[str, typer.Argument(help="The person, team or program that it is for.")],
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
    from tuneloop.deployment import servers
    from tuneloop.registry import keys
    from tuneloop.workspace import actor

    grant = keys.Grant(
        owner=owner,
        endpoints=tuple(endpoint or ()),
        feedback_for_all=feedback_for_all,
        requests_per_minute=rate,
        concurrent_requests=concurrency,
    )
    with finishing(open_loop(file, quiet=True)) as loop:
        key, text = keys.create(loop.workspace, grant, actor=actor())
        servers.publish(loop.workspace)
    if json_:
        print_json({"name": key.name, "key": text})
        return
    out.print(text, markup=False, soft_wrap=True)
    out.print(
        f"Key {key.name} of {owner}. It is not shown again: keep it where {owner} keeps secrets."
    )


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List the keys, without their secrets.

    Example: tuneloop key list --json
    """
    from tuneloop.registry import keys

    with finishing(open_loop(file, quiet=True)) as loop:
        found, now = keys.listing(loop.workspace), loop.workspace.now()
    if json_:
        print_json(found)
        return
    rows = table(
        "key",
        "owner",
        "opens",
        "a minute",
        "at a time",
        "created",
        "state",
        optional=("created", "at a time", "a minute"),
    )
    for key in found:
        rows.add_row(
            key.name,
            key.owner,
            ", ".join(key.endpoints) or "all endpoints",
            "–" if key.requests_per_minute is None else f"{key.requests_per_minute:g}",
            "–" if key.concurrent_requests is None else str(key.concurrent_requests),
            ago(key.created_at, now),
            "active" if key.active else "revoked",
        )
    page(rows if found else "No keys: the gateway answers all who can reach it.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Its name, from `tuneloop key list`.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Close a key; running gateways refuse it within a second.

    Example: tuneloop key revoke 4f1d22ab
    """
    from tuneloop.deployment import servers
    from tuneloop.registry import keys
    from tuneloop.workspace import actor

    with finishing(open_loop(file, quiet=True)) as loop:
        key = keys.revoke(loop.workspace, name, actor=actor())
        servers.publish(loop.workspace)
    print_json(key) if json_ else out.print(f"Key {key.name} of {key.owner} is revoked.")
