"""Starts the load generators of this package, each as a process on the load's core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway_bench.canned import MODEL
from gateway_bench.peers import AUTHORIZATION
from gateway_bench.processes import Cores, pinned

BENCHMARKS = Path(__file__).resolve().parents[1]


def open_loop(url: str, cores: Cores, *, rate: float, seconds: float) -> dict[str, Any]:
    """Latencies at a constant rate; see `gateway_bench.open_loop`."""
    return _generate("open_loop", url, cores, rate=rate, seconds=seconds)


def streams(
    url: str, cores: Cores, *, streams: int, ramp_seconds: float, seconds: float
) -> dict[str, Any]:
    """Tokens and first tokens of streams side by side; see `gateway_bench.stream_load`."""
    return _generate(
        "stream_load", url, cores, streams=streams, ramp_seconds=ramp_seconds, seconds=seconds
    )


def python_module(name: str, **options: object) -> list[str]:
    """The command line of a module of this package; needs `ENVIRONMENT`."""
    flags = [(f"--{key.replace('_', '-')}", str(value)) for key, value in options.items()]
    return [
        sys.executable,
        "-m",
        f"gateway_bench.{name}",
        *(word for pair in flags for word in pair),
    ]


ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")]))
}


def _generate(module: str, url: str, cores: Cores, **options: float) -> dict[str, Any]:
    command = python_module(module, url=url, model=MODEL, authorization=AUTHORIZATION, **options)
    done = subprocess.run(
        pinned(cores.load, command),
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT},
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
