"""A report as Rich renderables: the verdict first, then why, then what to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tuneloop.evaluation.near_misses import advice
from tuneloop.evaluation.other_facts import facts_told
from tuneloop.evaluation.repeatability import sentence
from tuneloop.evaluation.report import (
    CANDIDATE,
    fields_of,
    heading,
    is_of_prose,
    is_told_by_field,
    is_watched,
    lost_slices,
)
from tuneloop.evaluation.report_prose import COLOURS, ComparedProse, cut, shown_cases
from tuneloop.evaluation.report_prose import verdict as _verdict
from tuneloop.evaluation.report_watched import ComparedWatched
from tuneloop.registry.weakness import sentences, stored

_SHOWN_WORST = 5
_SHOWN_SLICES = 12
_SHOWN_WARNINGS = 3
_WITH_INTERVALS = 120
"""Columns of a terminal from which on the table of fields has room for intervals."""


def parts(report: Mapping[str, Any]) -> list[RenderableType]:
    """The report from top to bottom; outputs are shown as plain text, never as markup."""
    renderables: list[RenderableType] = [_headline(report)]
    if report["gates"]:
        renderables.append(_gates(report["gates"]))
    if report.get("decision"):  # reports of earlier releases have none
        renderables.append(_decision(report))
    for suite in report["suites"]:
        renderables += [_figures(suite), *_remarks(report, suite)]
        if fields_of(suite, CANDIDATE):
            renderables.append(_Fields(suite))
        renderables += _weak_slices(suite)
    by_name = {suite["name"]: suite for suite in report["suites"]}
    for compared in report["comparisons"]:
        if is_watched(compared):
            renderables += [ComparedWatched(compared), *shown_cases(compared)]
        elif is_of_prose(compared):
            renderables += [ComparedProse(compared), *shown_cases(compared)]
        else:
            renderables.append(_comparison(compared, by_name.get(compared["suite"], {})))
        renderables += _lost_slices(compared)
    if report.get("repeatability"):
        said = sentence(report["repeatability"])
        renderables.append(Text(f"\n{said[0].upper()}{said[1:]}"))
    if report["quantisations"]:
        renderables.append(_Quantisations(report["quantisations"]))
    if report["parity"]:
        renderables.append(_parity(report["parity"]))
    for suite in report["suites"]:
        renderables += _worst(suite)
    renderables += [Text(f"note: {note}", style="dim") for note in report["notes"]]
    return renderables


def _remarks(report: Mapping[str, Any], suite: Mapping[str, Any]) -> Iterator[Text]:
    """What a reader of a suite's figures must know."""
    if suite.get("remark"):
        yield Text(suite["remark"], style="dim")
    if suite is report["suites"][0] and report.get("baseline"):
        said = report["baseline"]["says"]
        yield Text(f"{said[0].upper()}{said[1:]}.", style="dim")


def figure(value: Mapping[str, Any] | None, metric: str = "") -> str:
    """`0.930 (0.881–0.962)`; latencies without decimals."""
    if value is None:
        return "-"
    digits = 0 if metric.endswith("_ms") else 3
    middle, low, high = (f"{value[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{middle} ({low}–{high})"


def _difference(value: Mapping[str, Any]) -> str:
    return f"{value['value']:+.3f} ({value['low']:+.3f} to {value['high']:+.3f})"


def _headline(report: Mapping[str, Any]) -> Text:
    text = Text()
    text.append(report["verdict"].upper(), style=f"bold {COLOURS[report['verdict']]}")
    if warnings := report.get("warnings"):  # reports of earlier releases have none
        more = f"; {len(warnings) - _SHOWN_WARNINGS} more" if warnings[_SHOWN_WARNINGS:] else ""
        text.append(f", but look: {'; '.join(warnings[:_SHOWN_WARNINGS])}{more}\n", "bold yellow")
    text.append(f"  {report['model']}, evaluation {report['evaluation']}\n")
    for weakness in sentences(stored(report.get("weakened"))):
        text.append(f"{weakness}\n", style="yellow")
    missed = [gate["reason"] for gate in report["gates"] if gate["verdict"] != "passed"]
    text.append("\n".join(f"• {reason}" for reason in missed) or report["reason"])
    if advised := advice(report["gates"]):
        text.append(f"\n{advised}")
    return text


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _gates(gates: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("\nGates (95 % interval)", "gate", "wanted", "measured", "n", "verdict")
    for gate in gates:
        measured = gate["figure"]
        table.add_row(
            Text(f"{gate['suite']}.{gate['metric']}"),
            Text(gate["condition"]),
            figure(measured, gate["metric"]),
            str(measured["n"]) if measured else "0",
            _verdict(gate["verdict"]),
        )
    return table


def _decision(report: Mapping[str, Any]) -> Text:
    """What the verdict promises, on how many cases, and how often it errs on so many."""
    decision = report["decision"]
    looks = [f"evaluation {earlier}" for earlier in decision["earlier_looks"]]
    text = Text(f"\n{decision['says'][0].upper()}{decision['says'][1:]}.")
    if looks:
        text.append(
            f" It is look {decision['look']} at these {decision['cases']} cases: the rule is "
            f"stricter than at the first, {decision['level']:.2g} instead of "
            f"{decision['rate'] / 2:.2g}. So many new cases would begin anew."
        )
    if report.get("operating"):
        text.append(f" {report['operating']['says']}")
    return text


def _figures(suite: Mapping[str, Any]) -> Table:
    labels = list(suite["figures"])
    # Reports of earlier releases do not have these two.
    sampled = f", {of} from live traffic" if (of := suite.get("live_samples")) else ""
    title = f"\nSuite {suite['name']} ({suite['kind']}, {suite['cases']} cases{sampled})"
    table = _table(title, "metric", *labels, "n")
    for metric in suite["figures"][CANDIDATE]:
        if is_told_by_field(metric, suite):
            continue
        measured = [suite["figures"][label].get(metric) for label in labels]
        row = [figure(value, metric) for value in measured]
        table.add_row(Text(metric), *row, _counts(measured))
    return table


def cases(counts: Iterable[int | None]) -> str:
    """How many stand behind figures side by side: `54`, or `54/50` where it is not the same."""
    shown = ["-" if count is None else str(count) for count in counts]
    return "/".join(shown if len(set(shown)) > 1 else shown[:1])


def _counts(figures: Iterable[Mapping[str, Any] | None]) -> str:
    return cases(measured["n"] if measured else None for measured in figures)


class _Fields:
    """The candidate's answers field by field; with intervals where they fit."""

    def __init__(self, suite: Mapping[str, Any]) -> None:
        self._suite = suite

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WITH_INTERVALS
        table = _table(
            f"\nFields in {self._suite['name']}, of the in-scope cases",
            *("field", "precision", "recall", "F1", "expected", "missing", "wrong", "invented"),
        )
        for column in table.columns[4:]:
            column.justify = "right"
        for name, of in fields_of(self._suite, CANDIDATE).items():
            table.add_row(
                Text(name),
                *(_measured(of[key], interval=wide) for key in ("precision", "recall", "f1")),
                *(str(of[key]) for key in ("expected", "missing", "wrong", "invented")),
            )
        if not wide:
            table.caption = Text("95 % intervals: in a wider window, --html or --json", style="dim")
            table.caption_justify = "left"
        yield table


def _measured(value: Mapping[str, Any] | None, *, interval: bool) -> str:
    if value is None or interval:
        return figure(value)
    return f"{value['value']:.3f}"


def _weak_slices(suite: Mapping[str, Any]) -> list[RenderableType]:
    """The slices with the lowest accuracy; all of them are in the JSON and HTML."""
    rows = [
        (of[metric]["value"], f"{name}={value}", metric, of[metric])
        for name, values in suite["slices"].items()
        for value, of in values.items()
        for metric in ("correct", "accuracy")
        if metric in of
    ]
    rows = [row for row in rows if row[0] < 1]
    if not rows:
        return []
    table = _table(f"\nWeakest slices of {suite['name']}", "slice", "metric", "measured", "n")
    seen: set[str] = set()
    for _, name, metric, measured in sorted(rows, key=lambda row: row[:3]):
        if name not in seen and len(seen) < _SHOWN_SLICES:
            seen.add(name)
            table.add_row(Text(name), metric, figure(measured), str(measured["n"]))
    return [table]


def _comparison(comparison: Mapping[str, Any], suite: Mapping[str, Any]) -> RenderableType:
    table = _table(
        f"\n{heading(comparison)}",
        "metric",
        "difference",
        "won",
        "lost",
        "p",
        "verdict",
    )
    fields = {f"json_field.{name}" for name in fields_of(suite, CANDIDATE)} if suite else set()
    told = [
        m
        for m in comparison["metrics"]
        if m.get("decides", True) or (m["metric"] in fields and _is_clear(m))
    ]
    for metric in told:
        table.add_row(
            Text(metric["metric"]),
            _difference(metric["difference"]),
            str(metric["won"]),
            str(metric["lost"]),
            "-" if metric["p_value"] is None else f"{metric['p_value']:.3g}",
            _verdict(metric["verdict"]),
        )
    warnings = [f"{m['metric']}: {m['warning']}" for m in told if m["warning"]]
    captions = warnings[:1]
    # Reports of earlier releases do not have it.
    if left_out := comparison.get("left_out"):
        cases, reference = comparison["cases"], comparison["reference"]
        captions.append(
            f"{left_out} of {cases} cases do not count: {reference} was trained on them"
        )
    table.caption = Text("\n".join(captions), style="dim") if captions else None
    table.caption_justify = "left"
    return table


def _lost_slices(comparison: Mapping[str, Any]) -> list[RenderableType]:
    """Those that are worse, or seem so; all of them are in the JSON."""
    lost = lost_slices(comparison)
    if not lost:
        return []
    table = _table(
        f"\nLost slices, of {len(comparison['subgroups'])} ({comparison['main_metric']}; Holm)",
        *("slice", "n", "difference", "won", "lost", "p", "of all", "verdict"),
    )
    for one in lost[:_SHOWN_SLICES]:
        table.add_row(
            Text(one["name"]),
            str(one["cases"]),
            f"{one['difference']:+.3f}",
            str(one["won"]),
            str(one["lost"]),
            f"{one['p_value']:.2g}",
            "-" if one["adjusted"] is None else f"{one['adjusted']:.2g}",
            _verdict(one["verdict"]),
        )
    return [table]


def _is_clear(metric: Mapping[str, Any]) -> bool:
    """Whether it moved for sure; other fields, and precision and recall, are in JSON and HTML."""
    return metric["verdict"] in ("better", "worse")


class _Quantisations:
    """The exported files side by side; with intervals where they fit."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= _WITH_INTERVALS
        metrics = list(dict.fromkeys(metric for row in self._rows for metric in row["figures"]))
        table = _table("\nQuantisations", "file", "MB", "tokens/s", *metrics, "n")
        for row in self._rows:
            speed = row["tokens_per_second"]
            table.add_row(
                Text(row["name"]),
                f"{row['size_bytes'] / 1e6:.0f}",
                "-" if speed is None else f"{speed:.0f}",
                *(_measured(row["figures"].get(metric), interval=wide) for metric in metrics),
                _counts(row["figures"].get(metric) for metric in metrics),
            )
        yield table


def _parity(hops: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("\nParity of the export", "step", "equal answers", "difference", "allowed", "")
    for hop in hops:
        difference, bound = hop["largest_difference"], hop["bound"]
        table.add_row(
            Text(hop["name"]),
            f"{hop['agreed']} of {hop['checked']}",
            "-" if difference is None else f"{difference:.3f}",
            "-" if bound is None else f"{bound:.3f}",
            _verdict("passed" if hop["passed"] else "failed"),
        )
    return table


def _worst(suite: Mapping[str, Any]) -> list[RenderableType]:
    if not suite["worst"]:
        return []
    rows = Table.grid(padding=(0, 2))
    for case in suite["worst"][:_SHOWN_WORST]:
        rows.add_row("  asked", Text(cut(case["messages"][-1]["content"])))
        rows.add_row("  answered", Text(cut(case.get("marked", case["output"])), style="red"))
        if "marked" in case:
            rows.add_row("  why", Text(cut("; ".join(case["why"]))))
        if "facts" in case:
            rows.add_row("  facts", Text(cut(facts_told(case["facts"]))))
        if case["expected"] is not None:
            rows.add_row("  expected", Text(cut(case["expected"]), style="green"))
        rows.add_row("", "")
    title = f"\nWorst of {suite['wrong']} wrong answers in {suite['name']}"
    return [Text(title, style="italic"), rows]
