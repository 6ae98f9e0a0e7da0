"""Where a row that people approved comes from, as its tags say, and whether it may decide (E12).

A correction was found because an answer was wrong, and a choice between contradictory answers
because rows disagreed. Whoever gave the wrong answer has failed such a case by construction, so it
says nothing about who is better. A live sample was drawn at random, and is a case whether its
answer was right or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

CORRECTION = "correction"
"""Value of the tag `origin` of a row that a person approved: it wins over an older answer."""
CHOICE = "contradiction"
"""Value of the tag `kind` of an approved row that chose between contradictory answers."""
SAMPLE = "sample"
"""Value of the tag `kind` of an approved row that was drawn from live traffic."""
WEIGHT = "weight"
"""Tag of a live sample: the answers of its week that it stands for. Rows of earlier releases, which
kept of a sample only what had been wrong, have none."""


def is_approved(tags: Mapping[str, str]) -> bool:
    """Whether the row comes from the review queue."""
    return tags.get("origin") == CORRECTION


def is_live_sample(tags: Mapping[str, str]) -> bool:
    """Whether the row was drawn at random, and is there whatever the answer was."""
    return is_approved(tags) and tags.get("kind") == SAMPLE and weight_of(tags) is not None


def weight_of(tags: Mapping[str, str]) -> float | None:
    """Answers of live traffic that a sample stands for, above 0; None where it does not say."""
    try:
        weight = float(tags[WEIGHT])
    except (KeyError, ValueError):
        return None
    return weight if 0 < weight < math.inf else None


def decides(tags: Mapping[str, str]) -> bool:
    """Whether nobody chose the row for what a model, or another row, had answered."""
    return not is_approved(tags) or is_live_sample(tags)
