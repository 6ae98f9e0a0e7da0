from typing import Any

from tuneloop.evaluation.near_misses import advice


def missed(metric: str, condition: str, value: float, low: float, high: float) -> dict[str, Any]:
    figure = {"value": value, "low": low, "high": high, "n": 54}
    return {
        "suite": "held-out",
        "metric": metric,
        "condition": condition,
        "verdict": "failed",
        "figure": figure,
    }


def test_what_may_have_been_missed_by_chance_is_told_apart_from_what_was_missed_for_sure() -> None:
    near = missed("ungrounded", "<= 0.25", 0.254, 0.217, 0.293)
    undecided = missed("chrf", "better than base", 0.01, -0.02, 0.04)
    far = missed("answered", ">= 0.95", 0.5, 0.4, 0.6)
    worse = missed("chrf", "better than base", -0.1, -0.2, -0.05)
    met = far | {"metric": "length_fit", "verdict": "passed", "condition": ">= 0.5"}
    assert advice([met, near]).startswith("Perhaps missed by chance: held-out.ungrounded; what")
    assert advice([far, near, undecided]).startswith(
        "Missed for sure: held-out.answered. "
        "Perhaps missed by chance: held-out.ungrounded, held-out.chrf;"
    )
    assert advice([met, far, worse, far | {"figure": None}]) == ""
