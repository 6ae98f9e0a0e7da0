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

    Stop with Ctrl-C, or with `tuneloop down`.
    """
    with finishing(open_loop(file, overrides)) as loop:
        if detach:
            url = loop.up_detached()
            out.print(f"Serving at [bold]{url}[/] as model {loop.model.endpoint_name!r}.")
        else:
            loop.up()


def down(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Stop what `tuneloop up` started."""
    with finishing(open_loop(file, quiet=True)) as loop:
        stopped = loop.down()
    if json_:
        print_json({"stopped": stopped})
    else:
        out.print("Stopped." if stopped else "Nothing was running.")
