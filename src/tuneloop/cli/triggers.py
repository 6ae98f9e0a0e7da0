"""`tuneloop triggers`: whether to retrain, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_project,
    out,
    paged,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.modelfile import ModelSettings
    from tuneloop.retraining.triggers import RetrainDecision

app = typer.Typer(no_args_is_help=True, help="Whether to retrain, and why.")

_COLOURS = {
    "retrain": "bold green",
    "ask": "bold yellow",
    "do_not": "bold",
    "fired": "red",
    "suspected": "yellow",
    "quiet": "green",
    "unknown": "dim",
}
_WORDS = {"retrain": "retrain", "ask": "ask a person", "do_not": "do not retrain"}


@app.command()
def check(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Decide now, as the worker does every day, and say what the worker would do about it.

    Nothing is begun. With --json, `action` is retrain, ask or do_not.

    Example: tuneloop triggers check --set triggers.minimum_corrections=50
    """
    from tuneloop.retraining import decisions

    with finishing(open_project(file, overrides, quiet=json_)) as project:
        _report(decisions.decide(project), project.model, json_)


@app.command()
def explain(
    file: ModelOption = DEFAULT_FILE,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 10,
    json_: JsonOption = False,
) -> None:
    """Show the decisions that were made, each with its numbers.

    Example: tuneloop triggers explain --limit 3
    """
    from tuneloop.retraining import decisions

    with finishing(open_project(file, quiet=True)) as project:
        past = decisions.listing(project.workspace, project.model.name, limit=limit)
    if json_:
        print_json(past)
        return
    if not past:
        out.print("No decisions yet. Make one with: tuneloop triggers check")
    with paged():
        for number, decision in enumerate(past):
            if number:
                out.print()
            _print(decision)


def _report(decision: RetrainDecision, model: ModelSettings, json_: bool) -> None:
    from tuneloop.retraining import levels

    worker = levels.consequence(decision, model)
    if json_:
        print_json({**vars(decision), "worker": worker})
        return
    _print(decision)
    out.print(f"worker: {worker}", markup=False)


def _print(decision: RetrainDecision) -> None:
    out.print(
        Text.assemble(
            (_WORDS[decision.action], _COLOURS[decision.action]),
            f"  {decision.at:%Y-%m-%d %H:%M} UTC, record {decision.id}, "
            f"automation level {decision.level}",
        )
    )
    out.print(decision.reason, markup=False)
    if decision.would_change:
        out.print(f"would change it: {decision.would_change}", markup=False)
    if decision.earliest is not None:
        out.print(f"not before: {decision.earliest:%Y-%m-%d}", markup=False)
    rows = table("rule", "found", "")
    for finding in decision.findings:
        rows.add_row(
            finding.rule, Text(finding.state, style=_COLOURS[finding.state]), finding.message
        )
    out.print(rows)
