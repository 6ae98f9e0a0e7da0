"""The weekly sample: captured answers that people look at, whatever the monitors say.

Every slice that was seen in a week has one answer in its sample, as far as there is room, and the
rest is drawn in proportion. So a small slice is seen, and its answers have another chance to be
drawn than others: each item keeps its weight, the answers of its slice that it stands for, and the
accuracy over samples is the weighted mean (Hájek 1971; Cochran 1977, "Sampling Techniques",
section 5.4). The draw is decided by a hash of week and interaction, so repeating it draws the same.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tuneloop import intervals, review
from tuneloop.datasets.split import hash_share
from tuneloop.hashing import canonical_json
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.online_evaluation.exchanges import whole_answers
from tuneloop.project import Project
from tuneloop.review import Proposal, ReviewItem
from tuneloop.storage.captured import feedback, last_said
from tuneloop.storage.ingest import moving
from tuneloop.storage.spool import new_id
from tuneloop.task.answer_form import WRONG
from tuneloop.task.kind import is_prose
from tuneloop.task.label import label_of

KIND: Final = "sample"
_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One week's draw."""

    week: str
    """ISO, e.g. `2026-W09`"""
    answers: int
    """captured answers that it was drawn from"""
    slices: Mapping[str, int]
    """slice → answers that were drawn from it"""
    new: int
    """items that were not in the queue yet"""
    labels: int
    """decided items that became labels now"""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One answer of the sample."""

    id: str
    slice: str
    weight: float
    """answers of its slice that it stands for"""


def queue_sample(project: Project, now: datetime) -> Sample:
    """Put the last whole week's sample into the review queue, and turn decided ones into labels.

    Safe to repeat: the week (Monday to Sunday, UTC) is over, so the draw is always the same.

    Raises:
        StoreError: a store fails.
        BusyError: another process has been moving the captured traffic for a minute.
    """
    project.ingest()
    labels = record_labels(project, now)
    end = _monday(now)
    start = end - _WEEK
    year, number, _ = start.isocalendar()
    week = f"{year}-W{number:02d}"
    frame = whole_answers(project, since=start, until=end).select("id", "response").collect()
    slices = {row[0]: slice_of(row[1], project.model.task) for row in frame.iter_rows()}
    drawn = draw(slices, project.model.sample.per_week, week=week)
    new = review.enqueue(
        project.workspace,
        _proposals(project, drawn, week, start, end),
        model=project.model.name,
        double_share=project.model.review.double_share,
    )
    project.progress.note(
        f"{week}: {len(drawn)} of {len(slices)} answers drawn, {new} new in review"
    )
    return Sample(
        week=week,
        answers=len(slices),
        slices=dict(Counter(answer.slice for answer in drawn)),
        new=new,
        labels=labels,
    )


def draw(slices: Mapping[str, str], size: int, *, week: str) -> list[Drawn]:
    """`size` of the answers (id → slice): one of each slice first, the rest in proportion."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for _, identity in sorted(
        (hash_share(f"sample:{week}:{answer_id}"), answer_id) for answer_id in slices
    ):
        members[slices[identity]].append(identity)
    # In the order of the draw, so that of too many slices each has the same chance.
    first = [of[0] for of in members.values()][:size]
    ranked = [answer_id for of in members.values() for answer_id in of]
    ranked.sort(key=lambda answer_id: hash_share(f"sample:{week}:{answer_id}"))
    taken = dict.fromkeys(first)
    for identity in ranked:
        if len(taken) >= min(size, len(ranked)):
            break
        taken[identity] = None
    counts = Counter(slices[answer_id] for answer_id in taken)
    return [
        Drawn(
            id=answer_id,
            slice=slices[answer_id],
            weight=len(members[slices[answer_id]]) / counts[slices[answer_id]],
        )
        for answer_id in taken
    ]


def slice_of(answer: str, task: TaskSettings) -> str:
    """What kind of request an answer takes it for: the task's own label; else "other"."""
    label = label_of(answer, task)
    return "other" if label is None else label


def record_labels(project: Project, now: datetime) -> int:
    """Write what people decided about samples as feedback of kind `label`; how many are new.

    A label is the right answer, or `answer_form.WRONG` where nobody said it; an answer of prose of
    which no more than the form was edited was right as it stood. Safe to repeat; a
    sample that was decided otherwise meanwhile gets a new label, and the last one counts.
    """
    labels = last_said(feedback(project.workspace.traffic, "label"))
    known = dict(labels.select("interaction", "value").collect().iter_rows())
    items = review.decided(project.workspace, project.model.name, kind=KIND)
    said = {item.id: _label(item, prose=is_prose(project.model.task)) for item in items}
    new = [item for item in items if known.get(str(item.interaction)) != said[item.id]]
    time_ns = int(now.timestamp() * 1_000_000) * 1_000
    rows = [
        {
            "id": new_id(time_ns),
            "time": now,
            "interaction": item.interaction,
            "endpoint": project.model.endpoint_name,
            "kind": "label",
            "value": said[item.id],
            "user": item.reviewer,
        }
        for item in new
    ]
    with moving(project.workspace.folder("spool")):  # a clean-up must not meet a half-written file
        project.workspace.traffic.append("feedback", rows)
    return len(rows)


def accuracy(project: Project) -> Figure | None:
    """The share of right answers that the decided samples of a model tell of."""
    decided = review.decided(project.workspace, project.model.name, kind=KIND)
    return sampled_accuracy(decided, prose=is_prose(project.model.task))


def sampled_accuracy(items: Iterable[ReviewItem], *, prose: bool = False) -> Figure | None:
    """The share of right answers that decided samples tell of; None without any.

    The weighted mean, with Wilson's interval at Kish's effective sample size (1965, "Survey
    Sampling", section 11.7); n is that size, rounded down. An answer
    of `prose` of which no more than the form was edited is right.
    """
    judged = [(float(item.detail.get("weight", 1.0)), _right(item, prose=prose)) for item in items]
    if not judged:
        return None
    total = sum(weight for weight, _ in judged)
    effective = max(1, int(total**2 / sum(weight**2 for weight, _ in judged)))
    value = sum(weight for weight, right in judged if right) / total
    return intervals.share(value * effective, effective)


def _right(item: ReviewItem, *, prose: bool) -> bool:
    if item.status != "approved":
        return False
    if not prose:
        return not item.edited
    edit = review.edit_in(item)
    return edit is None or edit.kind == "form"


def _label(item: ReviewItem, *, prose: bool) -> str:
    if item.status == "rejected":
        return canonical_json(WRONG)
    return canonical_json(item.answer if prose and _right(item, prose=prose) else item.final)


def _monday(now: datetime) -> datetime:
    """The beginning of the week, UTC."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday())


def _proposals(
    project: Project, drawn: Sequence[Drawn], week: str, start: datetime, end: datetime
) -> list[Proposal]:
    import polars as pl

    by_id = {answer.id: answer for answer in drawn}
    rows: Iterable[dict[str, Any]] = (
        whole_answers(project, since=start, until=end)
        .filter(pl.col("id").is_in(list(by_id)))
        .select("id", "messages", "response")
        .sort("id")
        .collect()
        .iter_rows(named=True)
    )
    return [
        Proposal(
            kind=KIND,
            key=row["id"],
            messages=json.loads(row["messages"]),
            answer=row["response"],
            proposal=row["response"],
            interaction=row["id"],
            detail={
                "week": week,
                "slice": by_id[row["id"]].slice,
                "weight": by_id[row["id"]].weight,
            },
        )
        for row in rows
    ]
