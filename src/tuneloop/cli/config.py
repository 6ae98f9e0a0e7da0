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
    """Say whether the model file is valid and what it names is there.

    Lists every mistake with its line and the nearest name: keys, gates, suites, metrics, columns,
    sources, the base. Exit code 2 if there is one. `tuneloop check` looks at what else can fail:
    rows, template, tokens, lengths, memory, disk, servers.

    Example: tuneloop config check -f models/router/tuneloop.yaml
    """
    from tuneloop.modelfile import load, load_what_is_valid
    from tuneloop.setup import names

    overrides = overrides or []
    model_file, mistakes = load_what_is_valid(file, overrides=overrides)
    if model_file is None:
        model_file = load(file, overrides=overrides)  # Says what is wrong.
    problems = names.problems(model_file)
    wrong = [problem for problem in problems if problem.certain]
    if json_:
        print_json(
            {
                "valid": not mistakes and not wrong,
                "path": str(model_file.path),
                "name": model_file.settings.name,
                "mistakes": mistakes,
                "problems": [
                    {
                        "key": problem.key,
                        "line": model_file.line(problem.at),
                        "message": problem.message,
                        "remedy": problem.remedy,
                        "certain": problem.certain,
                    }
                    for problem in problems
                ],
            }
        )
        if mistakes or wrong:
            raise typer.Exit(2)
        return
    if mistakes or wrong:
        raise names.refusal(model_file, wrong, mistakes=mistakes)
    for problem in problems:
        out.print(f"could not be checked: {names.line(model_file, problem)}", markup=False)
    out.print(
        f"{model_file.path} is valid: the model is {model_file.settings.name}.",
        markup=False,
        soft_wrap=True,
    )


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

    model_file = load(file, overrides=overrides or ())
    values = model_file.changed() if changed else model_file.values()
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
