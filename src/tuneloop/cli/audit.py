"""`tuneloop audit`: who changed what, and whether the log is what was written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    open_project,
    out,
    paged,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.registry.audit import AuditEvent, Counted

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: every change of state, append-only, each event chained to the one before.",
)


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    all_: Annotated[bool, typer.Option("--all", help="Of every model in the workspace.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 30,
    json_: JsonOption = False,
) -> None:
    """List events of this model, the newest first; says how many it does not list.

    What concerns the whole workspace (people, API keys, erasures) is listed with --all.

    Example: tuneloop audit list --all --limit 100
    """
    from tuneloop.registry import audit

    with finishing(open_project(file, quiet=True)) as project:
        model = None if all_ else project.model.name
        events = audit.listing(project.workspace, model, limit=limit)
        counted = audit.count(project.workspace, project.model.name)
        now = project.workspace.now()
    if json_:
        print_json(events)
        return
    rows = table("event", "when", "who", "what", "detail")
    for event in events:
        detail = json.dumps(event.detail, ensure_ascii=False)
        rows.add_row(str(event.id), ago(event.at, now), event.actor, event.action, detail[:200])
    with paged():
        out.print(rows if events else "Nothing has been done yet.")
        for line in _weakened(events):
            out.print(line, style="yellow", markup=False)
        for line in _not_listed(counted, shown=len(events), all_=all_):
            out.print(line)


@app.command()
def head(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Print the digest of the last event; kept elsewhere, it proves later that nothing is gone.

    Example: tuneloop audit head
    """
    from tuneloop.registry import audit

    with finishing(open_project(file, quiet=True)) as project:
        newest = audit.head(project.workspace)
    print_json(newest) if json_ else out.print(newest.digest)


@app.command()
def verify(
    file: ModelOption = DEFAULT_FILE,
    head: Annotated[
        str | None, typer.Option(help="A digest that `tuneloop audit head` printed earlier.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Check every event; names the first one that was changed, removed or moved (exit code 1).

    Example: tuneloop audit verify --head 5c1b4c0e9d2a
    """
    from tuneloop.registry import audit_chain

    with finishing(open_project(file, quiet=True)) as project:
        chain = audit_chain.verify(project.workspace, head=head)
    broken = chain.broken
    if json_:
        print_json({"whole": chain.whole, **vars(chain)})
    elif broken is None:
        out.print(f"{chain.events} events, all as they were written; head {chain.head.digest}")
    else:
        out.print(f"[bold red]broken[/] at event {broken.event} ({broken.kind}): {broken.reason}")
    if broken is not None:
        raise typer.Exit(1)


@app.command()
def export(
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Write the whole log, one event a line, the oldest first; --json: one list.

    Example: tuneloop audit export -o audit.jsonl
    """
    from tuneloop.registry import audit

    with finishing(open_project(file, quiet=True)) as project:
        pieces = _pieces(audit.every(project.workspace), as_list=json_)
        if target is None:
            sys.stdout.writelines(pieces)
            return
        with target.open("w", encoding="utf-8") as written:
            written.writelines(pieces)
    out.print(f"The log is written to {target}", markup=False)


def _weakened(events: Sequence[AuditEvent]) -> list[str]:
    """What bundles were held to less than others, whole, and the events that are about them."""
    about: dict[str, list[str]] = {}
    for event in events:
        seen = event.detail.get("seen") or {}
        for sentence in (*event.detail.get("weakened", ()), *seen.get("weakened", ())):
            about.setdefault(sentence, []).append(str(event.id))
    return [f"Event {', '.join(events)}: {sentence}" for sentence, events in about.items()]


def _not_listed(counted: Counted, *, shown: int, all_: bool) -> list[str]:
    """What the list leaves out, and how to see it."""
    beside = counted.workspace + counted.others
    there = counted.model + (beside if all_ else 0)
    lines = []
    if there > shown:
        flags = f"--all --limit {there}" if all_ else f"--limit {there}"
        lines.append(f"And {there - shown} older: tuneloop audit list {flags}")
    if beside and not all_:
        lines.append(
            f"Not listed: {counted.workspace} of the whole workspace (people, API keys, erasures) "
            f"and {counted.others} of other models: tuneloop audit list --all"
        )
    return lines


def _pieces(events: Iterator[AuditEvent], *, as_list: bool) -> Iterator[str]:
    """The log as text, an event at a time."""
    from datetime import UTC

    yield "[\n" if as_list else ""
    for number, event in enumerate(events):
        plain = {**vars(event), "at": event.at.astimezone(UTC).isoformat()}
        yield ("," if as_list and number else "") + json.dumps(plain, ensure_ascii=False) + "\n"
    yield "]\n" if as_list else ""
