"""Scores of answers that must have a form: JSON with fields, a JSON Schema, a pattern.

Answers are taken as a client program would take them: the whole text, white space at its ends
aside, must be the JSON value. JSON inside a code fence or a sentence does not count.
"""

from __future__ import annotations

import json
from typing import Any

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import RIGHT, Fault, Score, Scorer, passed
from tuneloop.evaluation.scorers.same_values import Equal, as_written
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings
from tuneloop.task.answer_form import NotJsonError, form_check, json_value

_SHOWN_CHARACTERS = 200


def json_all_fields(case: Case, output: str, *, equal: Equal = as_written) -> Score | None:
    """Every field of the reference is in the answer with its value, and no other field is."""
    expected = _expected_object(case)
    if expected is None:
        return None
    answer = _object(output)
    if isinstance(answer, Score):
        return answer
    wrong = [
        key for key in expected if key not in answer or not equal(key, answer[key], expected[key])
    ]
    extra = sorted(set(answer) - set(expected))
    notes = [f"wrong: {', '.join(wrong)}"] if wrong else []
    notes += [f"not asked for: {', '.join(extra)}"] if extra else []
    return passed(not notes, "; ".join(notes))


def json_field(name: str, *, equal: Equal = as_written) -> Scorer:
    """A scorer of one field: right where reference and answer agree in it.

    Cases where neither has the field are not counted. The score of the others says how it went
    wrong: `missing` (expected, not given), `wrong` (given, differs) or `invented` (not expected).
    An answer that is no JSON object gives no field.
    """

    def score(case: Case, output: str) -> Score | None:
        expected = _expected_object(case)
        if expected is None:
            return None
        answer = _object(output)
        fields = {} if isinstance(answer, Score) else answer
        if name not in fields:
            if name not in expected:
                return None
            return Score(value=0.0, detail=f"{name}: missing", fault="missing")
        if name in expected and equal(name, fields[name], expected[name]):
            return RIGHT
        shown = json.dumps(fields[name], ensure_ascii=False)[:80]
        if name in expected:
            return Score(value=0.0, detail=f"{name}: {shown}", fault="wrong")
        return Score(value=0.0, detail=f"{name}: {shown}, not asked for", fault="invented")

    return score


def where_not(fault: Fault, scorer: Scorer) -> Scorer:
    """The same scores without the cases that have this fault.

    Without the missing values a field's mean is its precision, without the invented ones its
    recall.
    """

    def score(case: Case, output: str) -> Score | None:
        scored = scorer(case, output)
        return None if scored is None or scored.fault == fault else scored

    return score


def in_form(task: TaskSettings) -> Scorer:
    """A scorer of the form that the task declares; without one, an answer must not be empty.

    Raises:
        ModelFileError: the task's schema is not a valid JSON Schema.
    """
    check = form_check(task.output_schema, task.output_pattern)

    def score(case: Case, output: str) -> Score:
        fault = check(output)
        return RIGHT if fault is None else Score(value=0.0, detail=fault.detail[:_SHOWN_CHARACTERS])

    return score


def _object(output: str) -> dict[str, Any] | Score:
    try:
        value = json_value(output)
    except NotJsonError:
        return Score(value=0.0, detail="not JSON")
    if isinstance(value, dict):
        return value
    return Score(value=0.0, detail=f"JSON, but not an object: {output.strip()[:40]}")


def _expected_object(case: Case) -> dict[str, Any] | None:
    if case.expected is None:
        return None
    try:
        value = json_value(case.expected)
    except NotJsonError:
        value = None
    if isinstance(value, dict):
        return value
    raise EvaluationError(
        f"The reference answer of case {case.id} is not a JSON object: {case.expected[:80]!r}.",
        remedy="The task declares JSON answers: correct the row, or remove `task.output_schema`.",
    )
