"""Do the verdicts err as seldom as they declare? Known truth, decided by the product.

    python benchmarks/bench_verdicts.py [--runs N] [--only TEXT] [--processes N]

Every scenario is a way to be wrong: a candidate that is worse is deployed, an equal one is called
better, a bar is passed by a model that falls short of it, an equal rollout is sent back, a monitor
alerts where nothing changed. `declared` is what the product promises for it (at most), `measured`
the share of the runs in which it happened (for monitors: how often a month) with its 95 % interval.
The draws are the benchmark's; what follows is the product's own code. Beside them stand the power,
which is what is wanted often, and the rules that peers decide by, each at its default.

`--runs` is the usual number; a scenario whose declared rate is the expected one has more, so that
chance alone does not exceed it, and one whose run takes long, such as a quarter, has fewer: `n`.

The last line is one JSON object, `{SCENARIO: {"declared", "measured": [value, low, high], "n"}}`,
kept in benchmarks/results/verdicts.json where the runs were the usual ones or more: what `--only`
leaves out stays there as it was, so that an hour can be had in pieces. Power and peers, of which
nothing is declared, stand in verdicts_beside.json in the same form. The exit status is 1 where a
rate was measured more than a point above the declared one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from verdict_bench import comparisons, gates, monitors, requests, rollouts, subgroups
from verdict_bench.rules import BALANCED, LENIENT, PEERS, STRICT
from verdict_bench.scenario import TOLERANCE, Scenario

RESULTS = Path(__file__).resolve().parent / "results"
DEFAULT_RUNS = 2_000
OURS = BALANCED.name
"""The decision that is the default; it stands beside the peers."""
RULES = (STRICT.name, OURS, LENIENT.name, *PEERS)
_PARTS = (comparisons, gates, subgroups, rollouts, requests, monitors)
_AT_ONCE = 20
"""Runs of one scenario after which another process may go on with it."""
Cell = Mapping[str, Any]


def main() -> int:
    """Run all scenarios; 1 where one errs more often than declared."""
    options = _options()
    chosen = [one for one in scenarios().values() if options.only in one.name]
    console = Console(stderr=True)
    found = _measured(chosen, options, console)
    cells = {name: cell for name, cell in found.items() if cell["declared"] is not None}
    beside = {name: cell for name, cell in found.items() if cell["declared"] is None}
    for table in tables(cells, beside):
        console.print(table)
    if options.runs >= DEFAULT_RUNS:
        keep(RESULTS / "verdicts.json", cells)
        keep(RESULTS / "verdicts_beside.json", beside)
    print(json.dumps(cells))
    return 1 if any(map(is_above, cells.values())) else 0


def keep(file: Path, measured: Mapping[str, Cell]) -> None:
    """Write cells over those of the same name; scenarios that are no more go."""
    known = json.loads(file.read_text()) if file.is_file() else {}
    cells = {**known, **measured}
    listed = {name: cells[name] for name in scenarios() if name in cells}
    file.write_text(json.dumps(listed) + "\n")


@cache
def scenarios() -> Mapping[str, Scenario]:
    """All of them by name."""
    return {one.name: one for part in _PARTS for one in part.scenarios()}


def is_above(cell: Cell) -> bool:
    """Whether it errs more often than declared."""
    return bool(cell["measured"][0] > cell["declared"] + TOLERANCE)


def _measured(
    chosen: Sequence[Scenario], options: argparse.Namespace, console: Console
) -> dict[str, Cell]:
    """Every scenario in its order; the runs are divided among the processes."""
    pieces = [
        (one.name, first, min(first + _AT_ONCE, one.runs(options.runs)))
        for one in chosen
        for first in range(0, one.runs(options.runs), _AT_ONCE)
    ]
    columns = (*Progress.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
    found: dict[str, dict[int, list[float]]] = {one.name: {} for one in chosen}
    with (
        ProcessPoolExecutor(options.processes) as pool,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("scenarios", total=len(pieces))
        waiting = {pool.submit(_piece, *piece): piece for piece in pieces}
        for done in as_completed(waiting):
            name, first, _ = waiting[done]
            found[name][first] = done.result()
            progress.advance(task)
    return {
        one.name: _cell(one, [run for _, runs in sorted(found[one.name].items()) for run in runs])
        for one in chosen
    }


def _piece(name: str, first: int, last: int) -> list[float]:
    return scenarios()[name].found(first, last)


def _cell(one: Scenario, found: Sequence[float]) -> Cell:
    measured = [round(value, 4) for value in one.figure(found)]
    declared = None if one.declared is None else round(one.declared, 4)
    return {"declared": declared, "measured": measured, "n": len(found)}


def tables(cells: Mapping[str, Cell], beside: Mapping[str, Cell]) -> list[Table]:
    """What is declared; the power; and how peers do on the same scenarios."""
    declared = Table("scenario", "declared", "measured", "95 %", "n", box=None)
    for name, cell in cells.items():
        style = "red" if is_above(cell) else ""
        declared.add_row(name, f"{cell['declared']:.3f}", *_figures(cell), style=style)
    power = Table("power, and what is tolerated", "measured", "95 %", "n", box=None)
    for name, cell in beside.items():
        if _decided_by(name)[0] not in PEERS:
            power.add_row(name, *_figures(cell))
    against = Table("beside peers' rules", "tuneloop", *PEERS, box=None)
    for what, of in _by_scenario({**cells, **beside}).items():
        if any(peer in of for peer in PEERS):
            against.add_row(what, *(of.get(rule, "–") for rule in (OURS, *PEERS)))
    return [table for table in (declared, power, against) if table.row_count]


def _figures(cell: Cell) -> tuple[str, str, str]:
    value, low, high = cell["measured"]
    return f"{value:.3f}", f"{low:.3f}–{high:.3f}", f"{cell['n']:,}"


def _by_scenario(cells: Mapping[str, Cell]) -> dict[str, dict[str, str]]:
    """What happened → who decided → how often."""
    found: dict[str, dict[str, str]] = {}
    for name, cell in cells.items():
        rule, what = _decided_by(name)
        found.setdefault(what, {})[rule] = f"{cell['measured'][0]:.3f}"
    return found


def _decided_by(name: str) -> tuple[str, str]:
    """The rule and the scenario; rollouts and monitors have one rule only."""
    rule, _, what = name.partition(": ")
    return (rule, what) if rule in RULES else (OURS, name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios whose name has it")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
