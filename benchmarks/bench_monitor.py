"""All monitors over a 7-day window of synthetic traffic: time and peak memory, by its size.

    python benchmarks/bench_monitor.py [--rows 100000 1000000 10000000] [--keep]

The traffic lies in the same tables as a gateway's, with 384-dimensional embeddings stored (1.5 GB a
million rows, below .bench/monitor, removed afterwards unless kept). Every side runs in a process of
its own, which reports its seconds from the tables to the figures and its peak resident memory:

- tuneloop: every monitor, through `tuneloop.monitoring.stage.measure`;
- numpy: the same statistics, written plainly over whole columns;
- Evidently, in an environment of its own: drift of the numeric columns, by its default test, and of
  the embeddings, by its default method, against 2,000 training rows. It looks at no answers and no
  feedback, so it does less. It took 82 s of CPU for 20,000 rows, so a larger window than
  --evidently-rows is compared with what Evidently took for fewer rows, `evidently_rows`: the ratio
  of the same rows would be smaller yet.

The last line is one JSON object, also written to benchmarks/results/monitor.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BENCH = HERE.parent / ".bench"
FOLDER = BENCH / "monitor"
EVIDENTLY = BENCH / "evidently"
EVIDENTLY_PACKAGES = ("evidently==0.7.23", "polars==2.1.0", "pandas<3")
RESULTS = HERE / "results" / "monitor.json"
SIDES = HERE / "monitor_sides"


def main() -> None:
    """Write the traffic of each size, let every side look at it, and print the comparison."""
    options = _options()
    evidently = _evidently_python() if options.evidently_rows else ""
    found: dict[str, Any] = {}
    theirs: dict[str, Any] = {"failed": "not run"}
    for rows in sorted(options.rows):
        folder = _traffic(rows)
        sides = {
            name: _run(sys.executable, name, folder, options) for name in ("tuneloop", "numpy")
        }
        if rows <= options.evidently_rows:
            theirs = _run(evidently, "evidently", folder, options) | {"rows": rows}
        found[str(rows)] = _compared(sides | {"evidently": theirs})
        print(rows, json.dumps(found[str(rows)]), flush=True)
        if not options.keep:
            shutil.rmtree(folder)
    result = {
        "rows": found,
        "dimensions": 384,
        "threads": options.threads,
        "evidently": EVIDENTLY_PACKAGES[0],
        "peak_mb_growth": _growth(found),
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for every side")
    parser.add_argument("--evidently-rows", type=int, default=100_000)
    parser.add_argument("--keep", action="store_true", help="leave the traffic for the next run")
    parser.add_argument("--timeout", type=float, default=3_600, help="seconds a side may take")
    return parser.parse_args()


def _evidently_python() -> str:
    """An environment of its own: its dependencies are none of ours."""
    python = EVIDENTLY / "bin" / "python"
    if not (EVIDENTLY / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", EVIDENTLY], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *EVIDENTLY_PACKAGES], check=True)
        (EVIDENTLY / "complete").touch()
    return str(python)


def _traffic(rows: int) -> Path:
    from monitor_traffic import write, write_reference

    folder = FOLDER / str(rows)
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"writing {rows} rows to {folder}", flush=True)
        write(folder, rows)
        write_reference(folder / "reference")
        (folder / "complete").touch()
    return folder


def _run(python: str, side: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One side's last line: seconds, peak_mb and its figures; or why there is none."""
    threads = str(options.threads)
    limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    environment = {**os.environ, **limits, "POLARS_MAX_THREADS": threads}
    command = [python, str(SIDES / f"{side}_side.py"), str(folder)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=options.timeout,
            preexec_fn=_first_to_go,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {options.timeout:g} s"}
    if done.returncode == -signal.SIGKILL:
        return {"failed": "killed by the system: out of memory"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"failed": f"exit {done.returncode}: {last}"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _first_to_go() -> None:
    """When memory runs out the kernel shall end this process, not another one."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def _compared(sides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ours = sides["tuneloop"]
    if "failed" in ours:
        sys.exit(f"tuneloop failed: {ours['failed']}")
    row: dict[str, Any] = {key: ours[key] for key in ("seconds", "cpu_seconds", "peak_mb")}
    for name, side in sides.items():
        if name != "tuneloop":
            row[f"ratio_to_{name}"] = (
                round(ours["seconds"] / side["seconds"], 3) if "seconds" in side else None
            )
    return {**row, "evidently_rows": sides["evidently"].get("rows"), "sides": sides}


def _growth(found: dict[str, Any]) -> float | None:
    """Peak memory of the largest window over that of the one before it."""
    peaks = [found[rows]["peak_mb"] for rows in sorted(found, key=int)]
    return round(peaks[-1] / peaks[-2], 2) if len(peaks) > 1 else None


if __name__ == "__main__":
    main()
