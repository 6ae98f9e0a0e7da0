"""`tuneloop train` and `tuneloop runs`: training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.training.stage import TrainingRun

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
    """List training runs, the newest first: the last step's loss, the best evaluation loss.

    Example: tuneloop runs list --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        runs, now = loop.training_runs(), loop.workspace.now()
    if json_:
        print_json([_as_json(run) for run in runs])
        return
    rows = table(
        "run",
        "status",
        "dataset",
        "last loss",
        "evaluation",
        "tokens/s",
        "started",
        optional=("tokens/s", "dataset"),
    )
    for run in runs:
        rows.add_row(
            run.id,
            run.status,
            run.dataset[:12],
            _number(run.losses.last),
            _number(run.losses.held_out),
            _number(run.record.get("tokens_per_second")),
            ago(run.created_at, now),
        )
    page(rows if runs else "No training run yet. Start one with: tuneloop train")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show a run on one screen, also one that is under way; the full record with --json.

    Example: tuneloop runs show latest
    """
    from tuneloop.cli.sheets import run_sheet

    with finishing(open_loop(file, quiet=True)) as loop:
        every = loop.training_runs()
        under_way = run == "latest" and every and every[0].status == "running"
        training_run = every[0] if under_way else loop.training_run(run)
        doing = next(
            (str(piece) for piece in loop.under_way() if training_run.id in piece.step), None
        )
    if json_:
        print_json({**_as_json(training_run), "under_way": doing})
    else:
        page(run_sheet(training_run, doing))


def _as_json(run: TrainingRun) -> dict[str, Any]:
    """The record as it is stored, and what it says of the losses."""
    return {**vars(run), "losses": run.losses}


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else "–"
