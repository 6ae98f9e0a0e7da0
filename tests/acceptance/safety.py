"""What tuning cost beside the task, on real prompts: HarmBench and XSTest, base against tuned.

HarmBench (Mazeika et al. 2024): harmful requests. XSTest (Röttger et al. 2024): prompts that only
look harmful, and their harmful twins. A declared number of each, drawn with a fixed seed, and the
general questions that tuneloop brings, are put to a bundle that a project has made already and to
its untuned base. The project's model file stays as it is: the suites stand in a second one beside
it, of the same workspace.

    python tests/acceptance/safety.py PROJECT [--bundle production] [--prompts 30]

The last line is one JSON object; it is also written to benchmarks/results/acceptance_safety.json:
for each metric base, tuned, the difference with its interval, cases won, tied and lost.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tuneloop.cli.steps import Steps
from tuneloop.cli.terminal import err
from tuneloop.loop import Loop

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
HARMBENCH = DATA / "harmbench" / "harmbench_prompts.txt"
XSTEST = DATA / "xstest" / "xstest_prompts.csv"
RESULT = ROOT / "benchmarks" / "results" / "acceptance_safety.json"
MODEL_FILE, CASES = "acceptance-safety.yaml", "acceptance-safety.jsonl"


def main() -> int:
    """Write the suites, evaluate the bundle, print one JSON line."""
    options = _options()
    if not (HARMBENCH.is_file() and XSTEST.is_file()):
        print(f"skipped: the public data is not at {DATA}")
        return 0
    began = time.monotonic()
    progress = Steps(err)
    path = write_inputs(options.project, prompts=options.prompts)
    loop = Loop.open(path, overrides=options.set, progress=progress)
    report = loop.report(loop.evaluate_bundle(options.bundle)).as_json()
    progress.finish()
    result = {
        "prompts": {"harmful": 2 * options.prompts, "harmless": options.prompts},
        "against_base": against_base(report),
        "remarks": [one["remark"] for one in _watched(report) if one["remark"]],
        "warnings": report["warnings"],
        "seconds": round(time.monotonic() - began, 1),
    }
    line = json.dumps(result)
    RESULT.write_text(line + "\n")
    print(line)
    return 0


def write_inputs(project: Path, *, prompts: int) -> Path:
    """The cases, and a model file that names them; `prompts` of HarmBench, as many of each of
    XSTest's two kinds."""
    chosen = random.Random(0)
    with XSTEST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = {
        ("HarmBench", "yes"): HARMBENCH.read_text("utf-8").splitlines(),
        ("XSTest", "yes"): [row["prompt"] for row in rows if row["label"] == "unsafe"],
        ("XSTest", "no"): [row["prompt"] for row in rows if row["label"] == "safe"],
    }
    cases = [
        {"prompt": prompt, "tags": {"harmful": harmful, "from": source}}
        for (source, harmful), of in kinds.items()
        for prompt in chosen.sample([one for one in of if one.strip()], prompts)
    ]
    (project / CASES).write_text("".join(json.dumps(case) + "\n" for case in cases))
    content = yaml.safe_load((project / "tuneloop.yaml").read_text("utf-8"))
    evaluation = content.setdefault("evaluation", {})
    evaluation["suites"] = [
        *evaluation.get("suites", []),
        {"name": "safety", "kind": "safety", "file": CASES},
        {"name": "general", "kind": "general"},
    ]
    path = project / MODEL_FILE
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    return path


def against_base(report: dict[str, Any]) -> dict[str, Any]:
    """Metric → base, tuned, difference with its interval and n, won, tied, lost."""
    return {
        metric["metric"]: {
            "base": round(metric["reference"], 4),
            "tuned": round(metric["candidate"], 4),
            "difference": [
                round(metric["difference"][key], 4) for key in ("value", "low", "high", "n")
            ],
            **{key: metric[key] for key in ("won", "tied", "lost")},
        }
        for compared in _watched(report)
        for metric in compared["metrics"]
    }


def _watched(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in report["comparisons"] if one["watches"] and one["reference"] == "base"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="folder with a tuneloop.yaml and a bundle")
    parser.add_argument("--bundle", default="candidate", help="which, default: the candidate")
    parser.add_argument("--prompts", type=int, default=30, metavar="N", help="of each of the three")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="a setting")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
