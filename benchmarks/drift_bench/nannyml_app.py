"""NannyML's default multivariate drift: reconstruction error of a PCA, three sigma."""

import numpy as np
import pandas as pd
from nannyml.drift.multivariate.data_reconstruction import DataReconstructionDriftCalculator
from windows_file import Judge, answer


def make(own: np.ndarray, n: int) -> Judge:
    names = [f"v{at}" for at in range(own.shape[1])]
    # Its reference chunks are as large as the windows, and it needs two at least.
    size = min(n, len(own) // 2)
    calculator = DataReconstructionDriftCalculator(column_names=names, chunk_size=size)
    shuffled = own[np.random.default_rng(0).permutation(len(own))]
    calculator.fit(pd.DataFrame(shuffled, columns=names))
    low, high = calculator.lower_threshold_value, calculator.upper_threshold_value

    def judge(window: np.ndarray) -> tuple[bool, float]:
        calculator.chunker.chunk_size = len(window)
        found = calculator.calculate(pd.DataFrame(window, columns=names))
        # The result has the chunks of the reference too.
        (chunk,) = (
            found.filter(period="analysis").to_df()["reconstruction_error"].to_dict("records")
        )
        # In units of the half width of its band of thresholds.
        score = abs(chunk["value"] - (low + high) / 2) / max((high - low) / 2, 1e-12)
        return chunk["alert"], score

    return judge


if __name__ == "__main__":
    answer(make)
