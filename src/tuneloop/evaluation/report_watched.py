"""What tuning cost beside the task, for a terminal: from the reference to the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tuneloop.evaluation.report import CANDIDATE, heading
from tuneloop.evaluation.report_prose import COLOURS, verdict
from tuneloop.evaluation.watched import NAMES

_WITH_VERDICTS = 100
"""Columns of a terminal from which on each row has room for its verdict in words."""


class ComparedWatched:
    """A suite that watches the tuning: refusals and over-refusals, or general questions."""

    def __init__(self, comparison: Mapping[str, Any]) -> None:
        """`comparison` is one of the report's, see `report.is_watched`."""
        self._comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table and what must be known to read it."""
        comparison = self._comparison
        wide = options.max_width >= _WITH_VERDICTS
        table = Table(
            title=f"\n{heading(comparison)}",
            title_justify="left",
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        from_to = f"{comparison['reference']} → {CANDIDATE}"
        columns = ("metric", from_to, "difference, 95 %", "n", "won", "tied", "lost")
        for name in (*columns, *(["verdict"] if wide else [])):
            right = name in ("n", "won", "tied", "lost")
            table.add_column(name, overflow="fold", justify="right" if right else "left")
        for metric in sorted(comparison["metrics"], key=lambda of: of["metric"] not in NAMES):
            table.add_row(*_row(metric), *([verdict(metric["verdict"])] if wide else []))
        yield table
        yield Text("More is better in every difference. A gate may name these metrics.", "dim")
        if comparison["remark"]:
            yield Text(f"{comparison['remark'][:1].upper()}{comparison['remark'][1:]}.", "yellow")


def _row(metric: Mapping[str, Any]) -> list[RenderableType]:
    d = metric["difference"]
    return [
        Text(metric["metric"]),
        Text(f"{metric['reference']:.2f} → {metric['candidate']:.2f}"),
        Text(
            f"{d['value']:+.2f} ({d['low']:+.2f} to {d['high']:+.2f})",
            style=COLOURS[metric["verdict"]],
        ),
        *(str(count) for count in (d["n"], metric["won"], metric["tied"], metric["lost"])),
    ]
