"""`tuneloop bundle`: what was made, what is in it, how two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuneloop.cli.sheets import bundle_sheet as shown
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
    from tuneloop.deployment.admission import Past
    from tuneloop.registry.bundle import Bundle

app = typer.Typer(no_args_is_help=True, help="Bundles: list, show, compare, verify.")
Reference = Annotated[
    str, typer.Argument(help="Id, its beginning, or production|previous|candidate.")
]


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List the bundles of this model, the newest first.

    Example: tuneloop bundle list --json
    """
    from tuneloop.deployment import admission
    from tuneloop.registry import aliases
    from tuneloop.registry import bundle as bundles

    with finishing(open_project(file, quiet=True)) as project:
        past = admission.past_of(project.workspace, project.model.name)
        listed = bundles.listing(project.workspace, model=project.model.name)
        names: dict[str, list[str]] = {}
        for alias in aliases.current(project.workspace, project.model.name).values():
            names.setdefault(alias.bundle, []).append(alias.name)
        now = project.workspace.now()
    if json_:
        print_json([{**_plain(b, past), "aliases": names.get(b.id, [])} for b in listed])
        return
    alike = [admission.namesake(bundle.id, past) for bundle in listed]
    last = ["behaves as"] if any(alike) else []
    rows = table("bundle", "alias", "made", "dataset", "gates", *last, optional=("dataset",))
    for bundle, namesake in zip(listed, alike, strict=True):
        rows.add_row(
            bundle.short,
            ", ".join(sorted(names.get(bundle.id, []))),
            ago(bundle.created_at, now),
            bundle.manifest.dataset.label,
            str(bundle.manifest.evaluation.verdict),
            *([namesake] if any(alike) else []),
        )
    page(rows if listed else "No bundles yet. Make one with: tuneloop run")


@app.command()
def show(
    reference: Reference = "production",
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show on one screen what a bundle is made of; all of its manifest with --json.

    Example: tuneloop bundle show candidate
    """
    from tuneloop.deployment import admission
    from tuneloop.registry import bundle as bundles

    with finishing(open_project(file, quiet=True)) as project:
        bundle = bundles.find(project.workspace, reference, model=project.model.name)
        past = admission.past_of(project.workspace, project.model.name)
    if json_:
        print_json(_plain(bundle, past))
        return
    page(shown(bundle, past))


@app.command()
def diff(
    before: Reference,
    after: Reference,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show every part in which two bundles differ.

    Example: tuneloop bundle diff previous production
    """
    from tuneloop.registry import bundle as bundles

    with finishing(open_project(file, quiet=True)) as project:
        a, b = (
            bundles.find(project.workspace, r, model=project.model.name) for r in (before, after)
        )
    differences = bundles.diff(a, b)
    if json_:
        print_json(differences)
        return
    rows = table("key", a.short, b.short)
    for difference in differences:
        rows.add_row(difference.key, _read(difference.before), _read(difference.after))
    page(rows if differences else "They are the same bundle.")


def _read(value: Any) -> str:
    """A part of a manifest as people read it: figures with three digits that count."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_read, value))
    return str(value)


@app.command()
def verify(
    reference: Reference = "production",
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Read every byte of a bundle and compare it with its hashes.

    Example: tuneloop bundle verify production
    """
    from tuneloop.registry import bundle as bundles

    with finishing(open_project(file, quiet=True)) as project:
        bundle = bundles.find(project.workspace, reference, model=project.model.name)
        project.progress.step(f"Reading every byte of bundle {bundle.short}")
        folders = bundles.verify(project.workspace, bundle)
    if json_:
        print_json({"bundle": bundle.id, "intact": True, "artifacts": sorted(folders)})
    else:
        out.print(f"Bundle {bundle.short} is intact: {', '.join(sorted(folders))}.")


def _plain(bundle: Bundle, past: Past) -> dict[str, Any]:
    """What it is; the others that behave the same, where there are any."""
    others = sorted(past.alike(bundle.id) - {bundle.id})
    return {
        "id": bundle.id,
        "model": bundle.model,
        "created_at": bundle.created_at,
        "manifest": bundle.manifest.as_json(),
        **({"same_behaviour": others} if others else {}),
    }
