"""`tuneloop prepare` and `tuneloop data`: dataset versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuneloop.cli.data_sources import sources
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
    paged,
    print_json,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop.candidates.held_out import HeldOut
    from tuneloop.cli.layout import Rows
    from tuneloop.datasets.diff import DatasetDiff
    from tuneloop.datasets.tags import TagCount
    from tuneloop.datasets.versions import DatasetVersion
    from tuneloop.setup.beyond_window import BeyondWindow

app = typer.Typer(no_args_is_help=True, help="Dataset versions, and the files they come from.")
app.command()(sources)
Reference = Annotated[str, typer.Argument(help="Digest, its beginning, label, or `latest`.")]


def prepare(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Make a dataset version: import, filter, remove duplicates, split.

    Example: tuneloop prepare --set data.holdout_share=0.15
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        version = loop.prepare()
        gates, beyond = loop.held_out(version), loop.beyond_window(version)
    if json_:
        print_json(_as_json(version, gates, beyond))
        return
    out.print(f"Dataset version [bold]{version.label}[/]")
    _print_report(version, gates, beyond)


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List dataset versions, the newest first.

    Example: tuneloop data list --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        versions, now = loop.dataset_versions(), loop.workspace.now()
    if json_:
        print_json(versions)
        return
    rows = table("version", "train", "eval", "made")
    for version in versions:
        rows.add_row(
            version.label,
            str(version.rows_train),
            str(version.rows_eval),
            ago(version.created_at, now),
        )
    page(rows if versions else "No dataset version yet. Make one with: tuneloop prepare")


@app.command()
def show(
    reference: Reference = "latest", file: ModelOption = DEFAULT_FILE, json_: JsonOption = False
) -> None:
    """Show what went into a version and what was left out, with reasons.

    Example: tuneloop data show latest
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        version = loop.dataset(reference)
        gates, beyond = loop.held_out(version), loop.beyond_window(version)
    if json_:
        print_json(_as_json(version, gates, beyond))
        return
    with paged():
        out.print(f"Dataset version [bold]{version.label}[/] ({version.digest})")
        _print_report(version, gates, beyond)


@app.command()
def quarantine(
    reference: Reference = "latest", file: ModelOption = DEFAULT_FILE, json_: JsonOption = False
) -> None:
    """List every row that was left out: file, line and reason.

    Example: tuneloop data quarantine latest --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        left_out = loop.quarantined(loop.dataset(reference))
    if json_:
        print_json(left_out)
        return
    rows = table("file", "line", "reason", "detail")
    for row in left_out:
        rows.add_row(str(row["source"]), str(row["line"]), row["reason"], str(row["detail"]))
    page(rows if left_out else "Nothing was left out.")


@app.command()
def diff(
    before: Reference, after: Reference, file: ModelOption = DEFAULT_FILE, json_: JsonOption = False
) -> None:
    """Show what changed between two versions: rows, labels, settings, files.

    Rows of which only the system text changed are the same rows; it is said once.

    Example: tuneloop data diff 3f2a9c latest
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        difference = loop.dataset_diff(before, after)
    if json_:
        print_json(difference.as_row())
        return
    with paged():
        _print_diff(difference)


def _as_json(
    version: DatasetVersion, gates: HeldOut, beyond: BeyondWindow | None
) -> dict[str, Any]:
    return {
        "digest": version.digest,
        "label": version.label,
        "report": dict(version.report),
        "validation": version.validation,
        "held_out": gates.as_row(),
        # Only where there are such rows: a version of an earlier release is shown as it was.
        **({"beyond_window": beyond.as_row()} if beyond else {}),
    }


def tag_table(tags: Mapping[str, TagCount]) -> Rows:
    """A line for each tag: how often it occurs, and with which values."""
    rows = table("tag", "")
    for tag, count in tags.items():
        rows.add_row(tag, str(count))
    return rows


def _print_report(version: DatasetVersion, gates: HeldOut, beyond: BeyondWindow | None) -> None:
    from tuneloop.datasets.tags import counts_in

    report = version.report
    rows = table("rows", "")
    rows.add_row("read", str(report["rows_in"]))
    # Versions of earlier releases learnt one answer of each row.
    if (answers := report.get("answers_in", report["rows_in"])) != report["rows_in"]:
        rows.add_row("answers in them", str(answers))
    for reason, count in report["left_out"].items():
        rows.add_row(f"  left out: {reason.replace('_', ' ')}", str(count))
    rows.add_row("to train on", str(report["rows_train"]))
    if beyond:
        rows.add_row("  of them longer than the window", str(len(beyond.tokens)))
    rows.add_row("held out", str(report["rows_eval"]))
    # Versions of earlier releases say nothing of pairs.
    if pairs := report.get("preferences", {}).get("train"):
        rows.add_row("preference pairs", str(pairs))
    for kind, count in report["personal_data"]["found"].items():
        rows.add_row(f"personal data found: {kind.replace('_', ' ')}", str(count))
    out.print(rows)
    if tags := counts_in(report):
        out.print(tag_table(tags))
    for remark in _remarks(version, gates, beyond):
        out.print(f"• {remark}", markup=False)


def _remarks(version: DatasetVersion, gates: HeldOut, beyond: BeyondWindow | None) -> Iterator[str]:
    """What a person should know of a version, beside its counts."""
    if beyond:
        yield beyond.sentence
    yield gates.why
    yield gates.cases
    yield from (f"warning: {warning}" for warning in gates.warnings())
    if gates.lifts:
        yield gates.lifts
    yield from (remark["message"] for remark in version.report["advice"])
    validation = version.validation or {"checks": ()}
    for check in validation["checks"]:
        if check["verdict"] == "changed":
            yield f"against {validation['against']}, {check['name']}: {check['detail']}"


def _print_diff(difference: DatasetDiff) -> None:
    row = difference.as_row()
    out.print(f"{difference.before} → {difference.after}")
    for word in ("added", "removed", "corrected"):
        out.print(f"{word}: {row[word]['rows']} rows")
        for shown in row[word]["shown"]:
            answer = shown.get("answer", f"{shown.get('before')} → {shown.get('after')}")
            out.print(f"  {shown['question']}  {answer}", markup=False)
    for change in difference.systems:
        out.print(f"system text changed: {change.rows} rows, otherwise the same")
        out.print(f"  before: {change.before or '(none)'}", markup=False)
        out.print(f"  after:  {change.after or '(none)'}", markup=False)
    out.print(f"same: {difference.same} rows")
    for moved, was, now in difference.moved:
        out.print(f"moved from {was} to {now}: {moved.question}", markup=False)
    for field, values in row["labels"].items():
        changes = ", ".join(f"{value} {was}→{now}" for value, (was, now) in values.items())
        out.print(f"{field}: {changes}", markup=False)
    for key, (was, now) in (row["recipe"] | row["sources"]).items():
        if not (key == "task.system" and difference.systems):  # It is told above.
            out.print(f"{key}: {was} → {now}", markup=False)
