"""Faults and attacks against real processes: what is answered, captured, lost, doubled.

    python benchmarks/bench_chaos.py [--only NAME ...] [--small]

Every fault has a gateway of its own, started as the product starts it, and load from clients that
ask one request after the other, half of them streams. Model servers are scripted where the fault
needs it and llama.cpp with a tiny random model where they are killed. The gateway is killed under
the real supervisor; controller, supervisor and database are those of `tuneloop up`.

- sent: requests. answered: those that got what is right for them, whole: a complete 2xx answer
  or, where the fault or attack is such that an error is the right answer, one of the errors
  expected there, in the OpenAI format with the expected code. (What is no HTTP is answered by the
  HTTP server with a bare 400, or its connection ends.)
- captured: answers with an interaction id, errors included, whose last byte a client received and
  that are in the traffic table, moved there from the spool, with the text that the client got.
- lost: such answers that are not in the table, less those that `/metrics` counts as dropped for a
  reason ("dropped"). doubled: interactions that are in the table more than once.
- recovered_seconds: from the end of the fault (of a kill: from the kill) to the next ordinary
  answer to a request sent after it; the longest of several.

Beside an attack ordinary clients ask another endpoint: every one of them must be answered. Every
fault checks more: codes, memory, accounts, cross-talk; what does not hold is under "problems" and
makes the exit code 1, as lost and doubled answers do. The last line is one JSON object, also
written to benchmarks/results/chaos.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from chaos.desk import tiny_model
from chaos.faults import FAULTS
from chaos.trial import FULL, SMALL, Fault, Outcome, Place, play

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "chaos.json"
BENCH = HERE.parent / ".bench"
_BY_NAME = {fault.__name__: fault for fault in FAULTS}


def main() -> int:
    """Play the faults and report."""
    options = _options()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the processes on the way out
    BENCH.mkdir(exist_ok=True)
    chosen = [_BY_NAME[name] for name in options.only] or FAULTS
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="chaos-") as name:
        outcomes = _play_all(chosen, Path(name), small=options.small)
    result = {
        "faults": {name: vars(outcome) for name, outcome in outcomes.items()},
        "lost": sum(outcome.lost for outcome in outcomes.values()),
        "doubled": sum(outcome.doubled for outcome in outcomes.values()),
    }
    text = json.dumps(result)
    if not (options.only or options.small):
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text + "\n")
    print(text)
    return 0 if all(outcome.passed for outcome in outcomes.values()) else 1


def _play_all(faults: Sequence[Fault], folder: Path, *, small: bool) -> dict[str, Outcome]:
    model = cache(lambda: tiny_model(folder / "model"))
    outcomes = {}
    for fault in faults:
        name, began = fault.__name__, time.monotonic()
        _say(f"{name} ...")
        place = Place(folder=folder / name, size=SMALL if small else FULL, model=model)
        outcomes[name] = outcome = _played(fault, place)
        _say(
            f"{name}: sent {outcome.sent}, answered {outcome.answered}, captured "
            f"{outcome.captured}, dropped {outcome.dropped}, lost {outcome.lost}, doubled "
            f"{outcome.doubled}, recovered in {outcome.recovered_seconds:g} s "
            f"({time.monotonic() - began:.0f} s)"
        )
        for problem in outcome.problems:
            _say(f"  PROBLEM: {problem}")
    return outcomes


def _played(fault: Fault, place: Place) -> Outcome:
    try:
        return play(fault, place)
    except Exception as e:  # noqa: BLE001  one that breaks down must not hide the others
        traceback.print_exc()
        return Outcome(problems=[f"expected to get to the end, got {e!r}"])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=[], choices=_BY_NAME, metavar="NAME", help="some of them"
    )
    parser.add_argument("--small", action="store_true", help="as in the tests")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
