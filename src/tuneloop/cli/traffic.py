"""`tuneloop traffic`: what went through the gateway."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_loop,
    out,
    print_json,
    table,
)

app = typer.Typer(no_args_is_help=True, help="Captured traffic: list, show, ingest.")


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    limit: Annotated[int, typer.Option(help="At most this many, the newest first.")] = 20,
    json_: JsonOption = False,
) -> None:
    """List captured interactions, the newest first.

    Example: tuneloop traffic list --limit 100
    """
    from tuneloop.storage.messages import prompt_of

    with finishing(open_loop(file, quiet=True)) as loop:
        found = loop.interactions(limit=limit)
    if json_:
        print_json(found)
        return
    rows = table("interaction", "when", "bundle", "status", "ms", "asked", "answered")
    for one in found:
        rows.add_row(
            one["id"],
            f"{one['time']:%m-%d %H:%M:%S}",
            str(one["bundle"])[:12],
            str(one["status"]),
            f"{one['latency_ms']:.0f}",
            prompt_of(one["messages"]),
            one["response"] or "",
        )
    out.print(rows if found else "No traffic captured yet.")


@app.command()
def show(
    interaction: Annotated[
        str, typer.Argument(help="Its id, from the answer's header x-tuneloop-interaction.")
    ],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show one interaction with its feedback and what answered it: bundle, dataset, reviewers.

    Example: tuneloop traffic show 0198c0ffee0000000000000000000000
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found = loop.trace(interaction)
    if json_:
        print_json(found)
    else:
        out.print_json(data=found, default=str)


@app.command()
def ingest(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Move what the gateway has written to its spool into the traffic tables.

    Example: tuneloop traffic ingest --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        report = loop.ingest()
    if json_:
        print_json(report)
    else:
        out.print(f"{report.interactions} interactions and {report.feedback} feedback ingested.")
