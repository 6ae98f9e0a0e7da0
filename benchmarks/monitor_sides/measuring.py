"""How every side of `bench_monitor` measures itself; standard library only."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Measuring:
    """Seconds from now on, and the peak memory of this process."""

    def __init__(self) -> None:
        """The clock starts."""
        self._started, self._worked = time.perf_counter(), time.process_time()

    def report(self, figures: dict[str, Any]) -> None:
        """Print what the figures took as one line of JSON."""
        found = {
            "seconds": round(time.perf_counter() - self._started, 1),
            "cpu_seconds": round(time.process_time() - self._worked, 1),
            "peak_mb": _peak_mb(),
            "figures": figures,
        }
        print(json.dumps(found))


def _peak_mb() -> int:
    """Peak resident memory; `ru_maxrss` would count what the parent held when it started us."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
