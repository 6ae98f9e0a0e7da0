"""`tuneloop alert`: what monitors spoke up about."""

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

app = typer.Typer(no_args_is_help=True, help="Alerts: list, acknowledge.")


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    json_: JsonOption = False,
) -> None:
    """List open alerts.

    Example: tuneloop alert list --all
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found, now = loop.alerts(all_=all_), loop.workspace.now()
    if json_:
        print_json(found)
        return
    rows = table("alert", "monitor", "status", "opened", "seen", "message")
    for one in found:
        rows.add_row(
            one.id, one.monitor, one.status, ago(one.opened_at, now), str(one.seen), one.message
        )
    out.print(rows if found else "No open alerts.")


@app.command()
def ack(
    alert: Annotated[str, typer.Argument(help="Its id, from `tuneloop alert list`.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Say that you are looking after an alert; it stays until the monitor is well again.

    Example: tuneloop alert ack 5f2b9a10c4de
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        loop.acknowledge(alert)
    print_json({"acknowledged": alert}) if json_ else out.print(f"{alert} is acknowledged.")
