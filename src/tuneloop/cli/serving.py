"""`tuneloop up` and `tuneloop down`."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_loop,
    out,
    print_json,
)


def up(
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything is ready.")
    ] = False,
) -> None:
    """Serve: the gateway and one model server for each warm bundle, restarted when they crash.

    The endpoint takes over its name and settings from the model file. Stop with Ctrl-C, or with
    `tuneloop down`.

    Example: tuneloop up --detach
    """
    from tuneloop import logs
    from tuneloop.deployment import servers
    from tuneloop.hashing import short

    with finishing(open_loop(file, overrides)) as loop:
        if not detach:
            logs.configure()
            loop.up()
            return
        loop.progress.step("Starting the gateway and the model servers")
        url = loop.up_detached()
        behind = servers.not_ready(loop.workspace)[1]
    out.print(f"Serving at [bold]{url}[/] as model {loop.model.endpoint_name!r}.")
    for server in behind:
        out.print(
            f"The model server of {short(server.bundle)}, kept warm for a rollback, is not "
            f"ready: {server.status}. {server.detail}",
            style="yellow",
            markup=False,
        )


def restart(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Replace the gateway processes one after the other; no request is dropped.

    Example: tuneloop restart
    """
    from tuneloop.deployment import up as serving

    with finishing(open_loop(file, quiet=True)) as loop:
        serving.restart_gateways(loop.workspace)
    if json_:
        print_json({"restarting": True})
    else:
        out.print("The gateways are being replaced, one after the other.")


def down(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Stop what `tuneloop up` started.

    Example: tuneloop down
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        loop.progress.step("Stopping the gateway and the model servers")
        stopped = loop.down()
    if json_:
        print_json({"stopped": stopped})
    else:
        out.print("Stopped." if stopped else "Nothing was running.")
