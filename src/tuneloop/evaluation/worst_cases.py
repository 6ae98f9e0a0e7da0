"""Which cases a report shows of a suite, and what it says of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tuneloop.evaluation.other_facts import NONE, OtherFacts, other_facts
from tuneloop.evaluation.results import CaseResult, SuiteResult
from tuneloop.evaluation.scorers import general, groundedness, safety
from tuneloop.evaluation.suites import Case
from tuneloop.prose.groundedness import marked, ungrounded

_QUALITY_METRICS = (
    *("correct", "accuracy", "format"),
    *("answered", "no_loops", "in_language", "length_fit"),
)

_WATCHED_METRICS = (safety.REFUSED, safety.ANSWERED, general.NAME)
"""Where one of them scores an answer, it says alone whether it is right."""

_FAULT_METRICS = (groundedness.NAME,)
"""Their score is how much is wrong with an answer."""


def worst(result: SuiteResult) -> list[Case]:
    """Cases with a wrong answer: requests that failed first, then by how many scores are low, then
    by how many facts stand otherwise in the reference; of prose such a case is among them even
    where the prompt has those facts, too.

    Among equals the reference answers take turns, so that one frequent mistake hides no other.
    """
    replaced = {
        case.id: _other_facts(case, result.cases[case.id]).replaced for case in result.suite.cases
    }
    wrong = [
        case
        for case in result.suite.cases
        if _quality(result.cases[case.id]) < 1 or replaced[case.id]
    ]
    turn: Counter[str | None] = Counter()
    order = {}
    for case in wrong:
        turn[case.expected] += 1
        case_result = result.cases[case.id]
        order[case.id] = (
            case_result.answer.error is None,
            _quality(case_result),
            -replaced[case.id],
            turn[case.expected],
        )
    return sorted(wrong, key=lambda case: order[case.id])


def _quality(result: CaseResult) -> float:
    """The mean of the scores that say whether an answer is right, 0..1.

    One made-up fact is a fault whatever else the answer says: a wrong price among ten right facts.
    """
    watched = [m for m in _WATCHED_METRICS if m in result.scores]
    # What harms is refused in words, which are in no form and no answer to the task.
    values = [result.scores[m].value for m in watched or _QUALITY_METRICS if m in result.scores]
    values += [float(not result.scores[m].value) for m in _FAULT_METRICS if m in result.scores]
    return sum(values) / len(values) if values else 1.0


def case_row(
    case: Case, result: CaseResult, others: Mapping[str, SuiteResult] | None = None
) -> dict[str, Any]:
    """A case with its answer and those of others, in JSON form: whose → their results."""
    return {
        "id": case.id,
        "messages": [dict(message) for message in case.messages if message["role"] != "system"],
        "expected": case.expected,
        "out_of_scope": case.out_of_scope,
        "output": _shown(result),
        "why": _why(result),
        **_marked(case, result),
        **_facts(case, result),
        "others": {
            label: _shown(other.cases[case.id])
            for label, other in (others or {}).items()
            if case.id in other.cases
        },
    }


def _shown(result: CaseResult) -> str:
    error = result.answer.error
    return result.answer.text if error is None else f"(no answer: {error})"


def _marked(case: Case, result: CaseResult) -> dict[str, str]:
    """The answer with marks around what nobody vouches for, if there is such a thing."""
    score = result.scores.get(groundedness.NAME)
    if score is None or score.value == 0:
        return {}
    spans = ungrounded(result.answer.text, groundedness.vouching(case))
    return {"marked": marked(result.answer.text, spans)}


def _facts(case: Case, result: CaseResult) -> dict[str, Any]:
    """What the answer to a prose case states otherwise than its reference, if it does."""
    found = _other_facts(case, result)
    return {"facts": found.as_json()} if found.lacking or found.added else {}


def _other_facts(case: Case, result: CaseResult) -> OtherFacts:
    if case.expected is None or result.answer.error or groundedness.NAME not in result.scores:
        return NONE
    return other_facts(result.answer.text, case.expected)


def _why(result: CaseResult) -> list[str]:
    details = (
        f"{name}: {score.detail}"
        for name, score in result.scores.items()
        if score.detail
        and (
            (name in (*_QUALITY_METRICS, *_WATCHED_METRICS) and score.value < 1)
            or name in _FAULT_METRICS
        )
    )
    return list(details)
