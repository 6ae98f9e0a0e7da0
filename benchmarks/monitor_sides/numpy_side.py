"""Plain numpy's side of `bench_monitor`: the same statistics over whole columns, all in memory."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jsonschema import Draft202012Validator
from measuring import Measuring
from monitor_traffic import TASK, reference

_COLUMNS = [
    "id",
    "status",
    "messages",
    "response",
    "latency_ms",
    "prompt_tokens",
    "completion_tokens",
    "mean_logprob",
]


def main() -> None:
    """Compute the figures of the folder given and print them."""
    folder = Path(sys.argv[1])
    measuring = Measuring()
    rows = pl.read_parquet(folder / "interactions" / "*.parquet", columns=_COLUMNS)
    feedback = pl.read_parquet(folder / "feedback" / "*.parquet")
    stored = pl.read_parquet(folder / "embeddings" / "*.parquet", columns=["id", "vector"])
    vectors = stored["vector"].explode().to_numpy().reshape(stored.height, -1)
    figures = _numbers(rows) | _answers(rows) | _people(rows, feedback) | _prompts(rows, vectors)
    measuring.report(figures)


def _numbers(rows: pl.DataFrame) -> dict[str, float]:
    whole = rows.filter(pl.col("status") == 200)
    prompt, completion = whole["prompt_tokens"].to_numpy(), whole["completion_tokens"].to_numpy()
    return {
        "latency_p95": float(np.quantile(whole["latency_ms"].to_numpy(), 0.95)),
        "confidence": float(np.mean(whole["mean_logprob"].to_numpy())),
        "output_length": float(np.mean(completion)),
        "cost": float(np.mean(prompt + completion)),
        "errors": float(np.mean(rows["status"].to_numpy() >= 500)),
    }


def _answers(rows: pl.DataFrame) -> dict[str, float]:
    answers = rows.filter(pl.col("status") == 200)["response"].to_list()
    validator = Draft202012Validator(TASK["output_schema"])
    parsed = [json.loads(answer) for answer in answers]
    words: Counter[str] = Counter()
    squares = 0
    for answer in answers:
        different = set(re.findall(r"\w+", answer.lower()))
        words.update(different)
        squares += len(different) ** 2
    counts = np.fromiter(words.values(), dtype=np.float64)
    total = counts.sum()
    abstain: Any = TASK["abstain"]
    return {
        "format_compliance": float(np.mean([validator.is_valid(one) for one in parsed])),
        "refusals": float(np.mean([one[abstain["field"]] == abstain["value"] for one in parsed])),
        "vocabulary_diversity": float((total**2 - squares) / ((counts**2).sum() - total)),
    }


def _people(rows: pl.DataFrame, feedback: pl.DataFrame) -> dict[str, float]:
    whole = rows.filter(pl.col("status") == 200)["id"].to_numpy().astype("U32")

    def share(kind: str) -> float:
        said = feedback.filter(pl.col("kind") == kind)["interaction"].to_numpy().astype("U32")
        return float(np.mean(np.isin(whole, said)))

    judged = feedback.filter(pl.col("kind") == "judgement")
    scores = [json.loads(value)["score"] for value in judged["value"]]
    return {
        "edit_rate": share("edit"),
        "escalations": share("escalation"),
        "judge_quality": float(np.mean(scores)),
    }


def _prompts(rows: pl.DataFrame, vectors: np.ndarray) -> dict[str, float]:
    """Novelty of 5,000 prompts; PSI of all over the topics of the training prompts."""
    known = reference()
    nearest = (vectors[:5_000] @ known.vectors.T).max(axis=1)
    centres = known.vectors[:20]
    own = np.bincount((known.vectors @ centres.T).argmax(axis=1), minlength=20) + 0.5
    now = np.bincount((vectors @ centres.T).argmax(axis=1), minlength=20) + 0.5
    p, q = own / own.sum(), now / now.sum()
    return {
        "novelty": float(np.mean(nearest < known.threshold)),
        "psi": float(((p - q) * np.log(p / q)).sum()),
    }


if __name__ == "__main__":
    main()
