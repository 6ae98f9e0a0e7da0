"""`tuneloop data sources`: the data files as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    SetOption,
    finishing,
    open_loop,
    out,
    paged,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.datasets.arrivals import Arrival
    from tuneloop.datasets.source_watch import SourcesNow, SourceState
    from tuneloop.modelfile import TriggerSettings

_LINES = 5
"""More of them are in --json."""


def sources(
    file: ModelOption = DEFAULT_FILE, overrides: SetOption = None, json_: JsonOption = False
) -> None:
    """Show the files that data.sources names now, and what changed since the last version.

    New and changed files are read and held against that version; nothing is made of them. What does
    not fit is told with its reason and lines.

    Example: tuneloop data sources --json
    """
    with finishing(open_loop(file, overrides, quiet=json_)) as loop:
        now, settings = loop.sources(), loop.model.triggers
    if json_:
        print_json(_as_json(now, settings))
        return
    with paged():
        _print(now, settings)


def _as_json(now: SourcesNow, settings: TriggerSettings) -> dict[str, Any]:
    from tuneloop.retraining import new_data

    return {
        "against": now.against or None,
        "rows": now.rows,
        "new_rows": now.learnable,
        "rows_needed": new_data.rows_needed(now.rows, settings),
        "sources": [
            {
                "name": source.name,
                "state": source.state,
                "rows_before": source.rows_before,
                "problem": source.problem,
                "now": None if source.arrival is None else source.arrival.counted(),
            }
            for source in now.sources
        ],
    }


def _print(now: SourcesNow, settings: TriggerSettings) -> None:
    from tuneloop.retraining import new_data

    out.print(f"Against {now.against}, {now.rows:,} rows" if now.against else "No version yet")
    rows = table("source", "state", "rows then", "now", "usable", "new", optional=("usable",))
    for source in now.sources:
        then = "–" if source.rows_before is None else f"{source.rows_before:,}"
        rows.add_row(source.name, source.state, then, *_counts(source))
    out.print(rows)
    for source in now.sources:
        for remark in _remarks(source):
            named = remark.startswith(source.name)
            out.print(f"• {remark}" if named else f"• {source.name}: {remark}", markup=False)
    if now.against:
        needed = new_data.rows_needed(now.rows, settings)
        out.print(f"{now.learnable:,} new rows; {needed:,} make a cycle worth its time.")


def _counts(source: SourceState) -> tuple[str, str, str]:
    found = source.arrival
    if found is None or found.error:
        return ("–", "–", "–")
    return f"{found.rows:,}", f"{found.usable:,}", f"{len(found.new):,}"


def _remarks(source: SourceState) -> Iterator[str]:
    """What its row has no room for."""
    if source.problem:
        yield source.problem
    if source.state == "being written":
        yield "changed a moment ago; it is read once it stays as it is for 5 s"
    if source.arrival is not None:
        yield from _remarks_on(source.arrival)


def _remarks_on(found: Arrival) -> Iterator[str]:
    if found.error:
        yield found.error
    elif found.fit == "does not fit":
        what = f"no answer key {', '.join(found.lost)}" if found.lost else f"{found.unfit:,} rows"
        yield f"does not fit ({what}): look at it before it is used"
    for misfit in found.misfits:
        lines = ", ".join(map(str, misfit.lines[:_LINES]))
        more = ", …" if misfit.rows > _LINES else ""
        plural = "s" if misfit.rows > 1 else ""
        yield f"{misfit.rows:,} {misfit.why} (line{plural} {lines}{more}): {misfit.detail}"
    for count, what in (
        (len(found.corrected), "rows answered otherwise than before"),
        (found.conflicting, "questions answered otherwise than in rows that are there"),
        (found.gone, "rows of the last version are not in it any more"),
    ):
        if count:
            yield f"{count:,} {what}"
    for check in found.checks:
        if check.verdict == "changed":
            yield f"{check.name}: {check.detail}"
