"""`tuneloop evaluate` and `tuneloop evaluation`: scores, gates, reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuneloop.cli.choosing import WithOption
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

app = typer.Typer(no_args_is_help=True, help="Evaluations: list, show, compare blindly.")


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

    Example: tuneloop evaluate production
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
    from tuneloop.hashing import short

    with finishing(open_loop(file, quiet=True)) as loop:
        evaluations, now = loop.evaluations(), loop.workspace.now()
    if json_:
        print_json(evaluations)
        return
    rows = table("evaluation", "subject", "verdict", "when")
    for evaluation in evaluations:
        rows.add_row(
            evaluation.id,
            short(evaluation.subject),
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


@app.command()
def compare(
    evaluation: Annotated[str, typer.Argument(help="Id, its beginning, or `latest`.")] = "latest",
    with_: WithOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many pairs.")] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write the pairs to fill in: .csv or .jsonl.")
    ] = None,
    choices: Annotated[
        Path | None, typer.Option("--choices", help="Take the choices of a sheet filled in.")
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option("--reviewer", help="Who chooses; default: you.")
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Choose between two answers to each case, without knowing whose they are.

    The candidate's answers of an evaluation against production's or the untuned base's, in an
    order that was drawn. Stop when you like: the next call goes on. With --json nothing is asked,
    it prints what was chosen so far. The judge chooses in the same pairs: tuneloop judge compare.

    Example: tuneloop evaluation compare latest --with base --sheet pairs.csv
    """
    from tuneloop.cli import choosing

    with finishing(open_loop(file, quiet=True)) as loop:
        compared = loop.evaluation(evaluation)
        desk = loop.review.blind(
            compared,
            reference=choosing.reference_of(with_),
            reviewer=reviewer,
        )
        if sheet is not None:
            waiting = desk.waiting()[:limit]
            choosing.write_sheet(sheet, waiting)
            # `latest` may be another one by the time that somebody has filled it in.
            said: dict[str, object] = {
                "sheet": str(sheet),
                "pairs": len(waiting),
                "evaluation": compared.id,
            }
            print_json(said) if json_ else out.print(
                f"Wrote {len(waiting)} pairs to {sheet}. Fill in `choice`: A, B or tie; then: "
                f"tuneloop evaluation compare {compared.id} --choices FILE --reviewer NAME",
                markup=False,
            )
            return
        if choices is not None:
            desk.choose(choosing.read_sheet(choices))
        elif not json_:
            choosing.walk(desk, limit=limit)
        result = desk.result()
    print_json(result) if json_ else choosing.print_result(result)
