"""`at_80_columns.py COMMAND...`: run a command at a terminal of 80 × 24 and show what it writes.

Ends with the command's exit code, or with 1 where a traceback was shown.
"""

from __future__ import annotations

import os
import sys

from on_terminal import OnTerminal

_PATIENCE_SECONDS = 1_800


def main(program: str, *arguments: str) -> int:
    """Run it to its end."""
    threads = str(os.cpu_count() or 1)
    with OnTerminal(*arguments, program=program, PAGER="cat", OMP_NUM_THREADS=threads) as terminal:
        code = terminal.end(_PATIENCE_SECONDS)
        # Without the frames of the bars, each of which ends in a return of the carriage.
        for line in terminal.text.splitlines():
            print(line.rsplit("\r", 1)[-1])
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
