"""`tuneloop deploy`, `rollback`, `history`."""

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
    print_json,
    table,
)

ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the history.")]


def deploy(
    bundle: Annotated[str, typer.Argument(help="Id, its beginning, or `candidate`.")] = "candidate",
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "deployed by hand",
    json_: JsonOption = False,
) -> None:
    """Put a bundle into production: verify, smoke-test, then switch the route.

    A bundle whose gates did not pass is refused. Example: tuneloop deploy 3f2a9c -m "new product"
    """
    from tuneloop.deployment import endpoints

    with finishing(open_loop(file, quiet=json_)) as loop:
        done = loop.deploy(bundle, reason=reason)
    if json_:
        print_json({"endpoint": done.endpoint, "smoke": done.smoke, "serving": done.serving})
        return
    out.print(endpoints.describe(done.endpoint))
    if not done.serving:
        out.print("It is not being served yet: start it with [bold]tuneloop up[/].")


def rollback(
    file: ModelOption = DEFAULT_FILE,
    reason: ReasonOption = "rolled back by hand",
    json_: JsonOption = False,
) -> None:
    """Go back to the previous bundle, at once; doing it again undoes it."""
    from tuneloop.deployment import endpoints

    with finishing(open_loop(file, quiet=json_)) as loop:
        endpoint = loop.roll_back(reason=reason)
    if json_:
        print_json(endpoint)
    else:
        out.print(endpoints.describe(endpoint))
        out.print("Undo with: tuneloop rollback")


def history(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Show what was in production when, who moved it and why."""
    from tuneloop.hashing import short
    from tuneloop.registry import aliases

    with finishing(open_loop(file, quiet=True)) as loop:
        moves = [
            move
            for move in aliases.history(loop.workspace, loop.model.name)
            if move.name == "production"
        ]
        now = loop.workspace.now()
    if json_:
        print_json(moves)
        return
    rows = table("when", "from", "to", "who", "why")
    for move in moves:
        rows.add_row(
            f"{move.at:%m-%d %H:%M}, {ago(move.at, now)}",
            short(move.from_bundle) if move.from_bundle else "–",
            short(move.to_bundle) if move.to_bundle else "–",
            move.actor,
            move.reason,
        )
    out.print(rows if moves else "Nothing was deployed yet.")
