"""Scores of answers that must have a form: JSON with fields, a JSON Schema, a pattern.

Answers are taken as a client program would take them: the whole text, white space at its ends
aside, must be the JSON value. JSON inside a code fence or a sentence does not count.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NoReturn

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import RIGHT, Score, Scorer, passed
from tuneloop.evaluation.suites import Case

_MISSING = object()


class NotJsonError(ValueError):
    """The text is not one JSON value."""


def parse(text: str) -> Any:
    """The JSON value of an answer.

    Raises:
        NotJsonError: the text holds something else, or NaN and Infinity, which JSON does not have.
    """
    try:
        return json.loads(text.strip(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise NotJsonError(str(e)) from e


def json_all_fields(case: Case, output: str) -> Score | None:
    """Every field of the reference is in the answer with its value, and no other field is."""
    expected = _expected_object(case)
    if expected is None:
        return None
    found = _object(output)
    if isinstance(found, Score):
        return found
    wrong = [key for key in expected if not same(found.get(key, _MISSING), expected[key])]
    extra = sorted(set(found) - set(expected))
    notes = [f"wrong: {', '.join(wrong)}"] if wrong else []
    notes += [f"not asked for: {', '.join(extra)}"] if extra else []
    return passed(not notes, "; ".join(notes))


def json_field(name: str) -> Scorer:
    """A scorer of one field; cases whose reference lacks the field are not counted."""

    def score(case: Case, output: str) -> Score | None:
        expected = _expected_object(case)
        if expected is None or name not in expected:
            return None
        found = _object(output)
        if isinstance(found, Score):
            return found
        value = found.get(name, _MISSING)
        shown = "missing" if value is _MISSING else json.dumps(value, ensure_ascii=False)[:80]
        return passed(same(value, expected[name]), f"{name}: {shown}")

    return score


def schema(definition: dict[str, Any]) -> Scorer:
    """A scorer of JSON Schema conformance; references to other documents are never fetched.

    Raises:
        EvaluationError: when the schema itself is not valid.
    """
    from jsonschema import exceptions, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validators.validator_for(definition, default=validators.Draft202012Validator)
    try:
        kind.check_schema(definition)
    except exceptions.SchemaError as e:
        raise EvaluationError(
            f"The task's output schema is not a valid JSON Schema: {e.message}.",
            remedy="Correct `task.output_schema`.",
        ) from e
    validator = kind(definition, registry=Registry())

    def score(case: Case, output: str) -> Score:
        try:
            value = parse(output)
        except NotJsonError:
            return Score(value=0.0, detail="not JSON")
        try:
            error = exceptions.best_match(validator.iter_errors(value))
        except (Unresolvable, RecursionError) as e:
            raise EvaluationError(f"The task's output schema cannot be applied: {e}.") from e
        if error is None:
            return RIGHT
        where = "/".join(map(str, error.absolute_path)) or "answer"
        return Score(value=0.0, detail=f"{where}: {error.message}"[:200])

    return score


def pattern(expression: str) -> Scorer:
    """A scorer of answers that must match a regular expression from end to end."""
    compiled = re.compile(expression)

    def score(case: Case, output: str) -> Score:
        return passed(compiled.fullmatch(output.strip()) is not None, "does not match the pattern")

    return score


def same(left: Any, right: Any) -> bool:
    """Equal JSON values: texts after NFC with runs of white space as one; 1 is 1.0 but not true."""
    if isinstance(left, str) and isinstance(right, str):
        return _text(left) == _text(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).split())


def _object(output: str) -> dict[str, Any] | Score:
    try:
        value = parse(output)
    except NotJsonError:
        return Score(value=0.0, detail="not JSON")
    if isinstance(value, dict):
        return value
    return Score(value=0.0, detail=f"JSON, but not an object: {output.strip()[:40]}")


def _expected_object(case: Case) -> dict[str, Any] | None:
    if case.expected is None:
        return None
    try:
        value = parse(case.expected)
    except NotJsonError:
        value = None
    if isinstance(value, dict):
        return value
    raise EvaluationError(
        f"The reference answer of case {case.id} is not a JSON object: {case.expected[:80]!r}.",
        remedy="The task declares JSON answers: correct the row, or remove `task.output_schema`.",
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
