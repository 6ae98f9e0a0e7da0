"""`tuneloop review`: a person decides what may be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tuneloop.amounts import many
from tuneloop.cli.changes import share, shown_item
from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_project,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.cli.layout import Rows
    from tuneloop.project import Project
    from tuneloop.prose.changes import Edit
    from tuneloop.review import Decision, ReviewItem, ReviewStats

app = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    help="Review corrections from production; without a command, one after the other.\n\n"
    "Example: tuneloop review --reviewer Ines",
)
ReviewerOption = Annotated[
    str | None, typer.Option("--reviewer", help="Who decides; default: you.")
]
_PROSE = ("edits", "measures")
"""Figures that answers of prose alone have."""
_KINDS = {"form": "form only", "wording": "wording", "facts": "facts"}
_COUNTED = ("as proposed", "edited", "rejected", "skipped")
_SAID = {"second": "waiting for a second person", "disputed": "disputed: somebody settles them"}
Items = Annotated[list[str] | None, typer.Argument(help="Ids of review items.")]


@app.callback()
def walk(
    context: typer.Context, file: ModelOption = DEFAULT_FILE, reviewer: ReviewerOption = None
) -> None:
    """Go through the items that wait for you: approve, edit, reject or skip each."""
    if context.invoked_subcommand is not None:
        return
    from tuneloop import review
    from tuneloop.cli import reviewing

    with finishing(open_project(file, quiet=True)) as project:
        review.collect_corrections(project)
        spent = reviewing.walk(project, reviewer or project.actor)
    _summary(spent)


def _summary(spent: list[tuple[str, float]]) -> None:
    from tuneloop import review

    if not spent:
        out.print("Nothing to review.")
        return
    counts = {status: sum(s == status for s, _ in spent) for status, _ in spent}
    out.print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    if (speed := review.pace(spent)) is not None:
        out.print(f"{speed:.0f} examples per hour (30–50 is good for careful work)")


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    status: Annotated[
        Literal["open", "second", "disputed", "skipped", "approved", "rejected", "all"],
        typer.Option(help="Only items in this state."),
    ] = "open",
    limit: Annotated[int | None, typer.Option(help="At most so many.", min=1)] = None,
    json_: JsonOption = False,
) -> None:
    """List review items.

    Example: tuneloop review list --status approved --limit 20
    """
    from tuneloop import review
    from tuneloop.task.kind import is_prose

    with finishing(open_project(file, quiet=True)) as project:
        review.collect_corrections(project)
        items = review.listing(
            project.workspace, project.model.name, status=None if status == "all" else status
        )
        form = review.declared_form(project.model)
        prose = is_prose(project.model.task)
    shown = items[:limit]
    edits = {item.id: review.edit_in(item) if prose else None for item in shown}
    faults = {item.id: form.fault(item.final or item.proposal) for item in shown}
    if json_:
        print_json([_as_json(item, faults[item.id], edits[item.id], prose=prose) for item in shown])
        return
    rows = table(
        *("id", "kind", "asked", "answered", "proposed", *(["edit"] if prose else []), "status"),
        optional=("status", "kind"),
    )
    for item in shown:
        status_ = f"{item.status}, breaks the form" if faults[item.id] else item.status
        edit = edits[item.id]
        how = [f"{share(edit.share)} {edit.kind}" if edit else ""] if prose else []
        rows.add_row(
            *(item.id, item.kind, item.question, item.answer, item.proposal, *how, status_)
        )
    page(rows if items else f"No {status} items.")
    if len(items) > len(shown):
        out.print(f"… and {len(items) - len(shown)} more.")


def _as_json(
    item: ReviewItem, fault: str | None, edit: Edit | None, *, prose: bool
) -> dict[str, Any]:
    changed = {"edit": edit and edit.as_row()} if prose else {}
    return {**vars(item), "breaks_form": fault, **changed}


@app.command()
def show(
    item: Annotated[str, typer.Argument(help="Id of a review item.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show one item whole; of prose the words that were removed and added are marked.

    Example: tuneloop review show 1f0c5d2a9b77
    """
    from tuneloop import review
    from tuneloop.errors import UsageError
    from tuneloop.task.kind import is_prose

    with finishing(open_project(file, quiet=True)) as project:
        model = project.model
        queue = review.listing(project.workspace, model.name, status=None)
    found = next((one for one in queue if one.id == item), None)
    if found is None:
        raise UsageError(
            f"There is no review item {item!r}.",
            remedy="See them with: tuneloop review list --status all",
        )
    prose = is_prose(model.task)
    if json_:
        fault = review.declared_form(model).fault(found.final or found.proposal)
        edit = review.edit_in(found) if prose else None
        print_json(_as_json(found, fault, edit, prose=prose))
    else:
        page(*shown_item(found, out, prose=prose))


@app.command()
def approve(
    items: Items = None,
    all_: Annotated[bool, typer.Option("--all", help="Every open item.")] = False,
    answer: Annotated[
        str | None, typer.Option(help="The right answer of one item, if not the proposed one.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also answers that break the declared form.")
    ] = False,
    file: ModelOption = DEFAULT_FILE,
    reviewer: ReviewerOption = None,
    json_: JsonOption = False,
) -> None:
    """Approve items by id, or all open ones after you have read them with `review list`.

    Two people judge an item of status `second`; whoever judges a disputed one settles it. An answer
    that breaks the schema or pattern that the model file declares is not approved: of several items
    the others are (exit code 1), one alone is refused (2).

    Example: tuneloop review approve 1f0c5d2a9b77 --reviewer Ines
    """
    with finishing(open_project(file, quiet=True)) as project:
        _decide_many(
            project, items or [], all_, "approved", reviewer, json_, answer=answer, anyway=anyway
        )


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
    with finishing(open_project(file, quiet=True)) as project:
        _decide_many(project, items or [], all_, "rejected", reviewer, json_)


@app.command()
def undo(
    item: Annotated[str, typer.Argument(help="Id of a review item.")],
    file: ModelOption = DEFAULT_FILE,
    reviewer: ReviewerOption = None,
    json_: JsonOption = False,
) -> None:
    """Take back the last judgement of an item that no dataset version has used yet.

    Example: tuneloop review undo 1f0c5d2a9b77
    """
    from tuneloop import review
    from tuneloop.task.kind import is_prose

    with finishing(open_project(file, quiet=True)) as project:
        status = review.undo(
            project.workspace,
            model=project.model.name,
            item=item,
            reviewer=reviewer or project.actor,
            prose=is_prose(project.model.task),
        )
    if json_:
        print_json({"item": item, "status": status})
    else:
        out.print(f"{item} is {status} again.")


@app.command()
def stats(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Show pace, agreement between reviewers, and how long items have been waiting.

    Of prose also what was edited: form, wording or facts, and how much of the answers; and whether
    each measure favours the answers that people let stand.

    Example: tuneloop review stats --json
    """
    from tuneloop import review
    from tuneloop.task.kind import is_prose

    with finishing(open_project(file, quiet=True)) as project:
        review.collect_corrections(project)
        prose = is_prose(project.model.task)
        figures = review.stats(project.workspace, project.model.name, task=project.model.task)
    if json_:
        print_json({name: of for name, of in vars(figures).items() if prose or name not in _PROSE})
    else:
        _print_stats(figures, prose=prose)


def _print_stats(figures: ReviewStats, *, prose: bool) -> None:
    waiting = ", ".join(f"{count} {status}" for status, count in sorted(figures.waiting.items()))
    out.print(f"Waiting: {waiting or 'nothing'}")
    if figures.oldest_days is not None and figures.median_days is not None:
        out.print(
            f"Age: the oldest {figures.oldest_days:.1f} days, median {figures.median_days:.1f}"
        )
    if figures.pace is not None:
        out.print(
            f"Pace: {figures.pace.examples_per_hour:.0f} examples per expert hour "
            f"(n = {figures.pace.n}; 30–50 is good for careful work)"
        )
    if figures.slow:
        out.print("[yellow]An example takes more than 3 minutes: simplify what is asked.[/]")
    rows = table("reviewer", "as proposed", "edited", "rejected", "skipped", "per hour")
    for reviewer in figures.reviewers:
        counts = (str(reviewer.counts.get(word, 0)) for word in _COUNTED)
        rows.add_row(
            reviewer.name,
            *counts,
            f"{reviewer.pace.examples_per_hour:.0f}" if reviewer.pace else "",
        )
    if figures.reviewers:
        page(rows)
    if figures.edits is not None:
        kinds = ", ".join(
            f"{figures.edits.kinds.get(kind, 0)} {what}" for kind, what in _KINDS.items()
        )
        out.print(
            f"Edits: {kinds} (n = {figures.edits.n}); median {share(figures.edits.median_share)} "
            "of the words",
            markup=False,
        )
    out.print(_agreement(figures, prose=prose), markup=False)
    if figures.measures:
        page(_measures(figures))


def _measures(figures: ReviewStats) -> Rows:
    rows = table("measure", "agrees with people (AUC; 0.5: not)", "n")
    for name, of in figures.measures.items():
        rows.add_row(name, f"{of.value:.2f} ({of.low:.2f}–{of.high:.2f})", str(of.n))
    return rows


def _agreement(figures: ReviewStats, *, prose: bool) -> str:
    agreement = figures.agreement
    if agreement is None:
        return "Agreement: no item was judged by two people (review.double_share)."
    same = agreement.observed
    text = (
        f"Agreement: {same.value:.0%} ({same.low:.0%}–{same.high:.0%}) decided the same, "
        f"n = {agreement.n}"
    )
    if prose:
        text += f"; {agreement.same_answer.value:.0%} left nothing to settle"
    if agreement.kappa is None:
        return f"{text}; kappa says nothing where all decisions are one and the same."
    kappa = agreement.kappa
    return f"{text}; Cohen's kappa {kappa.value:.2f} ({kappa.low:.2f}–{kappa.high:.2f})"


def _decide_many(
    project: Project,
    items: list[str],
    all_: bool,
    decision: Decision,
    reviewer: str | None,
    json_: bool,
    *,
    answer: str | None = None,
    anyway: bool = False,
) -> None:
    from tuneloop import review
    from tuneloop.errors import UsageError
    from tuneloop.task.kind import is_prose

    prose = is_prose(project.model.task)
    # What is decided is what `review list` has shown: the rest is collected afterwards.
    if all_:
        items = [item.id for item in review.listing(project.workspace, project.model.name)]
    elif not items:
        raise UsageError("Which items?", remedy="Name their ids, or say --all.")
    if answer is not None and len(items) != 1:
        raise UsageError(f"--answer is for one item, found {len(items)}.")
    # Of several the others are approved; of one that was named it is said why not.
    several = all_ or len(items) > 1
    left = _broken(project, items) if several and decision == "approved" and not anyway else {}
    standing = [
        review.decide(
            project.workspace,
            model=project.model.name,
            item=item,
            decision=decision,
            reviewer=reviewer or project.actor,
            final=answer,
            form=review.declared_form(project.model),
            anyway=anyway,
            prose=prose,
        )
        for item in items
        if item not in left
    ]
    counts = {status: standing.count(status) for status in dict.fromkeys((decision, *standing))}
    unread = review.collect_corrections(project) if all_ else 0
    if json_:
        print_json({**counts, "breaks_form": left} if left else counts)
    else:
        out.print(", ".join(f"{count} {_SAID.get(s, s)}" for s, count in counts.items()) + ".")
    if unread and not json_:
        came = many(unread, "more item")
        out.print(f"{came} came in that nobody has seen: tuneloop review list")
    if left:
        _say_left(left, quiet=json_)
        raise typer.Exit(1)


def _broken(project: Project, items: list[str]) -> dict[str, str]:
    """Which of these items propose an answer that breaks the declared form, and how."""
    from tuneloop import review

    form = review.declared_form(project.model)
    queue = review.listing(project.workspace, project.model.name, status=None)
    faults = {item.id: form.fault(item.proposal) for item in queue if item.id in items}
    return {item: fault for item, fault in faults.items() if fault is not None}


def _say_left(left: dict[str, str], *, quiet: bool) -> None:
    if quiet:
        return
    out.print(f"{len(left)} left as they were: they break the declared form.")
    for item, fault in left.items():
        out.print(f"  {item}: {fault}", markup=False)
    out.print(
        "Say the right answer (tuneloop review approve ID --answer TEXT), reject them, or approve "
        "them with --anyway: `tuneloop prepare` will leave their rows out.",
        markup=False,
    )
