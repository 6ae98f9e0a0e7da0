"""The smoke test (P3): a few representative queries against the server that will take traffic.

It proves three things that a wrong file, template or adapter would break: every query is answered,
the answers are those of the evaluation, and they are not those of the untuned base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Ask = Callable[[Sequence[Mapping[str, str]]], str]
"""Messages in, the answer's text out; an empty text where nothing was answered."""

QUERIES = 12
_AS_EVALUATED_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One query with the answers that are known for it."""

    messages: tuple[Mapping[str, str], ...]
    evaluated: str
    """What the candidate said in the evaluation."""
    base: str | None
    """What the untuned base said; None when it was not asked."""


@dataclass(frozen=True, kw_only=True)
class SmokeResult:
    """What the queries showed."""

    passed: bool
    queries: int
    answered: int
    as_evaluated: int
    """Answers equal to those of the evaluation."""
    unlike_base: int
    """Answers that differ from the untuned base's."""
    compared_with_base: int
    reason: str


def smoke_test(probes: Sequence[Probe], ask: Ask) -> SmokeResult:
    """Ask every probe once and judge the answers."""
    return judge(probes, [ask(probe.messages) for probe in probes])


def judge(probes: Sequence[Probe], answers: Sequence[str]) -> SmokeResult:
    """Whether the answers show a working, tuned model.

    Greedy answers may differ in a few cases with the batch that they were computed in, so three
    quarters of them must equal the evaluation's; a wrong model changes nearly all.
    """
    pairs = list(zip(probes, answers, strict=True))
    answered = sum(bool(answer.strip()) for answer in answers)
    as_evaluated = sum(answer.strip() == probe.evaluated.strip() for probe, answer in pairs)
    with_base = [(p.base.strip(), answer.strip()) for p, answer in pairs if p.base is not None]
    unlike_base = sum(base != answer for base, answer in with_base)
    if not pairs:
        reason = "there are no queries to ask"
    elif answered < len(pairs):
        reason = f"{len(pairs) - answered} of {len(pairs)} queries were not answered"
    elif as_evaluated < _AS_EVALUATED_SHARE * len(pairs):
        reason = (
            f"only {as_evaluated} of {len(pairs)} answers equal the evaluation's: "
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
        unlike_base=unlike_base,
        compared_with_base=len(with_base),
        reason=reason,
    )
