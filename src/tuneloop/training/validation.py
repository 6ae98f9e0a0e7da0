"""Rows that pick the checkpoint: set aside from those to train on, none of those that decide (E12).

After each pass the loss on these rows is measured, training stops early by it, and of all passes
the one with the lowest loss is kept. Held-out cases must not do that: what was chosen for its
loss on them looks better on them than it is (Hastie, Tibshirani and Friedman 2009, "The Elements
of Statistical Learning", section 7.2).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tuneloop.hashing import digest_text
from tuneloop.training.config import TrainingConfig

SHARE = 0.1
"""Of the rows to train on."""
FEWEST, MOST = 5, 100
"""Rows. The loss is a mean over tokens, so a hundred answers tell one pass from the next; more
would be missed in training."""
LEAST_ROWS = 50
"""With fewer to train on, none is spared, and the last checkpoint is taken."""


RECORDED = "validation"
"""Key of a run's record that says which rows picked the checkpoint."""
OF_TRAINING = "of the rows to train on"
"""Its value; earlier releases wrote none."""


def is_drawn(config: TrainingConfig) -> bool:
    """Whether such rows are set aside: where there is more than one checkpoint to pick from."""
    return config.passes > 1


def picked_alike(record: Mapping[str, Any], config: TrainingConfig) -> bool:
    """Whether a run with this record picked its checkpoint as one with these settings does now.

    In earlier releases the held-out rows picked it.
    """
    return is_drawn(config) == (RECORDED in record)


def draw(rows: Sequence[tuple[str, str]]) -> frozenset[int]:
    """Positions of the rows that are set aside, of rows that are given as group and answer.

    Whole groups, those with the lowest digests: chosen by nothing but their names, and by and large
    the same ones in a later version. A group that would be more than what is wanted stays, and so
    does the last row of an answer that several rows give; where most rows share their answers, as
    labels do, also the only row of one.
    """
    if len(rows) < LEAST_ROWS:
        return frozenset()
    wanted = min(MOST, max(FEWEST, round(SHARE * len(rows))))
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row, (group, _) in enumerate(rows):
        members[group].append(row)
    given = Counter(answer for _, answer in rows)
    are_labels = 2 * sum(count for count in given.values() if count > 1) >= len(rows)
    left, drawn = given.copy(), set[int]()
    for group in sorted(members, key=lambda name: digest_text(f"validation:{name}")):
        takes = Counter(rows[row][1] for row in members[group])
        takes_the_last = any(
            left[answer] == count and (are_labels or given[answer] > 1)
            for answer, count in takes.items()
        )
        if not takes_the_last and len(members[group]) <= wanted - len(drawn):
            drawn.update(members[group])
            left -= takes
    return frozenset(drawn) if len(drawn) >= FEWEST else frozenset()
