"""How quickly the command line answers, and how much has to be installed for it.

    python benchmarks/bench_start.py

Times `tuneloop --help` here, with everything installed. Then installs this checkout into fresh
virtual environments under `.bench/start`, bare and as a gateway, looks at what came along, and
times it there again. Needs a package index. The last line is one JSON object, also written to
benchmarks/results/start.json.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "start.json"
BENCH = ROOT / ".bench" / "start"
RUNS = 11
HEAVY = ("torch", "nvidia", "polars", "deltalake")
"""Beginnings of the names of distributions that a bare install and a gateway do without."""
INSTALLS = {
    # What is installed, and what must work with it.
    "bare": ("", "import tuneloop.cli.main, tuneloop.registry.bundle"),
    "gateway": ("[gateway]", "import tuneloop.gateway.server"),
}


def main() -> int:
    """Print what is measured and the JSON line; 1 where something heavy came along."""
    result: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "help_seconds": {"all": _help(Path(sys.executable).parent)},
        "installs": {},
    }
    print("tuneloop --help, everything installed:", result["help_seconds"]["all"])
    for name, (extra, works) in INSTALLS.items():
        folder = _install(name, extra)
        subprocess.run([folder / "bin" / "python", "-c", works], check=True, cwd=folder)
        result["installs"][name] = _contents(folder)
        result["help_seconds"][name] = _help(folder / "bin")
        print(f"{name}:", result["installs"][name], result["help_seconds"][name])
    RESULTS.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return int(any(install["heavy"] for install in result["installs"].values()))


def _help(programs: Path) -> dict[str, float]:
    """Wall seconds of `tuneloop --help`; the first run, which reads from disk, is not counted."""
    seconds = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run([programs / "tuneloop", "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    counted = seconds[1:]
    return {
        "runs": RUNS,
        "median": round(statistics.median(counted), 3),
        "min": round(min(counted), 3),
    }


def _install(name: str, extra: str) -> Path:
    """A fresh environment with this checkout and nothing else, not even pip."""
    folder = BENCH / name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--quiet"]
    options = ["--disable-pip-version-check", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "install", *options, f"{ROOT}{extra}"], check=True)
    return folder


def _contents(folder: Path) -> dict[str, Any]:
    """Size on disk (MB: 10^6 bytes of files) and what is installed."""
    (packages,) = folder.glob("lib/python*/site-packages")
    names = sorted(found.metadata["Name"].lower() for found in distributions(path=[str(packages)]))
    size = sum(path.lstat().st_size for path in packages.rglob("*") if path.is_file())
    return {
        "megabytes": round(size / 1e6, 1),
        "distributions": len(names),
        "heavy": [name for name in names if name.startswith(HEAVY)],
    }


if __name__ == "__main__":
    sys.exit(main())
