"""`tuneloop init` and `tuneloop run`."""

from __future__ import annotations

from pathlib import Path
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


def init(
    data: Annotated[Path, typer.Argument(help="A JSONL, CSV or Parquet file with examples.")],
    base: Annotated[
        str, typer.Option(help="Hugging Face id, local folder, .gguf file or package:MODULE.")
    ] = "HuggingFaceTB/SmolLM2-135M-Instruct",
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    file: Annotated[Path, typer.Option("--file", "-f", help="Where to write it.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at a data file and write a commented model file for it.

    Example: tuneloop init examples.jsonl --base ./my-base
    """
    from tuneloop.retraining.starting import write_model_file

    path = write_model_file(data, base=base, name=name, path=file, force=force)
    out.print(f"Wrote {path}. Read it, change what is wrong, then: [bold]tuneloop run[/]")


def run(
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept.")] = "started by hand",
    force: Annotated[
        bool, typer.Option("--force", help="Also when there is nothing new to train on.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Do one cycle: corrections, dataset, training, evaluation, and deployment if the gates pass.

    A cycle that was killed goes on where it was. Exit code 3: the candidate was refused and
    production is unchanged. Exit code 4: the candidate waits for a person's approval; once it is
    given, the same command goes on.

    Example: tuneloop run -m "the corrections of May"
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        result = loop.run(reason=reason, force=force)
    if json_:
        print_json(result)
    else:
        out.print(result.outcome, style="bold", soft_wrap=True, markup=False)
        if result.waits_for_people:
            out.print("Once that is done, the worker goes on, or you: tuneloop run")
    if result.refused:
        raise typer.Exit(3)
    if result.waits_for_people:
        raise typer.Exit(4)
