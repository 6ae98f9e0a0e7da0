"""`tuneloop approve`, `reject`, `approvals`: people say yes or no to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    open_project,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.registry.standing import Kind, Seen, Standing

app = typer.Typer(
    no_args_is_help=True,
    help="Approvals of bundles: list, withdraw. Give them with `tuneloop approve` and `tuneloop "
    "reject`; require them in the model file under `approvals:`.",
)
BundleArgument = Annotated[str, typer.Argument(help="Id, its beginning, or `candidate`.")]
KindOption = Annotated[
    str, typer.Option("--kind", help="deploy, or evaluation: sign-off of the report.")
]


def approve(
    bundle: BundleArgument = "candidate",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Kept with the approval.")] = "",
    kind: KindOption = "deploy",
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Approve a bundle after you have read its report (`tuneloop bundle show`).

    It counts for the report as it is now.

    Example: tuneloop approve candidate -m "tried it"
    """
    _decide(bundle, kind, "approved", comment, file, json_)


def reject(
    bundle: BundleArgument = "candidate",
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept.")] = "",
    kind: KindOption = "deploy",
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Reject a bundle: it is not deployed until you withdraw that; a rollout of it ends.

    Example: tuneloop reject candidate -m "it invents refunds"
    """
    _decide(bundle, kind, "rejected", reason, file, json_)


def readmit(
    bundle: BundleArgument = "candidate",
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept.")] = "",
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Let what was rolled back, or taken back by its rollout, be tried again; nothing is deployed.

    It holds for every bundle that behaves the same. A rejection is withdrawn instead (`tuneloop
    approvals withdraw`), and a missed gate passed (`tuneloop evaluate`).

    Example: tuneloop readmit candidate -m "the shop had sent the wrong prompt"
    """
    from tuneloop.deployment import admission

    with finishing(open_project(file, quiet=True)) as project:
        named = project.bundle(bundle)
        undone = admission.readmit(project.workspace, named, actor=project.actor, reason=reason)
        left = admission.refusals(project.workspace, named)
    if json_:
        print_json({"bundle": named.id, "by": project.actor, "undone": undone, "left": left})
        return
    for refusal in undone:
        out.print(f"{named.short} {refusal.about(named.id)}: taken back.", markup=False)
    for refusal in left:
        out.print(
            f"It stays out: it {refusal.about(named.id)}. {refusal.remedy}",
            markup=False,
        )
    if not left:
        out.print(f"It may be tried again: tuneloop deploy {named.short}", markup=False)


@app.command("list")
def list_(
    file: ModelOption = DEFAULT_FILE,
    bundle: Annotated[str | None, typer.Option(help="Only of this bundle.")] = None,
    json_: JsonOption = False,
) -> None:
    """List requests and decisions, and what the candidate still needs.

    Example: tuneloop approvals list --json
    """
    from tuneloop.hashing import short
    from tuneloop.registry import aliases, approvals
    from tuneloop.registry.standing import KINDS

    with finishing(open_project(file, quiet=True)) as project:
        workspace, model = project.workspace, project.model
        named = project.bundle(bundle) if bundle else None
        entries = approvals.history(workspace, model=model.name, bundle=named.id if named else None)
        waiting = "candidate" in aliases.current(workspace, model.name)
        subject = named or (project.bundle("candidate") if waiting else None)
        standings = [
            approvals.granted(workspace, model, subject, kind) for kind in KINDS if subject
        ]
        weakened = approvals.seen(workspace, subject).weakened if subject else ()
        now = workspace.now()
    if json_:
        print_json(
            {
                "bundle": subject.id if subject else None,
                **({"weakened": weakened} if weakened else {}),
                "standing": standings,
                "history": entries,
            }
        )
        return
    rows = table("bundle", "kind", "event", "who", "as", "when", "why", optional=("as", "kind"))
    for entry in entries:
        roles = ", ".join(entry.roles) or "–"
        when = ago(entry.at, now)
        rows.add_row(
            short(entry.bundle), entry.kind, entry.event, entry.person, roles, when, entry.reason
        )
    page(rows if entries else "Nobody has approved or rejected anything.")
    if subject:
        out.print(f"Bundle {subject.short}:")
        for sentence in weakened:
            out.print(sentence, style="yellow", markup=False)
        _print(standings)


@app.command()
def withdraw(
    bundle: BundleArgument = "candidate",
    kind: KindOption = "deploy",
    of: Annotated[
        str | None, typer.Option("--of", help="Whose decision; others' only as administrator.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; kept.")] = "",
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Take an approval or a rejection back; both stay in the history.

    Example: tuneloop approvals withdraw candidate -m "the refund was right"
    """
    from tuneloop.registry import approvals

    with finishing(open_project(file, quiet=True)) as project:
        standing = approvals.withdraw(
            project.workspace,
            project.model,
            project.bundle(bundle),
            _kind(kind),
            actor=project.actor,
            reason=reason,
            of=of,
        )
    print_json(standing) if json_ else _print([standing])


def _decide(
    reference: str,
    kind: str,
    event: Literal["approved", "rejected"],
    reason: str,
    file: Path,
    json_: bool,
) -> None:
    from tuneloop.deployment import admission
    from tuneloop.registry import approvals

    with finishing(open_project(file, quiet=True)) as project:
        bundle = project.bundle(reference)
        saw = approvals.seen(project.workspace, bundle)
        standing = approvals.decide(
            project.workspace,
            project.model,
            bundle,
            _kind(kind),
            event,
            actor=project.actor,
            reason=reason,
            saw=saw,
        )
        refused = admission.refusals(project.workspace, bundle)
    if json_:
        print_json(
            {
                "bundle": bundle.id,
                "event": event,
                "by": project.actor,
                "saw": saw.as_json(),
                "standing": standing,
            }
        )
        return
    for sentence in saw.weakened:
        out.print(sentence, style="yellow", markup=False)
    out.print(
        f"{project.actor} {event} bundle {bundle.short}, having seen: {_told(saw)}", markup=False
    )
    _print([standing])
    for refusal in refused:
        if event == "approved" and refusal.how != "rejected":  # That is the standing's to say.
            out.print(f"But it {refusal.about(bundle.id)}. {refusal.remedy}", markup=False)


def _told(saw: Seen) -> str:
    compared = saw.comparison.get("reason")
    against = f"; against production: {compared}" if compared else ""
    return f"evaluation {saw.evaluation}, gates {saw.verdict}{against}"


def _print(standings: list[Standing]) -> None:
    for standing in standings:
        out.print(
            f"{standing.kind}: {'granted' if standing.granted else 'missing'} – {standing.reason}",
            markup=False,
        )


def _kind(name: str) -> Kind:
    from tuneloop.errors import UsageError
    from tuneloop.registry.standing import KINDS

    for kind in KINDS:
        if kind == name:
            return kind
    raise UsageError(f"Expected {' or '.join(KINDS)} as --kind, got {name!r}.")
