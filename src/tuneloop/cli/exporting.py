"""`tuneloop export`: other forms of a bundle, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_loop,
    page,
    print_json,
    table,
)


def export(
    bundle: Annotated[
        str, typer.Argument(help="Bundle: id, its beginning, or production|previous|candidate.")
    ] = "candidate",
    forms: Annotated[
        list[str] | None,
        typer.Option("--form", help="What to make, e.g. q4_k_m; default: as the model file lists."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the files; default: exports/BUNDLE."),
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    overrides: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Make other quantisations of a bundle, and compare each with the one that serves.

    `tuneloop run` makes the file of `export.serve` alone. The others of `export.quantisations` are
    made here, checked for parity and asked the first cases of the main suite.

    Example: tuneloop export production --form q4_k_m --output files
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        of = loop.bundle(bundle)
        folder = output or Path("exports") / of.short
        made = loop.export(of, forms=forms or (), output=folder)
    if json_:
        print_json(made)
        return
    from tuneloop.evaluation.report_terminal import cases

    metrics = list(dict.fromkeys(m for form in made if form.row for m in form.row.figures))
    rows = table("form", "MB", "tokens/s", *metrics, "n", "parity")
    for form in made:
        row, parity = form.row, form.parity
        speed = row.tokens_per_second if row else None
        figures = row.figures if row else {}
        rows.add_row(
            form.form,
            f"{row.size_bytes / 1e6:.0f}" if row else "-",
            f"{speed:.0f}" if speed is not None else "-",
            *(f"{figures[m].value:.3f}" if m in figures else "-" for m in metrics),
            cases(figures[m].n if m in figures else None for m in metrics),
            "not looked at" if parity is None else "passed" if parity.passed else parity.detail,
        )
    page(rows, f"Written to {folder}.")
