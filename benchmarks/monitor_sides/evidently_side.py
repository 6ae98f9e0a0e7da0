"""Evidently's side of `bench_monitor`; runs in an environment of its own, without tuneloop.

Drift of five numeric columns by its default test for each (Wasserstein distance in large samples)
and of the embeddings by its default method (a classifier that tells the two sides apart).
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from evidently.legacy.metric_preset import DataDriftPreset
from evidently.legacy.metrics import EmbeddingsDriftMetric
from evidently.legacy.pipeline.column_mapping import ColumnMapping
from evidently.legacy.report import Report
from measuring import Measuring

NUMBERS = ["status", "latency_ms", "prompt_tokens", "completion_tokens", "mean_logprob"]


def main() -> None:
    """Compare the traffic of the folder given with its reference and print the figures."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    measuring = Measuring()
    current = _frame(folder / "interactions", folder / "embeddings")
    reference = _frame(folder / "reference" / "interactions", folder / "reference" / "embeddings")
    names = [name for name in current.columns if name.startswith("v")]
    mapping = ColumnMapping(numerical_features=NUMBERS, embeddings={"prompt": names})
    report = Report([DataDriftPreset(columns=NUMBERS), EmbeddingsDriftMetric("prompt")])
    report.run(reference_data=reference, current_data=current, column_mapping=mapping)
    found = {one["metric"]: one["result"] for one in report.as_dict()["metrics"]}
    measuring.report(
        {
            "embedding_drift_score": found["EmbeddingsDriftMetric"]["drift_score"],
            "drifted_columns": found["DatasetDriftMetric"]["number_of_drifted_columns"],
        }
    )


def _frame(interactions: Path, embeddings: Path) -> pd.DataFrame:
    """Numbers and vectors of all rows, side by side; the files are those of the Delta tables."""
    numbers = pl.read_parquet(interactions / "*.parquet", columns=["id", *NUMBERS])
    stored = pl.read_parquet(embeddings / "*.parquet", columns=["id", "vector"])
    both = numbers.join(stored, on="id")
    vectors = both["vector"].explode().to_numpy().reshape(both.height, -1)
    names = [f"v{i}" for i in range(vectors.shape[1])]
    return pd.DataFrame(
        np.hstack([both.select(NUMBERS).to_numpy().astype(np.float32), vectors]),
        columns=[*NUMBERS, *names],
    )


if __name__ == "__main__":
    main()
