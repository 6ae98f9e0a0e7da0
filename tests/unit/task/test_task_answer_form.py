"""The one check of an answer's form: training, evaluation, monitoring and review ask it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tuneloop import review
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters import first_objection, make_filters
from tuneloop.errors import ModelFileError
from tuneloop.evaluation import scorers
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import DataSettings, ModelSettings, TaskSettings
from tuneloop.task.answer_form import declared_form, json_object, schema_check
from tuneloop.task.rows import Message

SCHEMA = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
PATTERN = r"[\[{].*"
USER = Message(role="user", content="Where is my parcel?")


def verdicts(answer: str, **task: Any) -> dict[str, bool]:
    """Who thinks that the answer has the form."""
    settings = TaskSettings(**task)
    example = Example(messages=(USER,), completion=answer, source="rows.jsonl", line=1)
    case = Case(id="1", messages=(USER.as_row(),), expected=None)
    score = scorers.in_form(settings)(case, answer)
    model = ModelSettings(
        name="m", base="b", task=settings, data=DataSettings(sources=("rows.jsonl",))
    )
    filters = make_filters(min_characters=0, max_characters=10**6, disabled=("truncated",), **task)
    return {
        "training": first_objection(filters, example).keep,
        "evaluation": score is not None and score.value == 1,
        "production": declared_form(settings.model_dump())(answer),
        "review": review.declared_form(model).fault(answer) is None,
    }


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        ('{"x": 1}', True),
        (' {"x": 1.5}\n', True),
        ('\u00a0{"x": 1}', True),
        ('{"x": NaN}', False),
        ('{"x": -Infinity}', False),
        ('{"x": 1e999}', False),
        ('{"x": "1"}', False),
        ('Sure! {"x": 1}', False),
        ('{"x": 1} {"x": 1}', False),
        ("[1]", False),
        ("[" * 100_000, False),
        ("1" * 10_000, False),
    ],
)
@pytest.mark.parametrize("pattern", [None, PATTERN])
def test_every_stage_agrees_on_the_form(answer: str, fits: bool, pattern: str | None) -> None:
    found = verdicts(answer, output_schema=SCHEMA, output_pattern=pattern)
    assert found == dict.fromkeys(found, fits)


@pytest.mark.parametrize(
    ("answer", "fits"), [("ABC", True), ("ABC\n", True), (" ABC", True), ("ABCD", False)]
)
def test_a_pattern_must_match_the_whole_answer(answer: str, fits: bool) -> None:
    found = verdicts(answer, output_pattern="[A-Z]{3}")
    assert found == dict.fromkeys(found, fits)


def test_a_reference_to_another_document_is_an_error_and_is_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/schema.json"
        check = schema_check({"properties": {"x": {"$ref": url}}})
        assert check("{}") is None, "what it does not need is not missed"
        with pytest.raises(ModelFileError, match="cannot be applied") as caught:
            check('{"x": 1}')
        assert url in caught.value.message
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_an_answer_that_exhausts_a_recursive_schema_breaks_it_and_ends_nothing() -> None:
    check = schema_check({"items": {"$ref": "#"}})
    assert check("[[[]]]") is None
    fault = check("[" * 900 + "]" * 900)
    assert fault is not None and "nested too deeply" in fault.detail


def test_an_answer_with_a_number_too_large_to_check_breaks_the_form_and_ends_nothing() -> None:
    schema = {"properties": {"x": {"multipleOf": 0.01}}}
    assert all(verdicts('{"x": 1000}', output_schema=schema).values())
    answer = '{"x": 1%s}' % ("0" * 310)
    assert not any(verdicts(answer, output_schema=schema).values())
    fault = schema_check(schema)(answer)
    assert fault is not None and (fault.rule, fault.detail) == (
        "schema",
        "holds a number too large to check",
    )


def test_a_schema_is_checked_before_it_is_used() -> None:
    with pytest.raises(ModelFileError, match="not a valid JSON Schema"):
        schema_check({"type": "objekt"})


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"x": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"$schema": ["x"]}, "is not of type 'string'"),
        ({"$schema": {}}, "is not of type 'string'"),
        ({"properties": {"x": {"$schema": ["x"]}}}, "is not of type 'string'"),
        (nested(400), "nested too deeply"),
    ],
)
def test_whatever_is_wrong_with_a_schema_is_an_error_of_the_model_file(
    schema: dict[str, Any], found: str
) -> None:
    with pytest.raises(ModelFileError, match=f"not a valid JSON Schema: .*{found}"):
        schema_check(schema)


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#/properties/y/enum", ["a"]),
        ("#/properties/y/enum/0", ["a"]),
        ("#/properties/y/enum/zero", ["a"]),
        ("#/properties/y/enum/0", [{"type": "objekt"}]),
        ("#/properties/y/enum/0", [{"pattern": "("}]),
        ("#/properties/y/enum/0", [{"$schema": ["x"]}]),
    ],
)
def test_a_reference_to_what_is_no_schema_is_an_error_of_the_model_file(
    reference: str, target: list[Any]
) -> None:
    check = schema_check({"properties": {"x": {"$ref": reference}, "y": {"enum": target}}})
    with pytest.raises(ModelFileError, match="cannot be applied"):
        check('{"x": "1"}')


def test_what_is_no_json_object_is_none() -> None:
    assert json_object(' {"a": 1}') == {"a": 1}
    for text in ("", "a", "[1]", '{"a": NaN}', '{"a": 1', '{"a": ' * 100_000):
        assert json_object(text) is None
