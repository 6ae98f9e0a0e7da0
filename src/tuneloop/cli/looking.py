"""`tuneloop data rows` and `tuneloop data stats`: what a dataset version holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tuneloop.cli.data import Reference, tag_table
from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_loop,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.cli.layout import Rows
    from tuneloop.datasets.looking import ShownRow
    from tuneloop.datasets.stats import Lengths, SideStats, Stats
    from tuneloop.datasets.versions import DatasetVersion
    from tuneloop.loop import Loop
    from tuneloop.project import Project
    from tuneloop.setup.beyond_window import BeyondWindow

SideOption = Annotated[
    Literal["train", "held-out"] | None, typer.Option(help="Only this side of the split.")
]
_SHOWN_ROWS = 20
_SHOWN_LABELS = 30
"""Of one field; the rarest matter too, so it is not few."""
_MARK = "▶"
_MARKED = {"train": "is learnt", "held-out": "is what the model's own answer is compared with"}
_WIDTH = 9
"""Columns for who speaks."""


def rows(
    reference: Reference = "latest",
    file: ModelOption = DEFAULT_FILE,
    side: SideOption = None,
    grep: Annotated[
        str | None, typer.Option(help="Only rows that say this, in whatever case.", metavar="TEXT")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="Only rows with this tag, and this value if given.", metavar="KEY[=VALUE]"
        ),
    ] = None,
    line: Annotated[
        str | None, typer.Option(help="Only the row of this line.", metavar="FILE:LINE")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="At most so many; 0: all. Default: 20, with --json all."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Print what is trained and what is asked, turn by turn, with file and line.

    Marked are the answers that are learnt, and on the held-out side those that the model's own are
    compared with; the rest is what stands before them. Rows that were left out: data quarantine.

    Example: tuneloop data rows --side held-out --grep refund --limit 5
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        version = loop.dataset(reference)
        found = loop.data_rows(version, side=side, grep=grep, tags=tag or [], line=line)
        elsewhere = "" if found or line is None else _left_out_at(loop, version, line)
        most = limit if limit is not None else 0 if json_ else _SHOWN_ROWS
        shown = found[: most or None]
        bare = not json_ and not all(row.system for row in shown)
        base_system = _base_system(loop.project) if bare else ""
        beyond = None if json_ else _beyond(loop, version, shown)
    if json_:
        print_json([row.as_row() for row in shown])
    elif not found:
        page(Text(elsewhere or "No row is like that."))
    else:
        page(*_pages(version, found, shown, base_system, beyond))


def stats(
    reference: Reference = "latest",
    file: ModelOption = DEFAULT_FILE,
    side: SideOption = None,
    json_: JsonOption = False,
) -> None:
    """Show a version in figures: lengths, answers a row, labels, tags, languages.

    Lengths are in characters; `tuneloop check` holds them in tokens against the base.

    Example: tuneloop data stats latest --side train
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        version = loop.dataset(reference)
        counted = loop.data_stats(version, side=side)
        beyond = loop.beyond_window(version) if side != "held-out" else None
    if json_:
        row = {**counted.as_row(), "beyond_window": beyond.as_row() if beyond else None}
        print_json({"label": version.label, "digest": version.digest, **row})
    else:
        page(f"Dataset version [bold]{version.label}[/]", *_figures(counted, beyond))


def _left_out_at(loop: Loop, version: DatasetVersion, line: str) -> str:
    """Why a line that somebody looks for is not in the version."""
    from tuneloop.datasets.looking import place_of

    place = place_of(line)
    return "\n".join(
        f"{row['source']}, line {row['line']} was left out, {row['reason']}: {row['detail']}"
        for row in loop.quarantined(version)
        if place.is_of(row["source"], row["line"])
    )


def _base_system(project: Project) -> str:
    """What the base's template puts before rows that bring no system text."""
    from tuneloop.registry.base_model import base_spec
    from tuneloop.registry.base_template import own_system

    spec = base_spec(project.model.base, folder=project.model_file.folder)
    return own_system(spec, revision=project.model.revision)


def _beyond(loop: Loop, version: DatasetVersion, shown: Sequence[ShownRow]) -> BeyondWindow | None:
    """Which of these rows are not learnt, as they are too long."""
    from tuneloop.datasets import versions
    from tuneloop.setup.beyond_window import beyond_window

    ids = {example_id for row in shown if row.side == "train" for example_id in row.ids}
    if not ids:
        return None
    train = versions.read_examples(loop.workspace, version, "train")
    return beyond_window(loop.project, [example for example in train if example.id in ids])


def _pages(
    version: DatasetVersion,
    found: Sequence[ShownRow],
    shown: Sequence[ShownRow],
    base_system: str,
    beyond: BeyondWindow | None,
) -> Iterator[RenderableType]:
    yield f"Dataset version [bold]{version.label}[/]"
    for side, what in _MARKED.items():
        if any(row.side == side for row in shown):
            yield Text.assemble((_MARK, "green"), f" {side}: {what}", style="dim")
    if base_system:
        yield Text("\nbefore rows without a system text, by the base's template", style="bold")
        yield Spoken([Line("system", base_system)])
    shared = _shared(shown)
    if shared:
        yield Text("\nbefore all of these rows", style="bold")
        yield Spoken(shared)
    for row in shown:
        group = f", group {row.group[:8]}" if row.group else ""
        yield Text(f"\n{row.place}: {row.side}{group}", style="bold")
        if beyond and (long := [beyond.tokens[it] for it in row.ids if it in beyond.tokens]):
            yield Text(
                f"not learnt: {', '.join(f'{tokens:,}' for tokens in long)} tokens, and "
                f"{beyond.setting} is {beyond.window:,}",
                style="yellow",
            )
        skipped: Container[str] = beyond.tokens if beyond else ()
        yield Spoken(line for line in _lines(row, skipped) if line not in shared)
    if len(shown) < len(found):
        yield Text(f"\n{len(shown):,} of {len(found):,} rows; all of them: --limit 0")


def _shared(rows: Sequence[ShownRow]) -> list[Line]:
    """What stands before every one of several rows: it is said once."""
    first, *others = rows
    return [
        line for line in _before(first) if others and all(line in _before(row) for row in others)
    ]


class Line(NamedTuple):
    """What is shown of a turn."""

    who: str
    what: str
    marked: bool = False


def _lines(row: ShownRow, skipped: Container[str]) -> Iterator[Line]:
    """`skipped`: ids of answers that are not learnt."""
    yield from _before(row)
    ids = iter(row.ids)  # in the order of their answers
    for turn in row.turns[bool(row.system) :]:
        marked = turn.use != "context" and next(ids) not in skipped
        yield from _spoken(turn.message, marked=marked)
    for worse in row.rejected:
        yield Line("worse", worse)
    if row.tags:
        yield Line("tags", ", ".join(f"{key}={value}" for key, value in row.tags.items()))


def _before(row: ShownRow) -> list[Line]:
    """System text and tools."""
    tools = [json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in row.tools]
    system = [Line("system", row.system)] if row.system else []
    return [*system, *(Line("may call", tool) for tool in tools)]


def _spoken(message: Mapping[str, Any], *, marked: bool) -> Iterator[Line]:
    if thought := message.get("reasoning_content"):
        yield Line("thought", thought, marked)
    calls = [call["function"] for call in message.get("tool_calls", ())]
    if message["content"] or not calls:
        name = message.get("name", "")
        said = message["content"]
        yield Line(message["role"], f"[{name}] {said}" if name else said, marked)
    for call in calls:
        yield Line("calls", f"{call['name']} {call['arguments']}", marked)


class Spoken:
    """Texts of others below each other, who says them before each; lines of a text stay lines.

    What goes on in a further line stands under itself, so that no text looks like a line of ours.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        """`lines`: from top to bottom."""
        self._lines = list(lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the width that there is; in a pipe a line of a text is a line."""
        if not console.is_terminal:
            for line in self._lines:
                head = f"{_MARK if line.marked else ' '} {line.who:<{_WIDTH}}"
                for part in line.what.split("\n"):
                    yield Text(f"{head} {part}".rstrip())
                    head = " " * len(head)
            return
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=1, style="green")
        grid.add_column(width=_WIDTH, no_wrap=True, style="dim")
        grid.add_column(overflow="fold")
        for line in self._lines:
            grid.add_row(_MARK if line.marked else "", Text(line.who), Text(line.what))
        yield grid


def _figures(counted: Stats, beyond: BeyondWindow | None) -> Iterator[RenderableType]:
    sides = counted.sides
    figures = table("", *sides)
    for name, of_side in _LINES.items():
        figures.add_row(name, *(of_side(side) for side in sides.values()))
    for name, how_many in _IF_ANY.items():
        if any(map(how_many, sides.values())):
            figures.add_row(name, *(f"{how_many(side):,}" for side in sides.values()))
    if any(counted.pairs.values()):
        figures.add_row("preference pairs", *(f"{pairs:,}" for pairs in counted.pairs.values()))
    yield figures
    yield Text("characters: median, 95th percentile, longest", style="dim")
    if beyond:
        yield Text(f"• {beyond.sentence}")
    if counted.labels:
        yield Text()
        yield _label_table(counted)
    if counted.tags:
        yield Text()
        yield tag_table(counted.tags)
    yield Text()
    yield _version_table(counted)


def _label_table(counted: Stats) -> Rows:
    labels = table("label", "", *counted.sides)
    for field, values in counted.labels.items():
        for value, by_side in list(values.items())[:_SHOWN_LABELS]:
            labels.add_row(field, value, *(f"{count:,}" for count in by_side.values()))
        if len(values) > _SHOWN_LABELS:
            labels.add_row(field, f"and {len(values) - _SHOWN_LABELS} rarer ones; --json has all")
    return labels


def _version_table(counted: Stats) -> Rows:
    """What the version was made of, both sides."""
    rows = table("whole version", "")
    for source in counted.sources:
        answers = f"{source['kept']:,} answers to use"
        rows.add_row(str(source["source"]), f"{source['rows']:,} rows, {answers}")
    for reason, count in counted.left_out.items():
        rows.add_row("left out", f"{reason.replace('_', ' ')} {count:,}")
    return rows


def _of_lengths(lengths: Lengths | None) -> str:
    if lengths is None:
        return "–"
    return f"{lengths.median:,}, {lengths.p95:,}, {lengths.longest:,}"


def _of_rows(side: SideStats) -> str:
    """`40: 38 × 1 answer, 2 × 3`."""
    if set(side.answers_a_row) <= {1}:
        return f"{side.rows:,}"
    listed = ", ".join(f"{rows:,} × {answers}" for answers, rows in side.answers_a_row.items())
    return f"{side.rows:,}: {listed}"


def _of_shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) or "–"


_LINES: Mapping[str, Callable[[SideStats], str]] = {
    "answers": lambda side: f"{side.answers:,}",
    "rows × answers": _of_rows,
    "system texts": lambda side: f"{side.system_texts:,}",
    "prompt, characters": lambda side: _of_lengths(side.prompt),
    "answer, characters": lambda side: _of_lengths(side.answer),
    "questions in": lambda side: _of_shares(side.prompt_languages),
    "answers in": lambda side: _of_shares(side.answer_languages),
}
_IF_ANY: Mapping[str, Callable[[SideStats], int]] = {
    "answers that call tools": lambda side: side.calls_tools,
    "answers with a thought": lambda side: side.thinks,
    "samples of live traffic": lambda side: side.live_samples,
    "approved corrections": lambda side: side.corrections,
}
