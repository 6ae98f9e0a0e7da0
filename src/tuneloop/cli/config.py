"""`tuneloop config`: check and show the model file."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    out,
    page,
    print_json,
    table,
)

app = typer.Typer(no_args_is_help=True, help="Check and show the model file.")


@app.command()
def check(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Say whether the model file is valid; lists every mistake with its line.

    Example: tuneloop config check -f models/router/tuneloop.yaml
    """
    from tuneloop.modelfile import load

    found = load(file, overrides=overrides or ())
    if json_:
        print_json({"valid": True, "path": str(found.path), "name": found.settings.name})
    else:
        out.print(f"{found.path} is valid: the model is {found.settings.name}.")


@app.command()
def show(
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what differs from the defaults.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Show every value and where it came from: default, file, environment or flag.

    Example: tuneloop config show --changed
    """
    from tuneloop.modelfile import load

    found = load(file, overrides=overrides or ())
    values = found.changed() if changed else found.values()
    if json_:
        print_json({key: {"value": value, "origin": origin} for key, value, origin in values})
        return
    rows = table("key", "value", "from")
    for key, value, origin in values:
        rows.add_row(key, json.dumps(value, ensure_ascii=False), origin)
    page(rows)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the model file, for editors.

    Example: tuneloop config schema > tuneloop.schema.json
    """
    from tuneloop.modelfile import schema as model_file_schema

    print_json(model_file_schema())
