"""Evidently's default embedding drift: a domain classifier; its plots are left out."""

import numpy as np
import pandas as pd
from evidently.legacy.metrics.data_drift.embedding_drift_methods import model
from windows_file import Judge, answer


def make(own: np.ndarray, _n: int) -> Judge:
    # What EmbeddingsDriftMetric does without a drift_method.
    method = model(bootstrap=len(own) < 1000)
    names = [f"v{at}" for at in range(own.shape[1])]

    def judge(window: np.ndarray) -> tuple[bool, float]:
        current, reference = (pd.DataFrame(rows, columns=names) for rows in (window, own))
        score, drifted, _ = method(current, reference)
        return drifted, score

    return judge


if __name__ == "__main__":
    answer(make)
