"""Contradictions in the data → the queue: a person picks the right answer (D3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tuneloop.datasets import versions
from tuneloop.datasets.example import Example
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.review.queue import Proposal, enqueue
from tuneloop.sameness.stored import stored_answer
from tuneloop.workspace import Workspace


def collect_contradictions(
    workspace: Workspace, version: DatasetVersion, *, system: str, double_share: float
) -> int:
    """Put each question that a version's rows answer differently into the queue; how many are new.

    `system` is the model file's system text, which every row gets on its way in and the item does
    not repeat. Once a person has approved an answer, later versions use it instead.
    """
    left_out = versions.read_left_out(workspace, version)
    rows = [row for row in left_out if row["reason"] == "contradiction" and row["row"]]
    proposals = [_proposal(group, system) for group in _groups(rows)]
    return enqueue(workspace, proposals, model=version.model, double_share=double_share)


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Example]]:
    """Rows of one contradiction each: every row names the others that say something else."""
    examples = [Example.from_row(row["row"]) for row in rows]
    named: defaultdict[str, set[str]] = defaultdict(set)
    for example, row in zip(examples, rows, strict=True):
        for other in row["related"]:
            named[example.id].add(other)
            named[other].add(example.id)
    groups: dict[str, list[Example]] = {}
    for example in examples:
        reached, coming = {example.id}, [example.id]
        while coming:
            fresh = named[coming.pop()] - reached
            reached |= fresh
            coming += fresh
        groups.setdefault(min(reached), []).append(example)
    return list(groups.values())


def _proposal(group: Sequence[Example], system: str) -> Proposal:
    """The commonest answer is proposed, of equally common ones the first."""
    said: defaultdict[str, list[Example]] = defaultdict(list)
    for example in group:
        said[example.gist].append(example)
    ordered = sorted(said.values(), key=lambda rows: -len(rows))
    answers = {stored_answer(example.completion) for example in group}
    first = group[0]
    messages = [message.as_row() for message in first.messages]
    if first.system == system:
        messages = [message for message in messages if message["role"] != "system"]
    return Proposal(
        kind="contradiction",
        # What an item was called stays: one that was decided must not be asked for again.
        key=f"{min(row.input_key for row in group)} {sorted(answers)}",
        messages=messages,
        answer="",
        proposal=ordered[0][0].completion,
        detail={
            "answers": [
                {"answer": rows[0].completion, "rows": [row.place for row in rows]}
                for rows in ordered
            ]
        },
    )
