"""`tuneloop review`: a person decides which corrections may be trained on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_loop,
    out,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop
    from tuneloop.retraining.review import Decision, ReviewItem

app = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    help="Review corrections from production; without a command, one after the other.\n\n"
    "Example: tuneloop review --reviewer Ines",
)
ReviewerOption = Annotated[
    str | None, typer.Option("--reviewer", help="Who decides; default: you.")
]
Items = Annotated[list[str] | None, typer.Argument(help="Ids of review items.")]


@app.callback()
def walk(
    context: typer.Context, file: ModelOption = DEFAULT_FILE, reviewer: ReviewerOption = None
) -> None:
    """Go through the open items: approve, edit, reject or skip each."""
    if context.invoked_subcommand is not None:
        return
    from tuneloop.retraining import review
    from tuneloop.workspace import actor

    with finishing(open_loop(file, quiet=True)) as loop:
        loop.collect_corrections()
        items = review.listing(loop.workspace, loop.model.name)
        if not items:
            out.print("Nothing to review.")
            return
        spent: list[tuple[str, float]] = []
        for number, item in enumerate(items, start=1):
            began = time.monotonic()
            decision = _ask(item, f"{number}/{len(items)}")
            if decision is None:
                break
            status, final = decision
            seconds = time.monotonic() - began
            review.decide(
                loop.workspace,
                model=loop.model.name,
                item=item.id,
                decision=status,
                reviewer=reviewer or actor(),
                final=final,
                seconds=seconds,
            )
            spent.append((status, seconds))
        _summary(spent)


def _ask(item: ReviewItem, position: str) -> tuple[Decision, str | None] | None:
    """What the person decided about one item; None to stop here."""
    from rich.markup import escape
    from rich.prompt import Prompt

    out.rule(position)
    out.print(f"[bold]Asked[/]    {escape(item.question)}")
    out.print(f"[bold]Answered[/] {escape(item.answer)}")
    out.print(f"[bold]Proposed[/] [green]{escape(item.proposal)}[/]")
    key = Prompt.ask(
        "[a]pprove, [e]dit, [r]eject, [s]kip, [q]uit".replace("[", "\\["),
        choices=["a", "e", "r", "s", "q"],
        default="a",
        console=out,
    )
    if key == "q":
        return None
    if key == "e":
        return "approved", _edited(item.proposal)
    if key == "a":
        # What was read, not what a client may have sent since.
        return "approved", item.proposal
    decisions: dict[str, Decision] = {"r": "rejected", "s": "skipped"}
    return decisions[key], None


def _edited(proposal: str) -> str:
    from rich.prompt import Prompt

    while not (edited := Prompt.ask("The right answer", default=proposal, console=out).strip()):
        out.print("An empty answer cannot be approved.")
    return edited


def _summary(spent: list[tuple[str, float]]) -> None:
    from tuneloop.retraining import review

    counts = {status: sum(s == status for s, _ in spent) for status, _ in spent}
    out.print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    if (speed := review.pace(spent)) is not None:
        out.print(f"{speed:.0f} examples per hour (30–50 is good for careful work)")


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    status: Annotated[str, typer.Option(help="open, approved, rejected, skipped or all.")] = "open",
    json_: JsonOption = False,
) -> None:
    """List review items.

    Example: tuneloop review list --status approved
    """
    from tuneloop.retraining import review

    with finishing(open_loop(file, quiet=True)) as loop:
        loop.collect_corrections()
        items = review.listing(
            loop.workspace, loop.model.name, status=None if status == "all" else status
        )
    if json_:
        print_json(items)
        return
    rows = table("id", "asked", "answered", "proposed", "status")
    for item in items:
        rows.add_row(item.id, item.question, item.answer, item.proposal, item.status)
    out.print(rows if items else f"No {status} items.")


@app.command()
def approve(
    items: Items = None,
    all_: Annotated[bool, typer.Option("--all", help="Every open item.")] = False,
    file: ModelOption = DEFAULT_FILE,
    reviewer: ReviewerOption = None,
    json_: JsonOption = False,
) -> None:
    """Approve items by id, or all open ones after you have read them with `review list`.

    Example: tuneloop review approve 1f0c5d2a9b77 --reviewer Ines
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        count = _decide_many(loop, items or [], all_, "approved", reviewer)
    print_json({"approved": count}) if json_ else out.print(f"{count} approved.")


@app.command()
def reject(
    items: Items = None,
    all_: Annotated[bool, typer.Option("--all", help="Every open item.")] = False,
    file: ModelOption = DEFAULT_FILE,
    reviewer: ReviewerOption = None,
    json_: JsonOption = False,
) -> None:
    """Reject items by id, or all open ones.

    Example: tuneloop review reject 1f0c5d2a9b77
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        count = _decide_many(loop, items or [], all_, "rejected", reviewer)
    print_json({"rejected": count}) if json_ else out.print(f"{count} rejected.")


def _decide_many(
    loop: Loop, items: list[str], all_: bool, decision: Decision, reviewer: str | None
) -> int:
    from tuneloop.errors import UsageError
    from tuneloop.retraining import review
    from tuneloop.workspace import actor

    # Nothing is collected here: what is approved is what `review list` has shown.
    if all_:
        items = [item.id for item in review.listing(loop.workspace, loop.model.name)]
    elif not items:
        raise UsageError("Which items?", remedy="Name their ids, or say --all.")
    for item in items:
        review.decide(
            loop.workspace,
            model=loop.model.name,
            item=item,
            decision=decision,
            reviewer=reviewer or actor(),
        )
    return len(items)
