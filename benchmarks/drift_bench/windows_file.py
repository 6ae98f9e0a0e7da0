"""Reads the windows and writes the answers, in a peer's environment: numpy and nothing of ours."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Judge = Callable[[np.ndarray], tuple[bool, float]]
"""A window's vectors (n, d) to the alarm at its default and a score."""


def answer(make: Callable[[np.ndarray, int], Judge]) -> None:
    """`make(own vectors, n)` gives what judges windows of n rows."""
    given, said = Path(sys.argv[1]), Path(sys.argv[2])
    windows = {}
    with np.load(given) as arrays:
        own, live = arrays["own"], arrays["live"]
        rows = {int(name[1:]): arrays[name] for name in arrays.files if name.startswith("n")}
    began = time.process_time()
    for n, chosen in rows.items():
        judge = make(own, n)
        verdicts = [judge(live[window]) for window in chosen]
        windows[n] = {
            "alarms": [bool(alarm) for alarm, _ in verdicts],
            "scores": [float(score) for _, score in verdicts],
        }
    found = {"windows": windows, "cpu_seconds": time.process_time() - began}
    said.write_text(json.dumps(found), encoding="utf-8")
