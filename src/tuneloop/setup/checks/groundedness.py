"""Groundedness: do the answers that are learnt from keep to their prompts themselves?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tuneloop.evaluation import gates
from tuneloop.evaluation.gates import Gate
from tuneloop.evaluation.plan import HELD_OUT
from tuneloop.evaluation.scorers.groundedness import NAME, sources_of
from tuneloop.evaluation.suites import case_of
from tuneloop.intervals import Figure
from tuneloop.prose.groundedness import rate_of_references
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task.kind import is_prose

_MOST_ROWS = 500
_STEPS = 20
"""A bar is proposed in steps of 5 %."""


def groundedness(look: Look) -> Iterator[Finding]:
    """A model learns to add what its examples add, so no gate can be much stricter than they."""
    task = look.model.task
    if not is_prose(task):
        return
    examples = look.rows.examples
    sample = examples[:: math.ceil(len(examples) / _MOST_ROWS) or 1]
    cases = (case_of(example.as_row(), task=task) for example in sample)
    rate = rate_of_references((sources_of(case), case.expected or "") for case in cases)
    if rate is None:
        yield ok("grounded", "The answers have no numbers, dates or names to look up.")
        return
    said = (
        f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}) of the numbers, dates and names in "
        "the answers do not stand in their prompts"
    )
    gate = _gate(look)
    if gate is None or rate.value <= gate.bound:
        yield ok("grounded", f"{said}.")
        return
    yield warning(
        "grounded",
        f"{said}, and the gate wants {NAME} {gate.condition}: a model adds what its examples add.",
        "Put what they draw on into the prompts, or correct them; or set evaluation.gates."
        f'{NAME}: "<= {_proposed(rate):g}".',
    )


def _gate(look: Look) -> Gate | None:
    """The gate on the held-out rows that allows only so much, if there is one."""
    declared = look.model.evaluation.gates
    for key in (NAME, f"{HELD_OUT}.{NAME}"):
        if key in declared and (gate := gates.condition_of(key, declared[key])).comparison in (
            "<",
            "<=",
        ):
            return gate
    return None


def _proposed(rate: Figure) -> float:
    return math.ceil(_STEPS * rate.high) / _STEPS
