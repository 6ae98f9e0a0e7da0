"""`tuneloop train` and `tuneloop runs`: training runs."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    ago,
    finishing,
    open_loop,
    out,
    print_json,
    table,
)

app = typer.Typer(no_args_is_help=True, help="Training runs: list, show.")


def train(
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    dataset: Annotated[str, typer.Option(help="Dataset version.")] = "latest",
    force: Annotated[
        bool, typer.Option("--force", help="Train again even if the same run exists.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Train on a dataset version; a killed run continues from its last checkpoint.

    Example: tuneloop train --set training.epochs=5
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        loop.check(base=True, rows=False)
        run = loop.train(loop.dataset(dataset), force=force)
    if json_:
        print_json(run)
    else:
        out.print(f"Training run [bold]{run.id}[/] is {run.status}.")


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List training runs, the newest first.

    Example: tuneloop runs list --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found, now = loop.training_runs(), loop.workspace.now()
    if json_:
        print_json(found)
        return
    rows = table("run", "status", "dataset", "loss", "eval loss", "tokens/s", "started")
    for run in found:
        record = run.record
        rows.add_row(
            run.id,
            run.status,
            run.dataset[:12],
            _number(record.get("final_loss")),
            _number(record.get("final_eval_loss")),
            _number(record.get("tokens_per_second")),
            ago(run.created_at, now),
        )
    out.print(rows if found else "No training run yet. Start one with: tuneloop train")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show the full record of a run: what is needed to repeat it.

    Example: tuneloop runs show latest
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        found = loop.training_run(run)
    print_json(found) if json_ else out.print_json(data=dict(found.record))


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else "–"
