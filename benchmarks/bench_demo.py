"""How long `make demo` takes, and how much of a cycle is not training: now, and before.

    python benchmarks/bench_demo.py

Runs the demo of this checkout, then that of the commit before the loop was made quicker, in a Git
worktree below `.bench/demo` and with the same installation: one after the other, since anything
beside them would slow them down. Each begins with an empty cache, as a newcomer does. About half an
hour on two cores. The last line is one JSON object, also written to benchmarks/results/demo.json:

    seconds               the whole demo
    training_seconds      of the steps of optimisation of both cycles, as their runs' records say
    overhead              (whole cycles - training steps) / whole cycles; a cycle is all its steps
    first_answer_seconds  until the gateway serves the first tuned model
    before                the same, of the earlier commit; null where it is not in this clone

`--only-now` leaves `before` out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "demo.json"
BENCH = ROOT / ".bench" / "demo"
BEFORE = "bcf1913"
"""The last commit before issue 12."""
MOST_OVERHEAD = 0.25
MOST_OF_BEFORE = 0.5
_SUMMARY = "Where the time went"
_CHAPTER = re.compile(r"^ (?P<name>\S.*?) +(?P<seconds>[\d.]+) *$")
_UNTIL_FIRST_ANSWER = ("Set up", "Month one: the first model", "Serve it")


def main() -> int:
    """Print the JSON line; 1 where it takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only-now", action="store_true", help="without the earlier commit")
    only_now = parser.parse_args().only_now
    shutil.rmtree(BENCH, ignore_errors=True)
    BENCH.mkdir(parents=True)
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        **_demo(ROOT, "now"),
        "before": None if only_now else _before(),
    }
    line = json.dumps(result)
    RESULTS.write_text(line + "\n", encoding="utf-8")
    print(line)
    before = result["before"]
    return int(
        result["overhead"] > MOST_OVERHEAD
        or (before is not None and result["seconds"] > MOST_OF_BEFORE * before["seconds"])
    )


def _before() -> dict[str, Any] | None:
    """The demo of the earlier commit; None where the clone does not have it."""
    tree = BENCH / "before"
    git = ["git", "-C", str(ROOT), "worktree"]
    added = subprocess.run(
        [*git, "add", "--detach", "--force", str(tree), BEFORE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if added.returncode:
        print(f"{BEFORE} is not in this clone, so there is nothing to compare with:")
        print(added.stderr.strip())
        return None
    try:
        return _demo(tree, BEFORE)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=False)


def _demo(tree: Path, name: str) -> dict[str, Any]:
    """Run the demo of a source tree and read its own records."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "src"),
        "TUNELOOP_CACHE": str(BENCH / f"cache-{name}"),
        "PYTHONUNBUFFERED": "1",
    }
    print(f"--- the demo, {name}", flush=True)
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, str(tree / "examples/support-desk/demo.py")],
        env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"The demo ({name}) ended with {process.returncode}.")
    chapters = _chapters(lines)
    records = _cycles(tree / ".demo", environment)
    whole = sum(cycle["seconds"] for cycle in records)
    training = sum(cycle["training_seconds"] for cycle in records)
    return {
        "seconds": round(seconds, 1),
        "training_seconds": round(training, 1),
        "overhead": round((whole - training) / whole, 3),
        "first_answer_seconds": round(sum(chapters[name] for name in _UNTIL_FIRST_ANSWER), 1),
        "cycles": records,
        "chapters": chapters,
    }


def _chapters(lines: list[str]) -> dict[str, float]:
    """The table at the end of the demo's output."""
    begin = max(number for number, line in enumerate(lines) if line.startswith(_SUMMARY))
    rows = filter(None, map(_CHAPTER.match, lines[begin:]))
    return {row["name"]: float(row["seconds"]) for row in rows}


def _cycles(demo: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Of each cycle, the first one first: the seconds of its steps, and of its training's steps."""

    def ask(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "tuneloop.cli", *arguments, "--json"],
            cwd=demo, env={**environment, "TUNELOOP_FILE": str(demo / "tuneloop.yaml")},
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    return of_cycles(list(reversed(ask("cycle", "list"))), ask("runs", "list"))


def of_cycles(cycles: list[dict[str, Any]], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The seconds of each cycle, the first one first; a run's count in the first that names it.

    A later cycle that found nothing new to train names the same run, and spent no time on it.
    """
    records = {run["id"]: run["record"] for run in runs}
    rows, counted = [], set()
    for cycle in cycles:
        steps = {step: made["seconds"] for step, made in cycle["steps"].items()}
        run = cycle["steps"].get("train", {}).get("run")
        again = run is None or run in counted
        counted.add(run)
        rows.append(
            {
                "seconds": round(sum(steps.values()), 1),
                "training_seconds": 0.0 if again else records[run]["train_seconds"],
                "steps": steps,
            }
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
