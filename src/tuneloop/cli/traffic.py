"""`tuneloop traffic`: what went through the gateway."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)
from tuneloop.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Captured traffic: list, show, ingest, prune.")


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
        interactions = loop.interactions(limit=limit)
    if json_:
        print_json(interactions)
        return
    rows = table(
        "interaction",
        "when",
        "bundle",
        "status",
        "ms",
        "asked",
        "answered",
        optional=("ms", "status", "bundle", "when"),
    )
    for interaction in interactions:
        rows.add_row(
            interaction["id"],
            f"{interaction['time']:%m-%d %H:%M:%S}",
            str(interaction["bundle"])[:12],
            str(interaction["status"]),
            f"{interaction['latency_ms']:.0f}",
            prompt_of(interaction["messages"]),
            interaction["response"] or "",
        )
    page(rows if interactions else "No traffic captured yet.")


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
        trace = loop.trace(interaction)
    if json_:
        print_json(trace)
    else:
        out.print_json(data=trace, default=str)


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


@app.command()
def prune(
    file: ModelOption = DEFAULT_FILE,
    older_than: Annotated[
        str | None,
        typer.Option(help="Such as 90d or 12h; default: `endpoint.retention_days`.", metavar="AGE"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and remove nothing.")] = False,
    json_: JsonOption = False,
) -> None:
    """Remove captured traffic that is too old, with its feedback, so that its bytes are gone.

    Measurements, review items and datasets stay.

    Example: tuneloop traffic prune --older-than 90d --dry-run
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        pruned = loop.prune(older_than=age(older_than) if older_than else None, dry_run=dry_run)
    if json_:
        print_json(pruned)
        return
    out.print(
        f"{pruned.interactions} interactions, {pruned.shadows} shadows and {pruned.feedback} "
        f"feedback from before {pruned.before:%Y-%m-%d %H:%M} UTC "
        + ("would be removed." if dry_run else "removed.")
    )
    if not dry_run:
        out.print(
            f"{pruned.bytes_before / 1e6:,.1f} MB before, {pruned.bytes_after / 1e6:,.1f} MB now."
        )


def age(text: str) -> timedelta:
    """A span of time such as 90d or 12h.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d{1,5})([dh])", text.strip())
    if match is None:
        raise UsageError(f"Expected an age such as 90d or 12h, got {text!r}.")
    count = int(match[1])
    return timedelta(days=count) if match[2] == "d" else timedelta(hours=count)
