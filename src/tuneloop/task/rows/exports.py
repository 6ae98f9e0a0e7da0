"""Rows that tools for labelling and other services export, as rows in plain columns.

Label Studio's JSON, Argilla's records (nested, and flat as `datasets` has them), OpenAI's
preference pairs. What was rejected, skipped or judged in two ways there is no row to learn from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuneloop.task.rows.fields import (
    FormError,
    normal_name,
)

_LABEL_STUDIO = frozenset(
    {"id", "data", "annotations", "predictions", "drafts", "meta", "created_at", "updated_at",
     "inner_id", "total_annotations", "cancelled_annotations", "total_predictions",
     "comment_count", "unresolved_comment_count", "last_comment_updated_at", "project",
     "updated_by", "comment_authors", "file_upload", "allow_skip"}
)  # fmt: skip
_ARGILLA = frozenset(
    {"id", "_server_id", "external_id", "status", "fields", "responses", "suggestions", "vectors",
     "metadata", "inserted_at", "updated_at"}
)  # fmt: skip
"""What the tools say of their own work; whatever else stands beside it is a part of the row."""
_NOT_ANSWERED = ("discarded", "draft", "pending")
_RESPONSES, _SUGGESTION = ".responses", ".suggestion"


def in_plain_columns(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The row with prompt and answer in columns of their own; one in no such form as it is.

    Raises:
        FormError: nobody answered it there, or people disagree.
    """
    if isinstance(value.get("data"), Mapping) and "annotations" in value:
        return _label_studio(value, value["data"])
    if isinstance(value.get("fields"), Mapping) and "responses" in value:
        return _argilla(value, value["fields"], value["responses"] or {})
    if any(str(key).endswith(_RESPONSES) for key in value):
        return _argilla_flat(value)
    if isinstance(value.get("input"), Mapping) and isinstance(value["input"].get("messages"), list):
        rest = {key: item for key, item in value.items() if key != "input"}
        return {**value["input"], **rest}
    return value


def _label_studio(value: Mapping[Any, Any], data: Mapping[Any, Any]) -> Mapping[Any, Any]:
    done = [
        annotation
        for annotation in value["annotations"] or ()
        if isinstance(annotation, Mapping) and not annotation.get("was_cancelled")
    ]
    answers = [_results(annotation.get("result") or ()) for annotation in done]
    answer = _agreed([answer for answer in answers if answer])
    return {**_beside(value, _LABEL_STUDIO), **data, "completion": answer}


def _results(results: Sequence[Any]) -> Any:
    """What one person said: of one control its value, of several an object of them."""
    said: dict[str, Any] = {}
    for result in results:
        if not isinstance(result, Mapping) or not isinstance(result.get("value"), Mapping):
            continue
        values = [
            item
            for name, item in result["value"].items()
            if name in ("choices", "text", "rating", "number", "taxonomy", "datetime")
        ]
        if not values or "start" in result["value"]:
            kind = result.get("type", "a mark")
            raise FormError("label_studio", f"{kind} inside the text is no answer to learn")
        said[str(result.get("from_name", len(said)))] = _only(values[0])
    return next(iter(said.values())) if len(said) == 1 else said or None


def _argilla(
    value: Mapping[Any, Any], fields: Mapping[Any, Any], responses: Any
) -> Mapping[Any, Any]:
    if normal_name(value.get("status") or "") == "discarded":
        raise FormError("discarded", "the record was discarded")
    given: dict[str, list[Any]] = {}
    if isinstance(responses, Mapping):
        for question, items in responses.items():
            given[str(question)] = [
                item.get("value")
                for item in items or ()
                if isinstance(item, Mapping) and _answered(item.get("status"))
            ]
    else:  # The older form: a response a person, with the values of all questions.
        for response in responses:
            if isinstance(response, Mapping) and _answered(response.get("status")):
                for question, item in (response.get("values") or {}).items():
                    said = item.get("value") if isinstance(item, Mapping) else item
                    given.setdefault(str(question), []).append(said)
    return {
        **_tags(value.get("metadata")),
        **_beside(value, _ARGILLA),
        **fields,
        "completion": _questions(given),
    }


def _argilla_flat(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """`label.responses`, `label.responses.status`, `label.suggestion` … beside the fields."""
    row: dict[Any, Any] = {}
    given: dict[str, list[Any]] = {}
    for key, item in value.items():
        name = str(key)
        if name.endswith(_RESPONSES):
            said = item or ()
            status = value.get(f"{name}.status") or ["submitted"] * len(said)
            given[name.removesuffix(_RESPONSES)] = [
                each for each, state in zip(said, status, strict=False) if _answered(state)
            ]
        elif _RESPONSES not in name and _SUGGESTION not in name:
            row[key] = item
    return {**row, "completion": _questions(given)}


def _questions(given: Mapping[str, list[Any]]) -> Any:
    answers = {name: _agreed(values) for name, values in given.items() if values}
    if not answers:
        raise FormError("no_answer", "nobody answered the record")
    return next(iter(answers.values())) if len(answers) == 1 else answers


def _answered(status: Any) -> bool:
    return normal_name(status or "submitted") not in _NOT_ANSWERED


def _agreed(answers: Sequence[Any]) -> Any:
    """The one answer that all gave.

    Raises:
        FormError: nobody answered, or people disagree.
    """
    if not answers:
        raise FormError("no_answer", "nobody answered it")
    different = {json.dumps(answer, sort_keys=True, default=str) for answer in answers}
    if len(different) > 1:
        raise FormError("disagreement", f"{len(answers)} people gave {len(different)} answers")
    return _only(answers[0])


def _only(values: Any) -> Any:
    return values[0] if isinstance(values, list) and len(values) == 1 else values


def _beside(value: Mapping[Any, Any], own: frozenset[str]) -> dict[Any, Any]:
    return {key: item for key, item in value.items() if normal_name(key) not in own}


def _tags(metadata: Any) -> dict[Any, Any]:
    return dict(metadata) if isinstance(metadata, Mapping) else {}
