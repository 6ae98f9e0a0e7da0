"""`tuneloop erase`: delete what is kept of a person, and say what was trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_project,
    out,
    print_json,
)

if TYPE_CHECKING:
    from tuneloop.lineage.erasure_record import Erasure
    from tuneloop.storage.erasure import By


def erase(
    user: Annotated[str | None, typer.Option(help="`user` of the requests.")] = None,
    conversation: Annotated[
        str | None, typer.Option(help="As in `tuneloop traffic show`, or the client's session.")
    ] = None,
    interaction: Annotated[str | None, typer.Option(help="Id of one request.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Delete a person's traffic, feedback and review items in every model of the workspace.

    Names every dataset version, run, bundle and endpoint that they reached, what cannot be undone,
    and what to do.

    Example: tuneloop erase --user customer-4711 --dry-run
    """
    from tuneloop.lineage import erasure

    by, value = _one(user, conversation, interaction)
    with finishing(open_project(file, quiet=json_)) as project:
        done = erasure.erase(
            project.workspace,
            by,
            value,
            actor=project.actor,
            dry_run=dry_run,
            progress=project.progress,
        )
    print_json(done) if json_ else _print(done)


def _one(user: str | None, conversation: str | None, interaction: str | None) -> tuple[By, str]:
    from tuneloop.errors import UsageError

    named: dict[By, str | None] = {
        "user": user,
        "conversation": conversation,
        "interaction": interaction,
    }
    given = [(by, value) for by, value in named.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"Expected one of --user, --conversation and --interaction, got {len(given)}.",
            remedy="Say whose data it is: tuneloop erase --user ID --dry-run",
        )
    return given[0]


def _print(done: Erasure) -> None:
    from tuneloop.hashing import short

    verb = "would go" if done.dry_run else "are gone"
    out.print(
        f"{done.interactions} interactions, {done.shadows} shadow answers, {done.feedback} pieces "
        f"of feedback, {done.embeddings} embeddings and {done.review_items} review items {verb}; "
        f"{done.quotations} measurements and alerts quoted them."
    )
    if done.approved_rows:
        out.print(f"{len(done.approved_rows)} of the review items had been approved for training.")
    for version in done.datasets:
        out.print(
            f"dataset {version.label} of {version.model}: {version.train} rows to train on, "
            f"{version.held_out} held out, {version.left_out} left out",
            markup=False,
        )
    for suite in done.suites:
        out.print(f"suite {suite.suite} of {suite.model}: case {suite.case}", markup=False)
    for run in done.reached.runs:
        out.print(f"training run {run}", markup=False)
    for bundle in done.reached.bundles:
        names = [*bundle.aliases, *(f"endpoint {name}" for name in bundle.endpoints)]
        at = f" ({', '.join(names)})" if names else ""
        out.print(f"bundle {short(bundle.id)}{at}", markup=False)
    for sentence in done.remains:
        out.print(f"remains: {sentence}", markup=False)
    for step in done.to_do:
        out.print(f"to do: {step}", markup=False)
    if not done.dry_run:
        out.print(f"Recorded in the audit log as erasure {done.id}, without what was erased.")
