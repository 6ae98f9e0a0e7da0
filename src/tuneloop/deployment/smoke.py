"""The smoke test (P3): a few representative queries against the server that will take traffic.

It proves three things that a wrong file, template or adapter would break: every query is answered,
the answers are those of the evaluation (where they are drawn greedily), and they are not those of
the untuned base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.deployment.observation import Prompt

QUERIES = 12
_AS_EVALUATED_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One query with the answers that are known for it."""

    messages: tuple[Mapping[str, Any], ...]
    evaluated: str | None
    """What the candidate said in the evaluation; None where it drew its answers at random, so that
    the next one may be another."""
    base: str | None
    """What the untuned base said; None when it was not asked."""
    repeats: tuple[str, ...] = ()
    """What the candidate said when the evaluation asked it again in other batches."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Definitions of the tools that it may call."""

    @property
    def prompt(self) -> Prompt:
        """What is asked."""
        return {"messages": self.messages, "tools": self.tools} if self.tools else self.messages


@dataclass(frozen=True, kw_only=True)
class SmokeResult:
    """What the queries showed."""

    passed: bool
    queries: int
    answered: int
    as_evaluated: int
    """Answers that the candidate gave in the evaluation, too."""
    compared_with_evaluation: int
    """Answers that had to be; 0 where answers are drawn at random."""
    unlike_base: int
    """Answers that differ from the untuned base's."""
    compared_with_base: int
    reason: str

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        as_evaluated = (
            f"{self.as_evaluated} of {self.compared_with_evaluation} as evaluated"
            if self.compared_with_evaluation
            else "not compared with the evaluation, whose answers were drawn at random"
        )
        return (
            f"{self.answered} of {self.queries} answered, {as_evaluated}, "
            f"{self.unlike_base} of {self.compared_with_base} unlike the untuned base"
        )


def assess(probes: Sequence[Probe], answers: Sequence[str]) -> SmokeResult:
    """Whether the answers show a working, tuned model.

    Greedy answers may differ in a few cases with the batch that they were computed in, so three
    quarters of them must be the evaluation's; a wrong model changes nearly all. Where the
    evaluation asked again and got another text, either is: both are what this very file said to
    this very question. Answers drawn at random say nothing here.
    """
    pairs = list(zip(probes, answers, strict=True))
    answered = sum(bool(answer.strip()) for answer in answers)
    evaluated = [
        ({text.strip() for text in (p.evaluated, *p.repeats)}, answer.strip())
        for p, answer in pairs
        if p.evaluated is not None
    ]
    as_evaluated = sum(now in before for before, now in evaluated)
    with_base = [(p.base.strip(), answer.strip()) for p, answer in pairs if p.base is not None]
    unlike_base = sum(base != answer for base, answer in with_base)
    if not pairs:
        reason = "there are no queries to ask"
    elif answered < len(pairs):
        reason = f"{len(pairs) - answered} of {len(pairs)} queries were not answered"
    elif as_evaluated < _AS_EVALUATED_SHARE * len(evaluated):
        reason = (
            f"only {as_evaluated} of {len(evaluated)} answers equal the evaluation's: "
            "this is not the model that was evaluated"
        )
    elif with_base and not unlike_base:
        reason = "all answers equal the untuned base's: the adapter is not in effect"
    else:
        reason = ""
    return SmokeResult(
        passed=not reason,
        queries=len(pairs),
        answered=answered,
        as_evaluated=as_evaluated,
        compared_with_evaluation=len(evaluated),
        unlike_base=unlike_base,
        compared_with_base=len(with_base),
        reason=reason,
    )
