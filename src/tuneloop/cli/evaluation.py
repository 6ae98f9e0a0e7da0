"""`tuneloop evaluate` and `tuneloop evaluation`: scores, gates, reports."""

from __future__ import annotations

from pathlib import Path
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
    page,
    print_json,
    table,
)

app = typer.Typer(no_args_is_help=True, help="Evaluations: list, show, write the report.")


def evaluate(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: id, its beginning, or production|previous|candidate.")
    ] = "candidate",
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Evaluate a bundle again, as it is served, on the suites of the model file.

    The bundle keeps the scores it was made with; this is a new evaluation with its own gates.
    Exit code 3 when a gate does not pass.

    Example: tuneloop evaluate production --set evaluation.margin=0.05
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        done = loop.evaluate_bundle(bundle)
        report = loop.report(done)
    if json_:
        print_json(report.as_json())
    else:
        page(*report.as_terminal())
    if done.verdict != "passed":
        raise typer.Exit(3)


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List evaluations, the newest first.

    Example: tuneloop evaluation list --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        evaluations, now = loop.evaluations(), loop.workspace.now()
    if json_:
        print_json(evaluations)
        return
    rows = table("evaluation", "subject", "verdict", "when")
    for evaluation in evaluations:
        rows.add_row(
            evaluation.id,
            evaluation.subject,
            evaluation.verdict or evaluation.status,
            ago(evaluation.created_at, now),
        )
    page(rows if evaluations else "No evaluation yet.")


@app.command()
def show(
    evaluation: Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")],
    file: ModelOption = DEFAULT_FILE,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as one HTML file.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Show the report of an evaluation; `latest` is the newest.

    Example: tuneloop evaluation show latest --html report.html
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        report = loop.report(loop.evaluation(evaluation))
    if html is not None:
        html.write_text(report.as_html(), encoding="utf-8")
        out.print(f"Wrote {html}.")
    elif json_:
        print_json(report.as_json())
    else:
        page(*report.as_terminal())
