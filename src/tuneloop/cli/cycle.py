"""`tuneloop cycle`: ask a worker for a cycle, see how cycles went, end one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    followed,
    open_loop,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop.retraining.cycles import Cycle
    from tuneloop.under_way import UnderWay

app = typer.Typer(no_args_is_help=True, help="Cycles that a worker runs.")

CycleArgument = Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")]


@app.command()
def start(
    file: ModelOption = DEFAULT_FILE,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept.")] = "started by hand",
    json_: JsonOption = False,
) -> None:
    """Ask the worker for a cycle; `tuneloop run` does one here and now.

    Example: tuneloop cycle start -m "the corrections of May"
    """
    from tuneloop.retraining import cycles
    from tuneloop.worker import presence

    with finishing(open_loop(file, quiet=True)) as loop:
        asked = cycles.ask(loop.project, reason=reason, actor=loop.actor)
        workers = presence.alive(loop.workspace)
    if json_:
        print_json(asked)
        return
    out.print(f"Cycle {asked.id} is asked for. See how it goes: tuneloop cycle show latest")
    if not workers:
        out.print("No worker is running: start one with tuneloop up, or tuneloop worker.")


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """All cycles, the newest first.

    Example: tuneloop cycle list --json
    """
    from tuneloop.retraining import cycles

    with finishing(open_loop(file, quiet=True)) as loop:
        found = cycles.listing(loop.workspace, loop.model.name)
        now = loop.workspace.now()
    if json_:
        print_json(found)
        return
    rows = table("cycle", "status", "begun", "why", "what came of it", optional=("why", "begun"))
    for cycle in found:
        rows.add_row(
            cycle.id, cycle.status, ago(cycle.created_at, now), cycle.reason, cycle.outcome
        )
    page(rows if found else "No cycle yet. Start one with: tuneloop run")


@app.command()
def show(
    cycle: CycleArgument = "latest",
    follow: Annotated[
        bool, typer.Option("--follow", help="Until it is over, or waits for somebody.")
    ] = False,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """One cycle: its steps, and what came of it or what it waits for.

    Example: tuneloop cycle show latest --follow
    """
    from tuneloop.retraining import cycles

    with finishing(open_loop(file, quiet=True)) as loop:
        found = cycles.find(loop.workspace, loop.model.name, cycle)
        if follow:
            found = followed(
                lambda: cycles.find(loop.workspace, loop.model.name, found.id),
                say=lambda cycle: _doing(cycle, loop.under_way()),
                until=lambda cycle: cycle.status not in ("asked", "running"),
            )
        doing = loop.under_way() if found.status == "running" else []
    if json_:
        print_json({**vars(found), "under_way": doing})
        return
    out.print(f"{found.id}: {found.status}. {found.outcome}", markup=False)
    for one in doing:
        out.print(f"now: {one}", markup=False)
    out.print(f"why: {found.reason}", markup=False)
    rows = table("step", "seconds", "made")
    for step, made in found.steps.items():
        # What a step measured, lists of figures, is in its report; `--json` has it as well.
        what = ", ".join(
            f"{key} {value}"
            for key, value in made.items()
            if key != "seconds" and isinstance(value, str)
        )
        rows.add_row(step, f"{made['seconds']:.0f}", what)
    page(rows if found.steps else "No step is done yet.")


@app.command()
def cancel(
    cycle: CycleArgument = "latest", file: ModelOption = DEFAULT_FILE, json_: JsonOption = False
) -> None:
    """End a cycle; what it has made is kept, and a rollout that it began goes on.

    Example: tuneloop cycle cancel latest
    """
    from tuneloop.retraining import cycles

    with finishing(open_loop(file, quiet=True)) as loop:
        ended = cycles.cancel(loop.workspace, loop.model.name, cycle, actor=loop.actor)
    if json_:
        print_json(ended)
    else:
        out.print(f"Cycle {ended.id} is cancelled. Production is as it was.")
        if "rollout" in ended.steps:
            out.print("A rollout that it began goes on: tuneloop rollout status")


def _doing(cycle: Cycle, under_way: Sequence[UnderWay]) -> str:
    done = ", ".join(f"{step} {made['seconds']:.0f} s" for step, made in cycle.steps.items())
    now = "; ".join(str(one) for one in under_way) or f"done: {done or 'nothing yet'}"
    return f"cycle {cycle.id} is {cycle.status}; {now}"
