"""The one parser of rows, for data sources and suites."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.modelfile import ColumnSettings
from tuneloop.task.rows import (
    ANSWER_COLUMNS,
    PROMPT_COLUMNS,
    FormError,
    recognise,
    recognise_case,
)


def rows_of_any_form() -> st.SearchStrategy[dict[str, Any]]:
    """Rows of usual keys and plausible values, most of them in some form."""
    text = st.sampled_from(["", "q", "ä\n", "\0"])
    turn = st.builds(
        lambda role, text: {"role": role, "content": text},
        st.sampled_from(["system", "user", "assistant", "bot"]),
        text,
    )
    turns = st.lists(turn, max_size=3).map(lambda head: [*head, {"role": "user", "content": "q"}])
    answered = turns.map(lambda head: [*head, {"role": "assistant", "content": "a"}])
    keys = ["messages", "conversations", "chosen", "rejected", "system", "note"]
    return st.dictionaries(
        st.sampled_from([*PROMPT_COLUMNS, *ANSWER_COLUMNS, *keys]),
        text | turns | answered | st.none() | st.just({"a": 1}),
        max_size=4,
    )


def chat(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("row", "question", "answer", "form"),
    [
        (chat(("user", "q"), ("assistant", "a")), "q", "a", "chat"),
        (chat(("user", [{"type": "text", "text": "q"}]), ("assistant", "a")), "q", "a", "chat"),
        ({"prompt": "q", "completion": "a"}, "q", "a", "prompt → completion"),
        ({"input": "q", "output": "a"}, "q", "a", "input → output"),
        ({"Text": "q", "Category": "a"}, "q", "a", "Text → Category"),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3"},
            "Add.\n\n1 2",
            "3",
            "instruction → output",
        ),
        ({"instruction": "Add.", "response": "3"}, "Add.", "3", "instruction → response"),
        (
            {"prompt": "q", "completion": {"b": 1, "ä": 2}},
            "q",
            '{"b": 1, "ä": 2}',
            "prompt → completion",
        ),
        (
            {
                "prompt": [{"role": "user", "content": "q"}],
                "completion": [{"role": "assistant", "content": "a"}],
            },
            "q",
            "a",
            "prompt → completion",
        ),
        (
            {"messages": [{"role": "user", "content": "q"}], "completion": "a"},
            "q",
            "a",
            "messages → completion",
        ),
        ({**chat(("user", "q")), "response": "a"}, "q", "a", "messages → response"),
        ({"prompt": "q", "reply": "a", "conversation": "c-12"}, "q", "a", "prompt → reply"),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "conversation": "c-12"},
            "q",
            "a",
            "preference pair",
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            "q",
            "a",
            "chat",
        ),
    ],
)
def test_common_forms_are_recognised(
    row: dict[str, Any], question: str, answer: str, form: str
) -> None:
    draft = recognise(row)
    assert (draft.messages[-1].content, draft.completion, draft.form) == (question, answer, form)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "unknown_form"),
        ({"prompt": "q"}, "unknown_form"),
        ({"prompt": "q", "completion": None}, "missing_value"),
        ({"prompt": 7, "completion": "a"}, "wrong_type"),
        ({"prompt": "q", "chosen": "a", "rejected": " "}, "empty_answer"),
        ({"chosen": "a", "rejected": "b"}, "wrong_type"),
        (
            {
                "chosen": chat(("user", "p"), ("assistant", "a"))["messages"],
                "rejected": chat(("user", "q"), ("assistant", "b"))["messages"],
            },
            "unknown_form",
        ),
        ({"messages": []}, "no_messages"),
        ({"messages": "q"}, "wrong_type"),
        ({"messages": [None]}, "wrong_type"),
        (chat(("user", "q")), "no_answer"),
        ({**chat(("user", "q")), "response": None}, "missing_value"),
        (chat(("assistant", "a")), "no_user_message"),
        (chat(("user", "q"), ("assistant", "a"), ("assistant", "b")), "no_user_message"),
        (chat(("robot", "q"), ("assistant", "a")), "unknown_role"),
        (chat(("user", "q"), ("system", "s"), ("user", "q"), ("assistant", "a")), "unknown_role"),
        (chat(("user", [{"type": "image_url"}]), ("assistant", "a")), "wrong_type"),
        (
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "tool_calls": [1]},
                ]
            },
            "tool_call",
        ),
        ({"prompt": "q\0", "completion": "a"}, "nul_byte"),
        ({"prompt": "q", "completion": "\ud83d"}, "broken_unicode"),
        ({"prompt": "q", "completion": "a", "note": "\ud83d"}, "broken_unicode"),
    ],
)
def test_rows_in_no_form_say_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(FormError) as caught:
        recognise(row)
    assert caught.value.reason == reason
    caught.value.detail.encode()


LABELS = ("target", "label", "category", "intent")


@pytest.mark.parametrize("column", LABELS)
def test_what_a_conversation_is_about_is_not_its_answer(column: str) -> None:
    row = {**chat(("user", "q")), column: "refund"}
    with pytest.raises(FormError, match=f"'{column}' is not taken for its answer") as caught:
        recognise(row)
    assert caught.value.reason == "no_answer"
    case = recognise_case(row)
    assert (case.messages[-1].content, case.expected) == ("q", None)
    declared = ColumnSettings(prompt="messages", answer=column)
    assert recognise(row, declared).completion == recognise_case(row, declared).expected == "refund"
    # Beside a prompt it is the answer, and beside both it is a tag.
    assert recognise({"prompt": "q", column: "refund"}).completion == "refund"
    assert recognise_case({"prompt": "q", column: "refund"}).expected == "refund"
    both = recognise({**row, "response": "a"})
    assert (both.completion, both.tags) == ("a", {column: "refund"})


@pytest.mark.parametrize("column", [name for name in ANSWER_COLUMNS if name not in LABELS])
def test_an_answer_stands_beside_its_conversation(column: str) -> None:
    row = {**chat(("user", "q")), column: "a", "intent": "refund"}
    draft = recognise(row)
    assert (draft.completion, draft.tags) == ("a", {"intent": "refund"})
    assert recognise_case(row).expected == "a"


def test_short_scalar_columns_become_tags() -> None:
    row = {
        "prompt": "q",
        "completion": "a",
        "month": 2,
        "new": True,
        "long": "x" * 500,
        "list": [1],
    }
    assert recognise(row).tags == {"month": "2", "new": "true"}


def test_a_tag_may_have_a_name_that_is_no_text() -> None:
    """YAML, Parquet and readers of others have keys that JSON has not."""
    row: dict[Any, Any] = {"prompt": "q", "completion": "a", 2: "b", "tags": {1: "x", None: "y"}}
    assert recognise(row).tags == {"2": "b", "1": "x", "None": "y"}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (nested(20_000), "completion is nested too deeply"),
        ({"when": date(2026, 11, 29)}, "completion cannot be written as JSON"),
        ({("a", "b"): 1}, "completion cannot be written as JSON"),
    ],
)
def test_an_answer_that_cannot_be_written_is_a_row_that_is_left_out(
    answer: dict[Any, Any], detail: str
) -> None:
    row = {"prompt": "q", "completion": answer}
    for read in (recognise, recognise_case):
        with pytest.raises(FormError, match=detail) as caught:
            read(row)
        assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize(
    "row",
    [
        chat(("user", "q")),
        {"prompt": "q"},
        {"prompt": "q", "completion": None},
        {**chat(("user", "q")), "completion": None},
    ],
)
def test_a_case_needs_no_answer(row: dict[str, Any]) -> None:
    case = recognise_case(row)
    assert (case.messages[-1].content, case.expected) == ("q", None)


@given(rows_of_any_form())
def test_a_case_is_what_the_same_row_would_teach(row: dict[str, Any]) -> None:
    try:
        draft = recognise(row)
    except FormError:
        return
    case = recognise_case(row)
    assert (case.messages, case.expected) == (draft.messages, draft.completion)


COLUMNS = ColumnSettings(prompt="said", answer="slots")


def test_declared_columns_hold_for_the_rows_that_have_them() -> None:
    draft = recognise({"said": "q", "slots": {"a": 1}, "intent": "x", "message": "y"}, COLUMNS)
    assert (draft.messages[-1].content, draft.completion) == ("q", '{"a": 1}')
    assert draft.tags == {"intent": "x", "message": "y"}
    # Another file may be in a known form.
    assert recognise({"prompt": "p", "completion": "c"}, COLUMNS).completion == "c"
    assert recognise(chat(("user", "p"), ("assistant", "c")), COLUMNS).form == "chat"
    pair = recognise({"said": "q", "chosen": "a", "rejected": "b"}, COLUMNS)
    assert (pair.messages[-1].content, pair.rejected) == ("q", "b")
    # No other column stands in for an answer that is missing.
    with pytest.raises(FormError) as caught:
        recognise({"said": "q", "intent": "x"}, COLUMNS)
    assert caught.value.reason == "no_answer"
    case = recognise_case({"said": "q", "intent": "x"}, COLUMNS)
    assert (case.messages[-1].content, case.expected) == ("q", None)
