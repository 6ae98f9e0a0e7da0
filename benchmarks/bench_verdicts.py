"""Do the verdicts err as seldom as they declare? Known truth, decided by the product.

    python benchmarks/bench_verdicts.py [--runs N] [--only TEXT] [--processes N]

Every scenario is a way to be wrong: a candidate that is worse is deployed, an equal one is called
better, a bar is passed by a model that falls short of it. `declared` is what the product promises
for it (at most), `measured` the share of the runs in which it happened with its 95 % interval. The
draws are the benchmark's; what follows is the product's own code, from the comparison to the
decision. Beside them, the rules that peers decide by.

The last line is one JSON object, `{SCENARIO: {"declared", "measured": [value, low, high], "n"}}`,
also written to benchmarks/results/verdicts.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from verdict_bench import comparisons, peers, subgroups

RESULT = Path(__file__).resolve().parent / "results" / "verdicts.json"
TOLERANCE = 0.01


def main() -> int:
    """Run all scenarios; 1 where one errs surely more often than declared."""
    options = _options()
    names = [name for name, _, _ in _scenarios() if options.only in name]
    seen = [name for name, _ in subgroups.powers() if options.only in name]
    others = [name for name, _ in peers.peers() if options.only in name]
    began = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        ours = list(pool.map(_ours, names, [options.runs] * len(names)))
        powers = list(pool.map(_power, seen, [options.runs] * len(seen)))
        theirs = list(pool.map(_theirs, others, [options.runs] * len(others)))
    results = dict(ours)
    _print(results, dict(powers), dict(theirs))
    above = [name for name, of in results.items() if of["measured"][0] > of["declared"] + TOLERANCE]
    summary = {
        "scenarios": results,
        "power": dict(powers),
        "peers": dict(theirs),
        "above_declared": above,
        "seconds": round(time.monotonic() - began, 1),
    }
    line = json.dumps(summary)
    if not options.only:
        RESULT.write_text(line + "\n")
    print(line)
    return 1 if above else 0


def _scenarios() -> Iterator[tuple[str, float, comparisons.Run]]:
    yield from comparisons.scenarios()
    yield from subgroups.scenarios()


def _ours(name: str, runs: int) -> tuple[str, dict[str, Any]]:
    declared, run = next((declared, run) for at, declared, run in _scenarios() if at == name)
    seen = comparisons.measured(run, runs=runs, seed=zlib.crc32(name.encode()))
    return name, {"declared": round(declared, 4), "measured": seen, "n": runs}


def _power(name: str, runs: int) -> tuple[str, dict[str, Any]]:
    """What is wanted often, and not declared."""
    run = next(run for at, run in subgroups.powers() if at == name)
    seen = comparisons.measured(run, runs=runs, seed=zlib.crc32(name.encode()))
    return name, {"measured": seen, "n": runs}


def _theirs(name: str, runs: int) -> tuple[str, dict[str, Any]]:
    run = next(run for at, run in peers.peers() if at == name)
    seen = comparisons.measured(run, runs=runs, seed=zlib.crc32(name.encode()))
    return name, {"measured": seen, "n": runs}


def _print(ours: dict[str, Any], powers: dict[str, Any], theirs: dict[str, Any]) -> None:
    console = Console(stderr=True)
    table = Table("scenario", "declared", "measured", "95 %", box=None)
    for name, of in ours.items():
        value, low, high = of["measured"]
        style = "red" if value > of["declared"] + TOLERANCE else ""
        table.add_row(
            name, f"{of['declared']:.3f}", f"{value:.3f}", f"{low:.3f}–{high:.3f}", style=style
        )
    for name, of in powers.items():
        value, low, high = of["measured"]
        table.add_row(f"power: {name}", "", f"{value:.3f}", f"{low:.3f}–{high:.3f}")
    for name, of in theirs.items():
        value, low, high = of["measured"]
        table.add_row(f"peers: {name}", "", f"{value:.3f}", f"{low:.3f}–{high:.3f}", style="dim")
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2_000, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios whose name has it")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
