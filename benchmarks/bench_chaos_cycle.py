"""A cycle killed with -9 at every step boundary and inside its stages: is everything done once?

    python benchmarks/bench_chaos_cycle.py

A real worker runs real cycles of a tiny random model, on SQLite. At every point of `cycle_desk` the
worker and all that it started are killed in the same moment, as a power cut does; then a new one is
started. The first cycle ends with a deployment, with `tuneloop worker` alone; the second one with a
rollout, under `tuneloop up`, which starts the worker again by itself.

- kills: points at which the worker was killed. between: those of them at which a step's effect was
  in the stores and not yet in the cycle's row. That cannot be arranged from outside; it is counted.
- completed: cycles that came to their end, of 2.
- repeated_effects, lost_effects: how often an effect is found more, or less, often than once a
  cycle: dataset version, training run, export, evaluation, bundle, deployment, rollout, and the
  begin and end of the cycle in the audit log; a question that was answered twice in an evaluation;
  an artifact that is not whole. By name under "effects".
- resumed_seconds: from a kill to the cycle's process being at work again, the median.

What does not hold makes the exit code 1. The last line is one JSON object, also written to
benchmarks/results/chaos_cycle.json.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from chaos.cycle_desk import FIRST, SECOND, Desk, Point  # noqa: E402
from chaos.cycle_effects import CYCLES, effects  # noqa: E402
from chaos.waiting import wait_for  # noqa: E402

from tiny_desk import command, tuneloop  # noqa: E402
from tuneloop.retraining import cycles  # noqa: E402

RESULTS = HERE / "results" / "chaos_cycle.json"
BENCH = HERE.parent / ".bench"
PATIENCE_SECONDS = 900.0


@dataclass(kw_only=True)
class Tally:
    """What happened."""

    kills: list[str] = field(default_factory=list)
    between: list[str] = field(default_factory=list)
    resumed_seconds: list[float] = field(default_factory=list)


def main() -> int:
    """Kill, count, report."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the processes on the way out
    BENCH.mkdir(exist_ok=True)
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="chaos-cycle-") as name:
        desk = Desk(Path(name))
        tuneloop(desk.folder, "cycle", "start", "-m", "first")
        with alone(desk) as worker:
            go_through(desk, FIRST, worker, tally)
            say(f"first cycle: {ended(desk)}")
        desk.add_rows()
        tuneloop(desk.folder, "up", "--detach")
        try:
            tuneloop(desk.folder, "cycle", "start", "-m", "second")
            go_through(desk, SECOND, lambda: worker_of_up(desk), tally)
            tuneloop(desk.folder, "rollout", "promote")
            say(f"second cycle: {ended(desk)}")
        finally:
            tuneloop(desk.folder, "down")
        found = effects(desk)
        for name, (times, wanted) in found.items():
            if times != wanted:
                say(f"PROBLEM: {name}: expected {wanted}, found {times}")
        completed = sum(
            c.status == "finished"
            for c in cycles.listing(desk.loop.workspace, desk.loop.model.name)
        )
        desk.close()
    result = {
        "kills": len(tally.kills),
        "completed": completed,
        "repeated_effects": sum(max(0, n - want) for n, want in found.values()),
        "lost_effects": sum(max(0, want - n) for n, want in found.values()),
        "between": tally.between,
        "resumed_seconds": round(statistics.median(tally.resumed_seconds), 1),
        "points": tally.kills,
        "effects": {name: {"found": n, "expected": want} for name, (n, want) in found.items()},
    }
    text = json.dumps(result)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n")
    print(text)
    good = not result["repeated_effects"] and not result["lost_effects"] and completed == CYCLES
    return 0 if good and len(tally.kills) == len(FIRST) + len(SECOND) else 1


@contextmanager
def alone(desk: Desk) -> Iterator[Callable[[], psutil.Process]]:
    """A worker of its own; gives what finds it, started again when it was killed."""
    running: list[subprocess.Popen[bytes]] = []

    def worker() -> psutil.Process:
        if not running or running[-1].poll() is not None:
            with (desk.folder / "worker.log").open("ab") as log:
                arguments = command("worker")
                running.append(subprocess.Popen(arguments, cwd=desk.folder, stdout=log, stderr=log))
        return psutil.Process(running[-1].pid)

    try:
        yield worker
    finally:
        for one in running:
            one.terminate()
            one.wait()


def worker_of_up(desk: Desk) -> psutil.Process:
    """The worker that `tuneloop up` has started, waited for."""

    def found() -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "tuneloop.worker.process" in words and str(desk.folder) in " ".join(words):
                return process
        return None

    return wait_for(found, "the worker of tuneloop up", seconds=PATIENCE_SECONDS)


def go_through(
    desk: Desk, points: tuple[Point, ...], worker: Callable[[], psutil.Process], tally: Tally
) -> None:
    """Kill at one point after the other; the worker is left running."""
    for point in points:
        process = worker()
        wait_for(lambda p=point: p.reached(desk), point.name, seconds=PATIENCE_SECONDS)
        kill_all(process)
        killed = time.monotonic()
        if point.step and point.step not in desk.cycle().steps:
            tally.between.append(point.name)
        tally.kills.append(point.name)
        desk.mark()
        worker()
        if desk.cycle().status in ("asked", "running"):
            wait_for(
                lambda: desk.new_log() or over(desk), "work to go on", seconds=PATIENCE_SECONDS
            )
            tally.resumed_seconds.append(time.monotonic() - killed)
        say(f"killed: {point.name}; {desk.cycle().status}, has {', '.join(desk.cycle().steps)}")


def kill_all(process: psutil.Process) -> None:
    """The worker and all that it has started, in one moment."""
    for one in (process, *process.children(recursive=True)):
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs([process], timeout=10)


def over(desk: Desk) -> bool:
    return desk.cycle().status not in cycles.OPEN


def ended(desk: Desk) -> str:
    """How the cycle ended, waited for."""
    wait_for(lambda: over(desk), "the end of the cycle", seconds=PATIENCE_SECONDS)
    desk.old_answers = set(desk.work.glob("answers/*/*.jsonl"))
    return desk.cycle().outcome


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
