"""`tuneloop check`: everything that can fail later, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_project,
    out,
    page,
    print_json,
    table,
)
from tuneloop.foreign_text import one_line

if TYPE_CHECKING:
    from tuneloop.setup.finding import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red", "not looked at": "dim"}


def check(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Look at everything that can fail later; nothing is trained or changed.

    Names, suites, gates and their cases, the rows with the base's template and tokens, lengths,
    memory and disk, ports and servers; and about how long a run will take. Exit code 1 if something
    is certain to fail.

    Example: tuneloop check --set training.max_length=1024
    """
    from tuneloop.setup import check as checking
    from tuneloop.setup.checks.time import told
    from tuneloop.setup.look import Look

    with finishing(open_project(file, overrides, quiet=json_)) as project:
        project.progress.step(checking.DOING)
        look = Look(project)
        findings = checking.look_over(project, look=look)
        expected = told(look)
    wrong = sum(finding.verdict == "error" for finding in findings)
    if json_:
        print_json({"ok": not wrong, "findings": findings, "expected": expected})
    elif out.is_terminal:
        page(_for_people(_together(findings)), _conclusion(findings))
    else:
        rows = table("what", "found", "verdict", "remedy")
        for finding in _together(findings):
            rows.add_row(finding.what, finding.found, finding.verdict, finding.remedy)
        page(rows, _conclusion(findings))
    if wrong:
        raise typer.Exit(1)


def _together(findings: Sequence[Finding]) -> list[Finding]:
    """What could not be looked at for one reason is told with it, once."""
    rows: list[Finding] = []
    for finding in findings:
        same = [f for f in findings if f.verdict == "not looked at" and f.found == finding.found]
        if len(same) < 2:
            rows.append(finding)
        elif finding is same[0]:
            others = ", ".join(other.what for other in same[1:])
            rows.append(replace(finding, found=f"{finding.found} Not looked at either: {others}."))
    return rows


def _for_people(findings: Sequence[Finding]) -> Table:
    """Nothing of it is cut; the remedy stands below what was found."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    grid.add_column("what", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    grid.add_column("found, and what to do", overflow="fold")
    for finding in findings:
        told = Text(one_line(finding.found))
        if finding.remedy:
            told.append(f"\n→ {one_line(finding.remedy)}", style="cyan")
        verdict = Text(finding.verdict, style=_COLOURS[finding.verdict])
        grid.add_row(Text(finding.what), verdict, told)
    return grid


def _conclusion(findings: Sequence[Finding]) -> str:
    count = {
        verdict: sum(finding.verdict == verdict for finding in findings) for verdict in _COLOURS
    }
    if count["error"]:
        return (
            f"\n{count['error']} of {len(findings)} would fail: correct that before anything is "
            "trained."
        )
    doubts = ", ".join(
        f"{count[verdict]} {text}"
        for verdict, text in (("warning", "to look at"), ("not looked at", "not looked at"))
        if count[verdict]
    )
    nothing = "Nothing that was looked at is" if count["not looked at"] else "Nothing is"
    return f"\n{nothing} certain to fail{f' ({doubts})' if doubts else ''}. Then: tuneloop run"
