"""How well refusals are recognised: against people's labels in English, and language by language.

    python benchmarks/bench_refusals.py

English: XSTest (Röttger et al. 2024), 450 prompts with three models' answers, each labelled by two
people as compliance, full refusal or partial refusal (../shared/data/xstest). Full and partial
count as refusing: both decline something. The detector's patterns were calibrated on the prompts
that stand 1st, 3rd, 5th, … in their type, with all models' answers; what is reported is the 2nd,
4th, 6th, …, which were not looked at before. A safe prompt and its unsafe counterpart stand at one
place of two types, so no prompt, no answer to it and no counterpart is in both halves. Intervals
(95 %) are from a bootstrap of prompts, since three answers to one prompt are not independent.

Beside it: a list of key words, the detector as it was, and how far the two people agree.

Other languages have no labels of people. `refusal_lines` has 20 refusals and 20 answers that only
sound like one for each of 14 languages, written by the author of the patterns before the patterns:
they show that a language is covered, not how well a model's answers of that language are read. Of
these, too, the half that was held back is reported.

`nobody_refuses` is the share of texts flagged where no model refuses anything: customers' messages
(Banking77), clinical notes (MTS-Dialog), worked sums (GSM8K); they were looked at. The last line is
one JSON object, also written to benchmarks/results/refusals.json where the public data is there.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from refusal_peers import holds_a_key_word, refused_as_it_was

from tuneloop.intervals import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED, share
from tuneloop.refusal import LANGUAGES, refusal_in

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data"
LINES = HERE / "refusal_lines"
RESULTS = HERE / "results" / "refusals.json"
MODELS = ("gpt4", "llama2orig", "mistralinstruct")
PROMPTS_OF_A_TYPE = 25
LABELS = {
    "1_full_compliance": "compliance",
    "2_full_refusal": "full",
    "3_partial_refusal": "partial",
}

Detector = Callable[[str], bool]
Counts = npt.NDArray[np.int64]


def _ours(answer: str) -> bool:
    return refusal_in(answer) is not None


DETECTORS: Mapping[str, Detector] = {
    "tuneloop": _ours,
    "as_it_was": refused_as_it_was,
    "key_words": holds_a_key_word,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One model's answer to a prompt, as two people saw it."""

    prompt: int
    """place of the prompt, from 0"""
    model: str
    text: str
    label: str
    """compliance, full or partial"""
    annotators: tuple[bool, bool]
    """whether each of the two people saw a refusal"""

    @property
    def refuses(self) -> bool:
        return self.label != "compliance"

    @property
    def held_back(self) -> bool:
        return self.prompt % PROMPTS_OF_A_TYPE % 2 == 1


def main() -> int:
    """Print a table and the JSON line, and write the result if it is whole."""
    result: dict[str, Any] = {"languages": _languages()}
    if DATA.is_dir():
        result = {"xstest": _xstest(_answers()), **result, "nobody_refuses": _nobody_refuses()}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result) + "\n", encoding="utf-8")
    else:
        result["skipped"] = f"xstest and nobody_refuses: there is no public data at {DATA}"
        print(result["skipped"], file=sys.stderr)
    _show(result)
    print(json.dumps({"refusals": result}))
    return 0


def _answers() -> list[Answer]:
    answers = []
    for model in MODELS:
        path = DATA / "xstest" / f"xstest_v2_completions_{model}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            answers += [
                Answer(
                    prompt=place,
                    model=model,
                    text=row["completion"],
                    label=LABELS[row["final_label"]],
                    annotators=(
                        LABELS[row["annotation_1"]] != "compliance",
                        LABELS[row["annotation_2"]] != "compliance",
                    ),
                )
                for place, row in enumerate(csv.DictReader(file))
            ]
    return answers


def _xstest(answers: list[Answer]) -> dict[str, Any]:
    reported = [one for one in answers if one.held_back]
    calibrated = [one for one in answers if not one.held_back]
    return {
        "labels": "of two people; full and partial refusals count as refusing",
        "answers": len(reported),
        "prompts": len({one.prompt for one in reported}),
        "refusing": sum(one.refuses for one in reported),
        "all": _compared(reported),
        **{model: _compared([one for one in reported if one.model == model]) for model in MODELS},
        "without_partial": _compared([one for one in reported if one.label != "partial"]),
        "recognised": {
            label: {name: _share_of(detector, texts) for name, detector in DETECTORS.items()}
            for label in ("full", "partial")
            if (texts := [one.text for one in reported if one.label == label])
        },
        "two_people": _figures(_counts((one.prompt, *one.annotators) for one in reported)),
        "calibrated_half": _compared(calibrated),
    }


def _compared(answers: list[Answer]) -> dict[str, Any]:
    counts = {
        name: _counts((one.prompt, one.refuses, detector(one.text)) for one in answers)
        for name, detector in DETECTORS.items()
    }
    ours = counts["tuneloop"]
    return {
        **{name: _figures(rows) for name, rows in counts.items()},
        "kappa_gained_over": {
            name: _interval(
                _kappa(ours.sum(axis=0)) - _kappa(rows.sum(axis=0)),
                _kappa(_resampled(ours)) - _kappa(_resampled(rows)),
                len(answers),
            )
            for name, rows in counts.items()
            if name != "tuneloop"
        },
    }


def _counts(outcomes: Iterable[tuple[int, bool, bool]]) -> Counts:
    """(prompts, 4): both yes, found alone, missed, both no; from (prompt, truth, found)."""
    counts: dict[int, Counts] = {}
    for prompt, truth, found in outcomes:
        counts.setdefault(prompt, np.zeros(4, np.int64))[2 * (not found) + (not truth)] += 1
    return np.array([counts[prompt] for prompt in sorted(counts)])


def _resampled(rows: Counts) -> Counts:
    """(resamples, 4): the same draws of prompts for every detector."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return rows[rng.integers(0, len(rows), (BOOTSTRAP_RESAMPLES, len(rows)))].sum(axis=1)


def _figures(rows: Counts) -> dict[str, list[float]]:
    resampled = _resampled(rows)
    return {
        name: _interval(of(rows.sum(axis=0)), of(resampled), int(rows.sum()))
        for name, of in _FIGURES.items()
    }


def _interval(value: Any, resampled: Any, n: int) -> list[float]:
    """`[value, low, high, n]`."""
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return [*(round(float(one), 3) for one in (value, low, high)), n]


def _share_of(finds: Detector, texts: list[str]) -> list[float]:
    """`[value, low, high, n]` of the texts that a detector flags, by Wilson."""
    found = share(sum(map(finds, texts)), len(texts))
    return [*(round(one, 4) for one in (found.value, found.low, found.high)), found.n]


def _ratio(part: Any, whole: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part, np.float64) / whole


def _agreement(of: Any) -> Any:
    return _ratio(of[..., 0] + of[..., 3], of.sum(axis=-1))


def _kappa(of: Any) -> Any:
    """Cohen's kappa (1960)."""
    n = of.sum(axis=-1)
    found, truth = of[..., 0] + of[..., 1], of[..., 0] + of[..., 2]
    chance = _ratio(found * truth + (n - found) * (n - truth), n * n)
    return _ratio(_agreement(of) - chance, 1 - chance)


_FIGURES: Mapping[str, Callable[[Any], Any]] = {
    "agreement": _agreement,
    "precision": lambda of: _ratio(of[..., 0], of[..., 0] + of[..., 1]),
    "recall": lambda of: _ratio(of[..., 0], of[..., 0] + of[..., 2]),
    "kappa": _kappa,
}


def _languages() -> dict[str, Any]:
    found: dict[str, Any] = {
        "labels": "the author's own lines, written before the patterns; no people's labels",
    }
    for language in LANGUAGES:
        halves = {}
        for name, first in (("held_back", 1), ("looked_at", 0)):
            refusing, answering = (lines_of(language.code, sign)[first::2] for sign in ("+", "-"))
            halves[name] = {
                detector: {
                    "recognised": _share_of(finds, refusing),
                    "wrongly": _share_of(finds, answering),
                }
                for detector, finds in DETECTORS.items()
            }
        found[language.code] = halves
    return found


def lines_of(code: str, sign: str) -> list[str]:
    """The lines of a language that begin with `sign`: + refuses, - only sounds like it."""
    lines = (LINES / f"{code}.txt").read_text(encoding="utf-8").splitlines()
    return [line[2:] for line in lines if line.startswith(sign)]


def _nobody_refuses() -> dict[str, Any]:
    return {
        name: {
            "flagged": {detector: _share_of(finds, texts) for detector, finds in DETECTORS.items()},
            "rows_per_cpu_second": {
                detector: _speed(finds, texts) for detector, finds in DETECTORS.items()
            },
        }
        for name, texts in _texts().items()
    }


def _texts() -> dict[str, list[str]]:
    banking, notes = [], []
    for part in ("train", "test"):
        with (DATA / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            banking += [row["text"] for row in csv.DictReader(file)]
    (path,) = (DATA / "mts_dialog").glob("*Augmented*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        notes += [row["section_text"] for row in csv.DictReader(file)]
    sums = (DATA / "gsm8k_rephrased" / "gsm8k_test.jsonl").read_text(encoding="utf-8")
    return {
        "banking77_messages": banking,
        "mts_dialog_notes": notes,
        "gsm8k_answers": [json.loads(line)["answer"] for line in sums.splitlines()],
    }


def _speed(finds: Detector, texts: list[str]) -> int:
    began = time.process_time()
    for text in texts:
        finds(text)
    return round(len(texts) / (time.process_time() - began))


def _show(result: dict[str, Any]) -> None:
    for part, detectors in result.get("xstest", {}).items():
        for name, figures in detectors.items() if isinstance(detectors, dict) else ():
            print("xstest", part, name, figures)
    for code, halves in result["languages"].items():
        print(code, halves)
    for name, figures in result.get("nobody_refuses", {}).items():
        print(name, figures)


if __name__ == "__main__":
    sys.exit(main())
