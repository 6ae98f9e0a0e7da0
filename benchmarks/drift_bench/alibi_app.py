"""alibi-detect's MMD detector (a permutation test) with its defaults."""

import numpy as np
from alibi_detect.cd import MMDDrift
from windows_file import Judge, answer


def make(own: np.ndarray, _n: int) -> Judge:
    detector = MMDDrift(own, backend="pytorch")

    def judge(window: np.ndarray) -> tuple[bool, float]:
        data = detector.predict(window)["data"]
        return data["is_drift"], float(data["distance"])

    return judge


if __name__ == "__main__":
    answer(make)
