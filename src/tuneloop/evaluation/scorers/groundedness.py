"""The family of prose tasks that says how much of the answers' facts the prompts do not have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tuneloop import intervals
from tuneloop.evaluation.scorers.base import Family, Metric, Score
from tuneloop.evaluation.suites import Case
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.prose.groundedness import Span, checkable, ungrounded
from tuneloop.task.kind import is_prose

NAME = "ungrounded"
_SHOWN_SPANS = 8


def ungrounded_share(case: Case, output: str) -> Score | None:
    """The share of the answer's checkable spans that the prompt does not have.

    0 (all stand in it) to 1 (none does); `weight` is how many there are. An answer without any says
    nothing that is not in the prompt: a case like others, which adds nothing to the share.
    """
    spans = checkable(output)
    if not spans:
        return Score(value=0.0, weight=0)
    missing = ungrounded(output, sources_of(case))
    return Score(value=len(missing) / len(spans), weight=len(spans), detail=_told(missing))


def sources_of(case: Case) -> list[str]:
    """All that the model was given: every text of every message, and the tools."""
    return [*_texts(case.messages), *_texts(case.tools)]


def pooled(scores: Sequence[Score]) -> Figure:
    """The share of all answers' spans together, with cases drawn again as wholes."""
    return intervals.pooled_share(
        [score.value * score.weight for score in scores], [score.weight for score in scores]
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for key, part in value.items() if key != "role" for text in _texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _texts(part))
    elif isinstance(value, int | float):
        yield json.dumps(value)


def _told(missing: Sequence[Span]) -> str:
    if not missing:
        return ""
    shown = ", ".join(f"{span.text!r} ({span.kind})" for span in missing[:_SHOWN_SPANS])
    more = f" and {len(missing) - _SHOWN_SPANS} more" if len(missing) > _SHOWN_SPANS else ""
    return f"not in the prompt: {shown}{more}"


METRIC = Metric(
    name=NAME,
    about="numbers, dates, quantities, names, codes and quotations in the answers to in-scope "
    "cases that do not stand in the prompt, as a share of all of them",
    scorer=ungrounded_share,
    counts="in-scope",
    higher_is_better=False,
    needs_answer=True,
    figure=pooled,
)


def _metrics(task: TaskSettings) -> Sequence[Metric]:
    return (METRIC,) if is_prose(task) else ()


FAMILY = Family(
    name="groundedness",
    about="facts in the answers that stand nowhere in the prompt",
    of_task=_metrics,
)
