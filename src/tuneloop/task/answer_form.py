"""What an answer says, however it is written, and whether it has the form that a task declares.

The whole text, white space at its ends aside, must have the form: JSON inside a sentence or a code
fence does not count, since a client program could not read it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NoReturn

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from tuneloop.errors import ModelFileError
from tuneloop.hashing import canonical_json

WRONG: Mapping[str, bool] = {"correct": False}
"""A label's JSON value where a person found an answer wrong and did not say the right one."""

_REMEMBERED_ANSWERS = 10_000
_REMEMBERED_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What an answer breaks of the declared form."""

    rule: Literal["empty", "not_json", "schema", "pattern"]
    detail: str
    """What was found, for people."""


Check = Callable[[str], Fault | None]
Fits = Callable[[str], bool]


class NotJsonError(ValueError):
    """The text is not one JSON value."""


def json_value(text: str) -> Any:
    """The JSON value of an answer.

    Raises:
        NotJsonError: the text holds something else, NaN and Infinity, which JSON does not have, or
            a number like 1e999, which no program could tell from another one of that size.
    """
    try:
        return _JSON.decode(text.strip())
    except (ValueError, RecursionError) as e:
        raise NotJsonError(str(e)) from e


def json_object(text: str) -> dict[str, Any] | None:
    """The answer as a JSON object, if it is one."""
    if not text.lstrip().startswith("{"):
        return None
    value = _json_or_none(text)
    return value if isinstance(value, dict) else None


def declared_form(task: Mapping[str, Any]) -> Fits:
    """Whether an answer has the form that a bundle's task declares; see `form_check`."""
    check = form_check(task.get("output_schema"), task.get("output_pattern"))
    return lambda answer: check(answer) is None


def form_check(output_schema: dict[str, Any] | None, output_pattern: str | None) -> Check:
    """The one check of a task's form; where it declares none, an answer must not be empty.

    With a schema and a pattern, both must fit; the fault of the schema comes first.

    Raises:
        ModelFileError: the schema is not a valid JSON Schema.
    """
    checks: list[Check] = []
    if output_schema is not None:
        checks.append(schema_check(output_schema))
    if output_pattern is not None:
        checks.append(pattern_check(output_pattern))
    if not checks:
        return _not_empty
    return lambda answer: next((fault for check in checks if (fault := check(answer))), None)


def schema_check(definition: dict[str, Any]) -> Check:
    """The check of a JSON Schema, which never fetches anything.

    The check itself raises a `ModelFileError` where the schema needs another document, or a `$ref`
    leads to what is no schema.

    Raises:
        ModelFileError: it is not a valid JSON Schema.
    """
    kind = _dialect(definition)
    try:
        kind.check_schema(definition)
    except (SchemaError, RecursionError) as e:
        reason = e.message if isinstance(e, SchemaError) else "it is nested too deeply"
        raise ModelFileError(
            f"The task's output schema is not a valid JSON Schema: {reason}.",
            remedy="Correct `task.output_schema`: https://json-schema.org/understanding-json-schema",
        ) from e
    # An empty registry: a reference to another document is never fetched.
    validator = kind(definition, registry=Registry())

    def check(answer: str) -> Fault | None:
        try:
            broken = best_match(validator.iter_errors(json_value(answer)))
        except NotJsonError as e:
            return Fault(rule="not_json", detail=f"the answer is not JSON: {e}")
        except Unresolvable as e:
            raise ModelFileError(
                f"The task's output schema cannot be applied: {e.ref!r} is not in it.",
                remedy="Copy what that `$ref` names into the schema's `$defs`: nothing is fetched.",
            ) from e
        except RecursionError:
            return Fault(rule="schema", detail="nested too deeply for the task's output schema")
        except OverflowError:  # `multipleOf` divides, and a division of integers makes a float
            return Fault(rule="schema", detail="holds a number too large to check")
        except Exception as e:  # only what a `$ref` leads to was not checked, and may be anything
            raise ModelFileError(
                f"The task's output schema cannot be applied: {type(e).__name__}: {e}.",
                remedy="Let each `$ref` name a schema, such as `#/$defs/NAME`, and no other value.",
            ) from e
        if broken is None:
            return None
        where = ".".join(map(str, broken.absolute_path))
        return Fault(
            rule="schema", detail=f"{where}: {broken.message}" if where else broken.message
        )

    return _remembered(check)


def _remembered(check: Check) -> Check:
    """The same check, which looks at a short answer once: labels come back a million times."""
    short = lru_cache(maxsize=_REMEMBERED_ANSWERS)(check)
    return lambda answer: (short if len(answer) <= _REMEMBERED_CHARACTERS else check)(answer)


def _dialect(definition: dict[str, Any]) -> type[Validator]:
    """The version of JSON Schema that it names; one that is no text is told by its check."""
    if not isinstance(definition.get("$schema", ""), str):
        return Draft202012Validator
    return validator_for(definition, default=Draft202012Validator)


def pattern_check(expression: str) -> Check:
    """The check of a regular expression, which must match from end to end."""
    compiled = re.compile(expression)
    fault = Fault(rule="pattern", detail=f"the answer does not match {expression!r}")
    return lambda answer: None if compiled.fullmatch(answer.strip()) else fault


def same_text(one: str, other: str) -> bool:
    """Whether two answers say the same: as JSON, or as text without white space at its ends."""
    return _written_out(one) == _written_out(other)


def edited_text(value: str) -> str | None:
    """The corrected answer in an edit's JSON value, a string or `{"text": …}`; else None."""
    edit = _json_or_none(value)
    text = edit.get("text") if isinstance(edit, dict) else edit
    return text if isinstance(text, str) else None


def corrects(edit: str, answer: str) -> bool:
    """Whether an edit's JSON value says something else than the answer did."""
    text = edited_text(edit)
    return text is None or not same_text(text, answer)


def confirms(label: str, answer: str) -> bool:
    """Whether a label's JSON value, a right answer or `WRONG`, says that the answer was right."""
    value = _json_or_none(label)
    return same_text(value if isinstance(value, str) else label, answer)


def _not_empty(answer: str) -> Fault | None:
    return None if answer.strip() else Fault(rule="empty", detail="empty answer")


def _written_out(text: str) -> str:
    value = _json_or_none(text)
    return text.strip() if value is None else canonical_json(value)


def _json_or_none(text: str) -> Any:
    try:
        return json_value(text)
    except NotJsonError:
        return None


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _not_json(number)


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


_JSON = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite)
"""Made once: `json.loads` with these rules would make one for every answer."""
