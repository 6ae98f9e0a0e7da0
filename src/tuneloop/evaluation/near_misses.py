"""Which missed gates may have been missed by chance, from a report: no verdict follows from it.

A gate judges the measured value, so a candidate may miss one whose bar lies within the interval: on
other cases of the same kind it might have met it. Where the bar lies outside, it would hardly have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneloop.evaluation.gates import condition_of


def advice(gates: Sequence[Mapping[str, Any]]) -> str:
    """A few words on the gates of a report that failed; empty where none was missed by little."""
    failed = [gate for gate in gates if gate["verdict"] == "failed"]
    near = [gate for gate in failed if _within(gate)]
    if not near:
        return ""
    surely = [gate for gate in failed if gate not in near]
    told = f"Missed for sure: {_names(surely)}. " if surely else ""
    return (
        f"{told}Perhaps missed by chance: {_names(near)}; what was wanted lies within the 95 % "
        "interval, and more cases would tell."
    )


def _names(gates: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{gate['suite']}.{gate['metric']}" for gate in gates)


def _within(gate: Mapping[str, Any]) -> bool:
    figure = gate["figure"]
    if figure is None:
        return False
    # Of a relative gate the figure is the difference.
    bar = condition_of(gate["metric"], gate["condition"]).bound
    return bool(figure["low"] <= bar <= figure["high"])
