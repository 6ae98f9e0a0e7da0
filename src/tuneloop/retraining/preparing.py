"""Stage 1 as the cycle needs it: the sources of the model file plus every approved correction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion, Extras
from tuneloop.retraining import review

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop

CORRECTIONS_FILE = "approved.jsonl"


def prepare(loop: Loop) -> DatasetVersion:
    """Make a dataset version, or find the one that is equal.

    Raises:
        DataError: the sources cannot be used.
    """
    rows = review.approved_rows(loop.workspace, loop.model.name)
    corrections: tuple[Path, ...] = ()
    if rows:
        file = loop.workspace.folder("work/corrections") / CORRECTIONS_FILE
        file.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
        corrections = (file,)
        loop.progress.note(f"{len(rows)} approved corrections go into the dataset")
    extras = Extras(
        corrections=corrections, reviewers=tuple(sorted({row["tags"]["reviewer"] for row in rows}))
    )
    made = versions.prepare(loop.workspace, loop.model_file, extras=extras, progress=loop.progress)
    left_out = sum(made.report["left_out"].values())
    loop.progress.note(
        f"dataset {made.label}: {made.rows_train} to train on, {made.rows_eval} held out, "
        f"{left_out} left out of {made.report['rows_in']}"
    )
    check = made.report["leak_check"]
    cases = check["held_out"] + check["suite_cases"]
    loop.progress.note(
        f"leak check: {check['leaks']} rows were left out of training because they give one of "
        f"{cases} held-out and test cases away"
        if check["leaks"]
        else f"leak check: no training row gives one of {cases} held-out and test cases away"
    )
    return made


def corrections_in(version: DatasetVersion) -> int:
    """How many approved corrections a version was made with."""
    return sum(
        source["rows"]
        for source in version.report["sources"]
        if source["source"] == f"corrections/{CORRECTIONS_FILE}"
    )
