"""Runs a Python command with a wall clock that can be moved while it runs.

    python -m chaos.shifted_clock OFFSET_FILE PYTHON -m tuneloop.gateway.server ...

The file holds the seconds to add, as eight bytes. `time.time` and `time.time_ns` are shifted, which
is what the gateway tells the time by; the monotonic clock never jumps, here as on a real machine.
"""

from __future__ import annotations

import runpy
import struct
import sys
import time
from pathlib import Path

_BILLION = 1_000_000_000


def main() -> None:
    """Shift the clock, then become the command."""
    offset, interpreter_flag, module = Path(sys.argv[1]), sys.argv[3], sys.argv[4]
    if interpreter_flag != "-m":
        raise SystemExit("expected PYTHON -m MODULE")
    real = time.time_ns

    def shifted_ns() -> int:
        (seconds,) = struct.unpack("<q", offset.read_bytes())
        return real() + int(seconds) * _BILLION

    time.time_ns = shifted_ns
    time.time = lambda: shifted_ns() / _BILLION
    sys.argv = sys.argv[4:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
