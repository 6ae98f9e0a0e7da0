"""One thing on one screen: what a person wants to know of it first; `--json` has everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from tuneloop.foreign_text import one_line, shortened
from tuneloop.hashing import short
from tuneloop.progress import duration

if TYPE_CHECKING:
    from tuneloop.deployment.admission import Past
    from tuneloop.registry.bundle import Bundle
    from tuneloop.registry.manifest import Serving, Task
    from tuneloop.training.stage import TrainingRun

_LINES = 2
"""At most so many for one value."""
_WHOLE = 1_000
"""Lines of a value that is not shortened."""
_CURVE = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 24


class Sheet:
    """A heading, then names with values; a value longer than `lines` is shortened in its middle."""

    def __init__(self, heading: str | None = None, *, lines: int | None = _LINES) -> None:
        """Nothing below the heading yet; `lines` None: every value is whole."""
        self._heading = heading
        self._lines = lines
        self._rows: list[tuple[str, Text]] = []

    def add(self, name: str, *values: object, style: str = "") -> None:
        """A line for each value, the name before the first; None and what is empty is left out."""
        given = [value for value in values if value not in (None, "", (), [], {})]
        for value, shown in zip(given, (name, *[""] * len(given)), strict=False):
            self._rows.append((shown, Text(one_line(str(value)), style=style)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the width that there is; in a pipe every value is a line."""
        if self._heading is not None:
            yield Text(self._heading, style="bold")
        names = max((len(name) for name, _ in self._rows), default=0)
        if not console.is_terminal:
            for name, value in self._rows:
                yield Text(f"{name:<{names}}  ") + value
            return
        room = max(10, options.max_width - names - 2) * (self._lines or _WHOLE)
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(style="bold", no_wrap=True)
        rows.add_column(overflow="fold")
        for name, value in self._rows:
            rows.add_row(name, Text(shortened(value.plain, room), style=value.style))
        yield rows


def bundle_sheet(bundle: Bundle, past: Past) -> Sheet:
    """What a bundle is: base, data, training, what serves it, what it showed; and what became of
    it, under this id or another."""
    from tuneloop.deployment import admission
    from tuneloop.deployment.backends.base import proof_sentence
    from tuneloop.evaluation.repeatability import sentence
    from tuneloop.evaluation.weakening import weakened
    from tuneloop.registry.weakness import sentences

    manifest = bundle.manifest
    data, training, serving, judged = (
        manifest.dataset,
        manifest.training,
        manifest.serving,
        manifest.evaluation,
    )
    sheet = Sheet(f"{bundle.model}, bundle {bundle.short}")
    sheet.add("warning", *sentences(weakened(manifest)), style="yellow")
    sheet.add("id", bundle.id)
    sheet.add("behaves as", admission.namesake(bundle.id, past))
    refused = admission.admission(bundle.id, past)
    # That it missed its own gates stands below.
    told = [one.about(bundle.id) for one in refused if one.detail or one.bundle != bundle.id]
    sheet.add("stays out", *(f"it {reason}" for reason in told), style="yellow")
    sheet.add("made", f"{bundle.created_at:%Y-%m-%d %H:%M} UTC")
    sheet.add("base", _base(manifest.base.as_json()))
    sheet.add(
        "trained on",
        f"dataset {data.label or short(data.digest)}: {data.rows_train} rows, "
        f"{data.rows_eval} held out",
    )
    sheet.add("corrections", data.corrections or None)
    sheet.add("reviewers", ", ".join(data.reviewers))
    sheet.add("training", f"run {training.run}; {_settings(training.hyperparameters)}")
    sheet.add("system text", manifest.task.system)
    sheet.add("form", _form(manifest.task))
    sheet.add("served", _served(serving), _cannot(serving), proof_sentence(serving))
    style = {"passed": "green", "failed": "red"}.get(str(judged.verdict), "yellow")
    sheet.add("gates", f"{judged.verdict}: {judged.reason}", style=style)
    for name, score in judged.scores.items():
        sheet.add(f"  {name}", _score(score))
    if repeats := judged.repeatability:
        sheet.add("repeats", sentence(repeats))
    for name, comparison in judged.comparisons.items():
        verdict = str(comparison.get("verdict", "")).replace("_", " ")
        sheet.add(f"against {name}", f"{verdict}: {comparison.get('reason', '')}")
    sheet.add("all of it", f"tuneloop bundle show {bundle.short} --json")
    return sheet


def run_sheet(run: TrainingRun, doing: str | None) -> Sheet:
    """A training run: what went in, how it went, how it ended; `doing`: what it is at now."""
    record = run.record
    sheet = Sheet(f"{run.model}, training run {run.id}: {_standing(run, doing)}")
    sheet.add("now", doing, style="cyan")
    sheet.add("started", f"{run.created_at:%Y-%m-%d %H:%M} UTC")
    sheet.add("error", record.get("error"), style="red")
    if "base" in record:
        sheet.add("base", _base(record["base"]))
    counts = record.get("rows", {})
    rows = f": {counts['train']} rows, {counts['eval']} for the evaluation loss" if counts else ""
    sheet.add("dataset", f"{short(run.dataset)}{rows}")
    sheet.add("left out", _left_out(record.get("left_out_rows", {})))
    sheet.add("settings", _settings(run.hyperparameters))
    sheet.add("steps", _steps(record))
    if run.losses.last is not None:
        sheet.add("losses", run.losses)
    curves = record.get("loss_curves", {})
    for name, key in (("  training", "train"), ("  evaluation", "eval")):
        sheet.add(name, _curve([float(point["loss"]) for point in curves.get(key, ())]))
    if "train_seconds" in record:
        sheet.add(
            "speed",
            f"{record['tokens_per_second']:.0f} tokens/s; {duration(record['train_seconds'])} of "
            f"training, {duration(record.get('wall_seconds', record['train_seconds']))} in all",
        )
    if precision := record.get("precision"):
        sheet.add("precision", f"{precision['name']}: {precision['reason']}")
    peaks = record.get("peak_memory_mb", {})
    sheet.add("memory", ", ".join(f"{at} {mb:.0f} MB at most" for at, mb in peaks.items()))
    machine = record.get("hardware", {})
    sheet.add("machine", ", ".join(f"{key} {value}" for key, value in machine.items()))
    packages = record.get("packages", {})
    sheet.add("packages", ", ".join(f"{key} {value}" for key, value in packages.items()))
    sheet.add("all of it", f"tuneloop runs show {run.id} --json")
    return sheet


def _standing(run: TrainingRun, doing: str | None) -> str:
    if run.status == "running" and doing is None:
        return "interrupted; `tuneloop train` or `tuneloop run` goes on with it"
    return run.status


def _base(base: Mapping[str, Any]) -> str:
    revision = f" at {base['revision']}" if base.get("revision") else ""
    return f"{base.get('spec')}{revision} ({short(str(base.get('digest', '')))})"


def _settings(hyperparameters: Mapping[str, Any]) -> str:
    """The method, then what somebody has chosen; the defaults are in the record."""
    chosen = [
        f"{name} {_plain(setting.get('in_force', setting.get('value')))}"
        for name, setting in hyperparameters.items()
        if name != "method" and setting.get("origin") != "default"
    ]
    method = str(hyperparameters.get("method", {}).get("value", ""))
    return ", ".join(filter(None, [method, *chosen]))


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _form(task: Task) -> str:
    if task.output_schema:
        fields = task.output_schema.get("properties", {})
        return f"JSON with {', '.join(fields) or 'any field'}"
    return f"pattern {task.output_pattern}" if task.output_pattern else ""


def _served(serving: Serving) -> str:
    by, conditions = f"{serving.quantisation} by {serving.backend}", serving.conditions
    address = conditions.get("address")
    where = f" at {address['base_url']} as {address['model']}" if address else ""
    context = conditions.get("context_tokens")
    tokens = f", {context} tokens of context" if context else ""
    return (
        f"{by}{where}{tokens}, {conditions['parallel_requests']} at a time; "
        f"{_sampling(serving.sampling)}"
    )


def _cannot(serving: Serving) -> str:
    """What a server that somebody else runs is not asked for."""
    from tuneloop.deployment.backends.base import Capability

    offers = serving.conditions.get("offers", list(Capability))
    lacks = [str(capability) for capability in Capability if capability not in offers]
    return f"cannot be asked there: {', '.join(lacks)}" if lacks else ""


def _sampling(sampling: Mapping[str, Any]) -> str:
    words = [
        f"{name} {_plain(value)}"
        for name, value in sampling.items()
        if isinstance(value, (int, float, str))
    ]
    constrained = " and nothing but what fits the schema" if "response_format" in sampling else ""
    return ", ".join(words) + constrained


def _score(score: Sequence[Any]) -> str:
    value, low, high, n = score
    return f"{value:.3f} ({low:.3f}–{high:.3f}), n = {n}"


def _left_out(left_out: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(
        f"{len(rows)} {why.replace('_', ' ')}" for why, rows in left_out.items() if rows
    )


def _steps(record: Mapping[str, Any]) -> str:
    if "steps" not in record:
        return ""
    resumed = record.get("resumed_from_step")
    epochs = f", {record['epochs_done']:g} epochs" if record.get("epochs_done") else ""
    return f"{record['steps']}{epochs}" + (f"; resumed from step {resumed}" if resumed else "")


def _curve(values: Iterable[float]) -> str:
    """`2.745 ▇▅▃▂▁ 0.310`: the first, its course, the last."""
    points = list(values)
    if not points:
        return ""
    if len(points) == 1:
        return f"{points[0]:.4f}"
    low, high = min(points), max(points)
    width = min(_CURVE_WIDTH, len(points))
    picked = [points[at * (len(points) - 1) // max(1, width - 1)] for at in range(width)]
    span = (high - low) or 1.0
    bars = "".join(_CURVE[round((point - low) / span * (len(_CURVE) - 1))] for point in picked)
    return f"{points[0]:.4f} {bars} {points[-1]:.4f}"
