"""Two models' prose side by side, for a terminal: every measure in one table, then the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tuneloop.evaluation.other_facts import facts_told
from tuneloop.evaluation.report import CANDIDATE, heading, told_first

COLOURS = {
    "passed": "green",
    "better": "green",
    "not_worse": "green",
    "failed": "red",
    "worse": "red",
    "refused": "yellow",
    "inconclusive": "yellow",
    "warning": "yellow",
}
"""Of verdicts."""
_WITH_VERDICTS = 100
"""Columns of a terminal from which on each row has room for its verdict in words."""
_SHOWN = 2
"""Cases of each kind; all of them are in the JSON and HTML."""
_TEXT_CHARACTERS = 240
_WORD_CHARACTERS = 24
"""A cut moves back to the end of a word that is not longer than this."""


class ComparedProse:
    """Candidate and reference on every measure; what each row comes to stands below in words."""

    def __init__(self, comparison: Mapping[str, Any]) -> None:
        """`comparison` is one of the report's, see `report.is_of_prose`."""
        self._comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table and its captions."""
        comparison, metrics = self._comparison, told_first(self._comparison)
        wide = options.max_width >= _WITH_VERDICTS
        table = Table(
            title=f"\n{heading(comparison)}",
            title_justify="left",
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        columns = ("metric", CANDIDATE, comparison["reference"], "difference, 95 %")
        for name in (*columns, "won", "tied", "lost", *(["verdict"] if wide else [])):
            table.add_column(name, overflow="fold", justify="right" if name in _COUNTS else "left")
        for metric in metrics:
            table.add_row(*_row(metric), *([verdict(metric["verdict"])] if wide else []))
        yield table
        for caption in _captions(comparison, metrics, verdicts=not wide):
            yield Text(caption, style="dim")


_COUNTS = ("won", "tied", "lost")


def verdict(value: str) -> Text:
    """A verdict in words and its colour."""
    return Text(value.replace("_", " "), style=COLOURS[value])


def _row(metric: Mapping[str, Any]) -> list[RenderableType]:
    d = metric["difference"]
    shown = f"{d['value']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f})"
    return [
        Text(metric["metric"]),
        *(f"{metric[whose]:.3f}" for whose in (CANDIDATE, "reference")),
        Text(shown, style=COLOURS[metric["verdict"]]),
        *(str(metric[count]) for count in _COUNTS),
    ]


def _captions(
    comparison: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], *, verdicts: bool
) -> list[str]:
    by_verdict: dict[str, list[str]] = {}
    for metric in metrics:
        by_verdict.setdefault(metric["verdict"], []).append(metric["metric"])
    told = [f"{of.replace('_', ' ')}: {', '.join(names)}" for of, names in by_verdict.items()]
    main = next(m for m in metrics if m["metric"] == comparison["main_metric"])
    guards = [m["metric"] for m in metrics if m.get("decides") and m is not main]
    n = f"n = {main['difference']['n']} cases"
    if main["clusters"]:
        n += f" in {main['clusters']} groups, each drawn as a whole"
    tolerances = sorted({m["tolerance"] for m in metrics if m["tolerance"]})
    ties = f"a likeness within {' or '.join(f'{t:g}' for t in tolerances)} is tied"
    captions = [*(told if verdicts else []), f"more is better in every difference; {n}; {ties}"]
    guarded = f"; being worse in {', '.join(guards)} is worse" if guards else ""
    captions.append(f"{main['metric']} decides{guarded}")
    captions += [f"{m['metric']}: {m['warning']}" for m in metrics if m["warning"] and m is main]
    if left_out := comparison["left_out"]:
        captions.append(
            f"{left_out} of {comparison['cases']} cases do not count: {comparison['reference']} "
            "was trained on them"
        )
    return captions


def shown_cases(comparison: Mapping[str, Any]) -> list[RenderableType]:
    """Where the candidate lost most and won most, with both answers and the reference's."""
    reference, measure = comparison["reference"], comparison["main_metric"]
    kinds = (
        (f"{reference} is ahead", "lost", comparison["lost_cases"]),
        ("The candidate is ahead", "won", comparison["won_cases"]),
    )
    parts: list[RenderableType] = []
    for title, count, cases in kinds:
        if not cases:
            continue
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(no_wrap=True)
        rows.add_column(overflow="fold")
        for case in cases[:_SHOWN]:
            for name, text in _side_by_side(case, reference):
                rows.add_row(Text(f"  {name}"), Text(text))
            rows.add_row("", "")
        heading = f"\n{title[0].upper()}{title[1:]} by {measure} in {comparison[count]} cases; most"
        parts += [Text(f"{heading} where", style="italic"), rows]
    return parts


def _side_by_side(case: Mapping[str, Any], reference: str) -> list[tuple[str, str]]:
    scores = case["scores"]

    def scored(label: str) -> str:
        return f"{label} {scores[label]:.2f}" if label in scores else label

    rows = [("asked", case["messages"][-1]["content"])]
    if case["expected"] is not None:
        rows.append(("expected", case["expected"]))
    rows.append((scored(CANDIDATE), case["output"]))
    if "facts" in case:
        rows.append(("facts", facts_told(case["facts"])))
    if reference in case["others"]:
        rows.append((scored(reference), case["others"][reference]))
    return [(name, cut(str(text or ""))) for name, text in rows]


def cut(text: str, size: int = _TEXT_CHARACTERS) -> str:
    """The text on one line, of at most `size` characters, ended between two words where it can be.

    Scripts without spaces are cut where the room ends.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= size:
        return line
    room = size - 2
    space = line.rfind(" ", 0, room + 1)
    return f"{line[: space if space >= room - _WORD_CHARACTERS and space > 0 else room]} …"
