"""The family of prose tasks that says how much of the answers' facts the prompts do not have."""

from __future__ import annotations

from collections.abc import Sequence

from tuneloop import intervals
from tuneloop.evaluation.scorers.base import Family, Metric, Score
from tuneloop.evaluation.suites import Case
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.prose.groundedness import Span, checkable, texts_in, ungrounded
from tuneloop.task.kind import is_prose

NAME = "ungrounded"
_SHOWN_SPANS = 8


def ungrounded_share(case: Case, output: str) -> Score:
    """The share of the answer's checkable spans that neither the prompt nor the reference has.

    The reference vouches too: what people wrote is true as far as anybody knows, wherever they have
    it from. 0 (all stand there) to 1 (none does); `weight` is how many there are. An answer without
    any adds nothing: a case like others, which weighs nothing in the share.
    """
    return _share(output, vouching(case), "neither in the prompt nor in the reference")


def _outside_the_prompt(case: Case, output: str) -> Score:
    return _share(output, sources_of(case), "not in the prompt")


def _share(output: str, sources: Sequence[str], missing_from: str) -> Score:
    spans = checkable(output)
    if not spans:
        return Score(value=0.0, weight=0)
    missing = ungrounded(output, sources)
    told = f"{missing_from}: {_shown(missing)}" if missing else ""
    return Score(value=len(missing) / len(spans), weight=len(spans), detail=told)


def vouching(case: Case) -> list[str]:
    """All that a fact of an answer may stand in: what the model was given, and the reference."""
    return [*sources_of(case), *([case.expected] if case.expected else [])]


def sources_of(case: Case) -> list[str]:
    """All that the model was given: every text of every message, and the tools."""
    return [*texts_in(case.messages), *texts_in(case.tools)]


def pooled(scores: Sequence[Score], confidence: float = intervals.CONFIDENCE) -> Figure:
    """The share of all answers' spans together, with cases drawn again as wholes."""
    return intervals.pooled_share(
        [score.value * score.weight for score in scores],
        [score.weight for score in scores],
        confidence=confidence,
    )


def _shown(missing: Sequence[Span]) -> str:
    shown = ", ".join(f"{span.text!r} ({span.kind})" for span in missing[:_SHOWN_SPANS])
    more = f" and {len(missing) - _SHOWN_SPANS} more" if len(missing) > _SHOWN_SPANS else ""
    return f"{shown}{more}"


METRIC = Metric(
    name=NAME,
    about="numbers, dates, quantities, names, codes and quotations in the answers to in-scope "
    "cases that stand neither in the prompt nor in the reference, as a share of all of them",
    scorer=ungrounded_share,
    counts="in-scope",
    higher_is_better=False,
    needs_answer=True,
    figure=pooled,
)


OUTSIDE_THE_PROMPT = Metric(
    name="outside_prompt",
    about="the same that do not stand in the prompt: what traffic can be compared with",
    scorer=_outside_the_prompt,
    counts="in-scope",
    higher_is_better=False,
    needs_answer=True,
    figure=pooled,
)


def _metrics(task: TaskSettings) -> Sequence[Metric]:
    return (METRIC, OUTSIDE_THE_PROMPT) if is_prose(task) else ()


FAMILY = Family(
    name="groundedness",
    about="facts in the answers that stand nowhere in the prompt",
    of_task=_metrics,
)
