"""`tuneloop rollout`: move an endpoint to a candidate step by step."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
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
    from tuneloop.deployment.controller import Steer
    from tuneloop.deployment.rollouts import Rollout

app = typer.Typer(
    no_args_is_help=True,
    help="Rollouts: shadow → canary → full, judged on live traffic. A candidate that is proven "
    "worse is rolled back by itself.",
)
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the history.")]


@app.command()
def start(
    bundle: Annotated[str, typer.Argument(help="Id, its beginning, or `candidate`.")] = "candidate",
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Begin to move the endpoint to a bundle; steps and guards are the model file's `rollout:`.

    Example: tuneloop rollout start candidate --set rollout.shadow=false
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        begun, now = loop.roll_out(bundle), loop.workspace.now()
    print_json(begun) if json_ else _show(begun, now)


@app.command()
def status(
    rollout: Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")] = "latest",
    follow: Annotated[
        bool, typer.Option("--follow", help="Until it is over, or a person paused it.")
    ] = False,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show where a rollout is and every move it made, with the reason.

    Example: tuneloop rollout status --follow
    """
    from tuneloop.deployment import rollouts

    with finishing(open_loop(file, quiet=True)) as loop:
        current = loop.rollout(rollout)
        if follow:
            current = followed(
                lambda: loop.rollout(current.id),
                say=_doing,
                until=lambda rollout: rollout.status != "running",
            )
        now = loop.workspace.now()
        events = rollouts.events(loop.workspace, current.id)
    if json_:
        print_json({"rollout": current, "events": events})
        return
    _show(current, now)
    rows = table("when", "move", "to", "who", "why")
    for event in events:
        stage = current.plan.stages[int(event.detail["step"])]
        reason = str(event.detail["reason"])
        rows.add_row(ago(event.at, now), event.event, str(stage), event.actor, reason)
    page(rows)


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List the rollouts, the newest first.

    Example: tuneloop rollout list
    """
    from tuneloop.hashing import short

    with finishing(open_loop(file, quiet=True)) as loop:
        past, now = loop.rollouts(), loop.workspace.now()
    if json_:
        print_json(past)
        return
    rows = table("rollout", "candidate", "status", "stage", "begun", "why", optional=("begun",))
    for rollout in past:
        begun = ago(rollout.created_at, now)
        rows.add_row(
            rollout.id,
            short(rollout.candidate),
            rollout.status,
            str(rollout.stage),
            begun,
            rollout.detail,
        )
    page(rows if past else "No rollout yet. Start one with: tuneloop rollout start")


@app.command()
def pause(
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "paused by hand",
    json_: JsonOption = False,
) -> None:
    """Decide nothing until it is resumed; a canary keeps its share.

    Example: tuneloop rollout pause -m "holidays"
    """
    _steer("pause", file, reason, json_)


@app.command()
def resume(
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "resumed by hand",
    json_: JsonOption = False,
) -> None:
    """Go on with a paused rollout.

    Example: tuneloop rollout resume
    """
    _steer("resume", file, reason, json_)


@app.command()
def promote(
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "promoted by hand",
    json_: JsonOption = False,
) -> None:
    """Take the next step now, whatever the guards say.

    Example: tuneloop rollout promote -m "traffic is too thin at night"
    """
    _steer("promote", file, reason, json_)


@app.command()
def abort(
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "aborted by hand",
    json_: JsonOption = False,
) -> None:
    """End the rollout: production answers everything again, within a second.

    Its candidate stays out until somebody readmits it; where it is not to blame, pause instead.

    Example: tuneloop rollout abort -m "wrong candidate"
    """
    _steer("abort", file, reason, json_)


def _steer(command: Steer, file: Path, reason: str, json_: bool) -> None:
    with finishing(open_loop(file, quiet=True)) as loop:
        moved, now = loop.steer_rollout(command, reason=reason), loop.workspace.now()
    print_json(moved) if json_ else _show(moved, now)


def _show(rollout: Rollout, now: datetime) -> None:
    from tuneloop.hashing import short

    since = ago(rollout.step_since, now).removesuffix(" ago")
    out.print(
        f"Rollout {rollout.id}: {short(rollout.production)} → {short(rollout.candidate)}, "
        f"{rollout.stage}, {rollout.status}, in this step for {since}.",
        markup=False,
    )
    out.print(rollout.detail, markup=False)


def _doing(rollout: Rollout) -> str:
    return f"rollout {rollout.id}: {rollout.stage}; {rollout.detail}"
