"""Rows that tools for labelling and other services export, as rows in plain columns.

Label Studio's JSON, Argilla's records (nested, and flat as `datasets` has them), Prodigy's tasks.
What was rejected, skipped or judged in two ways there is no row to learn from; what people say of
an answer that the record shows is a mark of that answer, and no answer itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from tuneloop.task.rows.fields import (
    ANSWERS_TO_A_CHAT,
    FormError,
    is_empty,
    normal_name,
)
from tuneloop.task.rows.marks import verdict
from tuneloop.task.rows.traces import answer_of_several, trace

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
_PRODIGY = frozenset(
    {"answer", "accept", "options", "label", "user_input", "config", "tokens", "spans",
     "relations", "view_id", "html", "style"}
)  # fmt: skip
_PRODIGY_ANSWERS = ("accept", "reject", "ignore")
_REWRITTEN = (
    "correct", "rewrit", "edit", "improv", "better", "response", "answer", "completion", "output",
    "reply", "text",
)  # fmt: skip
"""Parts of the names of questions that ask for an answer in words, and not what one thinks of it"""
_NOT_ANSWERED = ("discarded", "draft", "pending")
_NOTHING = object()
_RESPONSES, _SUGGESTION = ".responses", ".suggestion"


def in_plain_columns(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The row with prompt and answer in columns of their own; one in no such form as it is.

    Raises:
        FormError: nobody answered it there, or people disagree.
    """
    if isinstance(value.get("data"), Mapping) and isinstance(
        value.get("annotations", _NOTHING), list | None
    ):
        return _label_studio(value, value["data"])
    if isinstance(value.get("fields"), Mapping) and isinstance(
        value.get("responses", _NOTHING), list | dict | None
    ):
        return _argilla(value, value["fields"], value["responses"] or {})
    if any(_are_responses(key, item) for key, item in value.items()):
        return _argilla_flat(value)
    if _is_prodigy(value):
        return _prodigy(value)
    return answer_of_several(trace(value))


def _label_studio(value: Mapping[Any, Any], data: Mapping[Any, Any]) -> Mapping[Any, Any]:
    done = [
        annotation
        for annotation in _listed(value["annotations"])
        if isinstance(annotation, Mapping) and not annotation.get("was_cancelled")
    ]
    # What the project's owner marked as the truth stands above what others said.
    done = [annotation for annotation in done if annotation.get("ground_truth")] or done
    answers = [_results(_listed(annotation.get("result"))) for annotation in done]
    said = _agreed([answer for answer in answers if answer])
    texts = {
        str(result.get("from_name"))
        for annotation in done
        for result in _listed(annotation.get("result"))
        if isinstance(result, Mapping) and result.get("type") == "textarea"
    }
    return {**_beside(value, _LABEL_STUDIO), **_with(data, said, texts)}


def _results(results: Sequence[Any]) -> dict[str, Any]:
    """What one person said: the control's name → its value."""
    said: dict[str, Any] = {}
    for result in results:
        if not isinstance(result, Mapping) or not isinstance(result.get("value"), Mapping):
            continue
        values = [
            item
            for name, item in result["value"].items()
            if name in ("choices", "text", "rating", "number", "taxonomy", "datetime")
        ]
        kind = result.get("type", "a mark")
        if not values or "start" in result["value"]:
            raise FormError("label_studio", f"{kind} inside the text is no answer to learn")
        said[str(result.get("from_name", kind))] = _only(values[0])
    return said


def _with(
    shown: Mapping[Any, Any], said: Mapping[str, Any], texts: Set[str] = frozenset()
) -> dict[Any, Any]:
    """What a record shows, with what people said: an answer, or a mark of the one that it shows.

    `texts`: questions that are answered in words; elsewhere their names tell.

    Raises:
        FormError: it cannot be told which of the two it is.
    """
    answers = [
        key
        for key, item in shown.items()
        if normal_name(key) in ANSWERS_TO_A_CHAT and not is_empty(item)
    ]
    if not answers:
        return {**shown, "completion": next(iter(said.values())) if len(said) == 1 else dict(said)}
    marks: dict[str, Any] = {}
    rewritten: list[str] = []
    for question, item in said.items():
        if isinstance(item, int | float) and not isinstance(item, bool):
            marks["rating"] = min(item, marks.get("rating", item))
        elif (good := verdict(item)) is not None:
            marks["feedback"] = good and marks.get("feedback", True)
        elif isinstance(item, str) and (question in texts or _asks_for_words(question)):
            rewritten.append(item)
        else:
            raise FormError(
                "judged_answer",
                f"the record shows an answer ({answers[0]!r}), and {question!r} says {item!r} of "
                "it; expected a rating, good or bad, or a better answer",
            )
    if rewritten:
        rest = {key: item for key, item in shown.items() if key not in answers}
        return {**rest, "completion": rewritten[0]}
    return {**shown, **marks}


def _asks_for_words(question: str) -> bool:
    return any(part in normal_name(question) for part in _REWRITTEN)


def _argilla(
    value: Mapping[Any, Any], fields: Mapping[Any, Any], responses: Any
) -> Mapping[Any, Any]:
    if normal_name(str(value.get("status") or "")) == "discarded":
        raise FormError("discarded", "the record was discarded")
    given: dict[str, list[Any]] = {}
    if isinstance(responses, Mapping):
        for question, items in responses.items():
            given[str(question)] = [
                item.get("value")
                for item in _listed(items)
                if isinstance(item, Mapping) and _answered(item.get("status"))
            ]
    else:  # The older form: a response a person, with the values of all questions.
        for response in responses:
            if isinstance(response, Mapping) and _answered(response.get("status")):
                for question, item in _object(response.get("values")).items():
                    said = item.get("value") if isinstance(item, Mapping) else item
                    given.setdefault(str(question), []).append(said)
    return {
        **_tags(value.get("metadata")),
        **_beside(value, _ARGILLA),
        **_with(fields, _questions(given)),
    }


def _argilla_flat(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """`label.responses`, `label.responses.status`, `label.suggestion` … beside the fields."""
    row: dict[Any, Any] = {}
    given: dict[str, list[Any]] = {}
    for key, item in value.items():
        name = str(key)
        if _are_responses(key, item):
            said = item or ()
            status = _listed(value.get(f"{name}.status")) or ["submitted"] * len(said)
            given[name.removesuffix(_RESPONSES)] = [
                each for each, state in zip(said, status, strict=False) if _answered(state)
            ]
        elif _RESPONSES not in name and _SUGGESTION not in name:
            row[key] = item
    return _with(row, _questions(given))


def _are_responses(key: Any, value: Any) -> bool:
    return str(key).endswith(_RESPONSES) and isinstance(value, list | None)


def _questions(given: Mapping[str, list[Any]]) -> dict[str, Any]:
    answers = {name: _agreed(values) for name, values in given.items() if values}
    if not answers:
        raise FormError("no_answer", "nobody answered the record")
    for name, answer in answers.items():
        listed = answer if isinstance(answer, list) else [answer]
        if any(isinstance(item, Mapping) and {"rank", "start"} & set(item) for item in listed):
            raise FormError(
                "argilla", f"{name} holds a ranking or spans, which are no answer to learn"
            )
    return answers


def _is_prodigy(value: Mapping[Any, Any]) -> bool:
    decided = value.get("answer") in _PRODIGY_ANSWERS
    return decided and bool({"_task_hash", "_input_hash", "accept", "options"} & set(value))


def _prodigy(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A task of Prodigy, whose `answer` says what was done with it.

    Raises:
        FormError: it was rejected or skipped, or marks places in the text.
    """
    if value["answer"] != "accept":
        raise FormError("discarded", f"answer is {value['answer']}: the task was not accepted")
    if value.get("spans") or value.get("relations"):
        raise FormError("prodigy", "spans inside the text are no answer to learn")
    said = next(
        (
            value[name]
            for name in ("accept", "user_input", "label")
            if not is_empty(value.get(name))
        ),
        None,
    )
    rest = {
        key: item
        for key, item in value.items()
        if (key not in _PRODIGY or isinstance(item, bool)) and not str(key).startswith("_")
    }
    return {**rest, "completion": _only(said)}


def _answered(status: Any) -> bool:
    return normal_name(str(status or "submitted")) not in _NOT_ANSWERED


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


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _only(values: Any) -> Any:
    return values[0] if isinstance(values, list) and len(values) == 1 else values


def _beside(value: Mapping[Any, Any], own: frozenset[str]) -> dict[Any, Any]:
    return {key: item for key, item in value.items() if normal_name(key) not in own}


def _tags(metadata: Any) -> dict[Any, Any]:
    return dict(metadata) if isinstance(metadata, Mapping) else {}
