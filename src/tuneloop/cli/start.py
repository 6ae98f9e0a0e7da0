"""`tuneloop init` and `tuneloop run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tuneloop.cli.layout import part_by_part
from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_loop,
    out,
    print_json,
    table,
    told_on_err,
)

if TYPE_CHECKING:
    from tuneloop.setup.starting import Started


def init(
    data: Annotated[
        Path, typer.Argument(help="A file with examples: JSON, CSV, Parquet, a sheet.")
    ],
    base: Annotated[
        str, typer.Option(help="Hugging Face id, local folder, .gguf file or package:MODULE.")
    ] = "HuggingFaceTB/SmolLM2-135M-Instruct",
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    file: Annotated[Path, typer.Option("--file", "-f", help="Where to write it.")] = DEFAULT_FILE,
    prompt: Annotated[
        str | None, typer.Option(help="Column with what is asked, where its name does not tell.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(help="Column with the right answer, text or JSON.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_: JsonOption = False,
) -> None:
    """Look at a data file and write a commented model file for it.

    Says what was found: rows, form, columns, fields of JSON answers, groups; and what to look at.
    Exit code 1 if the file that was written names what is not there, such as the base.

    Example: tuneloop init messages.csv --prompt message --answer slots
    """
    from tuneloop.setup import starting

    with told_on_err(quiet=json_) as progress:
        started = starting.write_model_file(
            data,
            base=base,
            name=name,
            path=file,
            prompt=prompt,
            answer=answer,
            force=force,
            progress=progress,
        )
    path = started.model_file.path
    next_ = "tuneloop run" if path == DEFAULT_FILE.resolve() else f"tuneloop run -f {file}"
    if json_:
        print_json(
            {
                "path": str(path),
                "name": started.model_file.settings.name,
                "found": started.seen,
                "problems": started.problems,
                "look_at": list(starting.worth_a_look(started)),
                "next": next_,
            }
        )
    else:
        _tell(started, data=data, file=file, then=next_)
    if any(problem.certain for problem in started.problems):
        raise typer.Exit(1)


def _tell(started: Started, *, data: Path, file: Path, then: str) -> None:
    """What was found, what to look at in the file that was written, and the next step."""
    from tuneloop.setup import starting

    rows = table("found in", data.name)
    for what, text in starting.found_out(started):
        rows.add_row(what, text)
    out.print(rows)
    written = file / started.model_file.path.name if file.is_dir() else file
    look_at = list(starting.worth_a_look(started))
    out.print(f"\nWrote {written}." + (" Look at:" if look_at else ""), markup=False)
    for text in look_at:
        out.print(f"• {text}", markup=False)
    wrong = any(problem.certain for problem in started.problems)
    out.print(f"{'Correct what is not there, then' if wrong else 'Then'}: [bold]{escape(then)}[/]")


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
        told = part_by_part(result.outcome) if out.is_terminal else result.outcome
        out.print(told, style="bold", markup=False)
        if result.waits_for_people:
            out.print("Once that is done, the worker goes on, or you: tuneloop run")
    if result.refused:
        raise typer.Exit(3)
    if result.waits_for_people:
        raise typer.Exit(4)
