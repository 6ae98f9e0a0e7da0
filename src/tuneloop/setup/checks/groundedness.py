"""Groundedness: do the answers that are learnt from keep to their prompts themselves?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tuneloop.evaluation.scorers.groundedness import sources_of
from tuneloop.evaluation.suites import case_of
from tuneloop.prose.groundedness import rate_of_references
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task.kind import is_prose

_MOST_ROWS = 1_000
_MUCH = 0.05
"""Of the facts in the answers; as the usual gate allows a model."""


def groundedness(look: Look) -> Iterator[Finding]:
    """A model learns to add what its examples add, and what it adds is made up."""
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
    if rate.value <= _MUCH:
        yield ok("grounded", f"{said}.")
        return
    yield warning(
        "grounded",
        f"{said}: what is the same in every answer can be learnt, what changes will be made up.",
        "Put what they draw on, such as prices, into the prompts, or correct them; data.grounded: "
        "true leaves such rows out.",
    )
