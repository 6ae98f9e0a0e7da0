"""The child process that `child.Child` gives its steps to, one order a line on standard input.

`python -m tuneloop.deployment.export.child_process`. An order names a module, the arguments of
its function `work`, and what on a line of its own says that it came to its end: a new one each
time, for a step may print what a base says, and no base can know it. A step that fails takes the
process with it, and what it printed says why. It ends when its input does: with its parent.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Work off the orders of standard input."""
    orders = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  no step may read an order
    for line in orders:
        order = json.loads(line)
        importlib.import_module(order["module"]).work(*order["arguments"])
        gc.collect()  # the weights of one step are no burden to the next
        sys.stderr.flush()
        print(f"\n{order['done']}", flush=True)  # a progress bar may have left its line open


if __name__ == "__main__":
    main()
