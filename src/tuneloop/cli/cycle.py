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
    open_project,
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

    with finishing(open_project(file, quiet=True)) as project:
        asked = cycles.ask(project, reason=reason, actor=project.actor)
        workers = presence.alive(project.workspace)
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

    with finishing(open_project(file, quiet=True)) as project:
        past = cycles.listing(project.workspace, project.model.name)
        now = project.workspace.now()
    if json_:
        print_json(past)
        return
    rows = table("cycle", "status", "begun", "why", "what came of it", optional=("why", "begun"))
    for cycle in past:
        rows.add_row(
            cycle.id, cycle.status, ago(cycle.created_at, now), cycle.reason, cycle.outcome
        )
    page(rows if past else "No cycle yet. Start one with: tuneloop run")


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

    with finishing(open_project(file, quiet=True)) as project:
        current = cycles.find(project.workspace, project.model.name, cycle)
        if follow:
            current = followed(
                lambda: cycles.find(project.workspace, project.model.name, current.id),
                say=lambda cycle: _doing(cycle, project.under_way()),
                until=lambda cycle: cycle.status not in ("asked", "running"),
            )
        doing = project.under_way() if current.status == "running" else []
    if json_:
        print_json({**vars(current), "under_way": doing})
        return
    out.print(f"{current.id}: {current.status}. {current.outcome}", markup=False)
    for piece in doing:
        out.print(f"now: {piece}", markup=False)
    out.print(f"why: {current.reason}", markup=False)
    rows = table("step", "seconds", "made")
    for step, figures in current.steps.items():
        # What a step measured, lists of figures, is in its report; `--json` has it as well.
        what = ", ".join(
            f"{key} {value}"
            for key, value in figures.items()
            if key != "seconds" and isinstance(value, str)
        )
        rows.add_row(step, f"{figures['seconds']:.0f}", what)
    page(rows if current.steps else "No step is done yet.")


@app.command()
def cancel(
    cycle: CycleArgument = "latest", file: ModelOption = DEFAULT_FILE, json_: JsonOption = False
) -> None:
    """End a cycle; what it has made is kept, and a rollout that it began goes on.

    Example: tuneloop cycle cancel latest
    """
    from tuneloop.retraining import cycles

    with finishing(open_project(file, quiet=True)) as project:
        ended = cycles.cancel(project.workspace, project.model.name, cycle, actor=project.actor)
    if json_:
        print_json(ended)
    else:
        out.print(f"Cycle {ended.id} is cancelled. Production is as it was.")
        if "rollout" in ended.steps:
            out.print("A rollout that it began goes on: tuneloop rollout status")


def _doing(cycle: Cycle, under_way: Sequence[UnderWay]) -> str:
    done = ", ".join(f"{step} {figures['seconds']:.0f} s" for step, figures in cycle.steps.items())
    now = "; ".join(str(piece) for piece in under_way) or f"done: {done or 'nothing yet'}"
    return f"cycle {cycle.id} is {cycle.status}; {now}"
