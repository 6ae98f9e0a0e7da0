"""What the formats in use put beside prompt and answer is used, or the row says why not."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop.conversation import Message, ToolCall
from tuneloop.task.rows import FormError, recognise, recognise_case

USER, SAID = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
Row = dict[str, Any]
SYSTEM = ("system", "s")
PLAIN = [("user", "q"), ("assistant", "a")]
ABOUT = [("user", "q\n\nc"), ("assistant", "a")]


def said(row: Row, **options: Any) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in recognise(row, **options).turns]


def learnt(row: Row, which: Any = "all") -> list[str]:
    return [answered.answer.text for answered in recognise(row).answers(which)]


def reason(row: Row, **options: Any) -> str:
    with pytest.raises(FormError) as caught:
        list(recognise(row, **options).answers())
    caught.value.detail.encode()
    return caught.value.reason


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        (
            {"system": "s", "question": "q", "answer": "a"},
            [SYSTEM, *PLAIN],
        ),
        (
            {"system_prompt": "s", "Question": "q", "Response": "a"},
            [SYSTEM, *PLAIN],
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
             "system": "s"},
            [SYSTEM, *PLAIN],
        ),
        (
            {"System": "s", "prompt": [USER], "completion": [SAID]},
            [SYSTEM, *PLAIN],
        ),
        (
            {"instruction": "q", "context": "c", "response": "a"},
            ABOUT,
        ),
        ({"Instruction": "q", "Input": "c", "Output": "a"}, ABOUT),
        ({"question": "q", "Context": "c", "answer": "a"}, ABOUT),
        ({"instruction": "q", "input": "", "output": "a"}, PLAIN),
        (
            {"instruction": "q", "output": "a", "history": [["q0", "a0"]], "system": "s"},
            [SYSTEM, ("user", "q0"), ("assistant", "a0"), *PLAIN],
        ),
        ({"messages": str([USER, SAID])}, PLAIN),
        ({"prompt": "q", "completion": 5.0}, [("user", "q"), ("assistant", "5")]),
        ({"prompt": "q", "completion": 2.5}, [("user", "q"), ("assistant", "2.5")]),
        ({"text": "q", "label": True}, [("user", "q"), ("assistant", "true")]),
        ({"prompt": "q", "completion": ["x", "y"]}, [("user", "q"), ("assistant", '["x", "y"]')]),
        (
            {"prompt": "q", "completion": "a", "messages": None, "chosen": None, "rejected": None},
            PLAIN,
        ),
        (
            {"prompt": None, "messages": [{**USER, "tool_calls": None}, {**SAID, "name": None}]},
            PLAIN,
        ),
    ],
)  # fmt: skip
def test_keys_of_the_formats_shape_the_conversation(row: Row, turns: list[tuple[str, str]]) -> None:
    assert said(row) == turns
    case = recognise_case(row)
    assert [(turn.role, turn.text) for turn in case.messages] == turns[:-1]
    assert case.expected == turns[-1][1]


@pytest.mark.parametrize(
    ("marks", "code"),
    [
        ({"label": False}, "marked_bad"),
        ({"Label": "False"}, "marked_bad"),
        ({"kto_tag": False}, "marked_bad"),
        ({"thumbs": "down"}, "marked_bad"),
        ({"feedback": "👎"}, "marked_bad"),
        ({"rating": "bad"}, "marked_bad"),
        ({"rating": 2}, "rating"),
        ({"weight": 0}, "weight"),
        ({"weight": 0.5}, "weight"),
        ({"train": False}, "train"),
        ({"mask": True}, "mask"),
        ({"mask": [0, 1]}, "mask"),
        ({"images": ["a.png"]}, "images"),
        ({"Image": {"bytes": "x"}}, "image"),
        ({"documents": [{"text": "x"}]}, "documents"),
        ({"tools": [{"description": "no name"}]}, "tools"),
        ({"tools": "weather"}, "tools"),
        ({"history": "once"}, "history"),
    ],
)
def test_a_row_that_is_not_to_be_learnt_is_left_out_by_name(marks: Row, code: str) -> None:
    assert reason({"prompt": "q", "completion": "a", **marks}) == code


@pytest.mark.parametrize(
    "marks",
    [
        {"label": True}, {"label": "negative"}, {"thumbs": "up"}, {"rating": "good"},
        {"weight": 1}, {"weight": "2 kg"}, {"train": "ICE 123"}, {"mask": False}, {"images": []},
        {"documents": None}, {"rating": "PG"}, {"label": 3},
    ],
)  # fmt: skip
def test_marks_that_say_nothing_bad_leave_the_row(marks: Row) -> None:
    assert learnt({"prompt": "q", "completion": "a", **marks}) == ["a"]


def test_a_person_says_which_ratings_are_good_and_which_columns_are_tags() -> None:
    row = {"prompt": "q", "completion": "a", "rating": 4}
    assert said(row, least_rating=4) == PLAIN
    assert reason(row, least_rating=5) == "rating"
    named = recognise({**row, "Context": "web"}, tag_columns=["rating", "context"])
    assert (named.messages[-1].content, named.tags) == ("q", {"rating": "4", "Context": "web"})


@pytest.mark.parametrize("column", ["context", "input", "history", "thinking"])
def test_what_stands_beside_a_conversation_has_no_place_in_it(column: str) -> None:
    assert reason({"messages": [USER, SAID], column: "x"}) == column


CHAT = [
    {"role": "assistant", "content": "Hello."},
    USER, SAID,
    {"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2", "weight": 0},
    {"role": "user", "content": "q3"}, {"role": "assistant", "content": "a3"},
]  # fmt: skip


def test_every_answer_is_learnt_but_greetings_and_what_is_masked() -> None:
    assert learnt({"messages": CHAT}) == ["a", "a3"]
    assert learnt({"messages": CHAT}, "last") == ["a3"]
    contexts = [len(answered.messages) for answered in recognise({"messages": CHAT}).answers()]
    assert contexts == [2, 6]
    masked = [{**turn, "train": False} if turn["role"] == "assistant" else turn for turn in CHAT]
    assert reason({"messages": masked}) == "nothing_to_learn"
    history = {"instruction": "q", "output": "a", "history": [["q0", "a0"]]}
    assert learnt(history) == ["a0", "a"]
    # In a prompt of its own nothing but the completion is learnt, as TRL has it.
    assert learnt({"prompt": CHAT[:4], "completion": "a2"}) == ["a2"]


PAIR_TURNS = {"chosen": [USER, SAID], "rejected": [USER, {**SAID, "content": "b"}]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "q", **PAIR_TURNS, "score_chosen": 8, "score_rejected": 3},
        {"prompt": "q", **PAIR_TURNS, "messages": [USER, SAID]},
        {"prompt": [USER], "chosen": [SAID], "rejected": [{**SAID, "content": "b"}]},
        PAIR_TURNS,
        {"conversations": [{"from": "human", "value": "q"}],
         "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}},
        {"input": {"messages": [USER], "tools": []}, "preferred_output": [SAID],
         "non_preferred_output": [{**SAID, "content": "b"}]},
        {"question": "q", "Chosen": "a", "Rejected": "b", "margin": 0.5},
    ],
)  # fmt: skip
def test_pairs_of_every_format(row: Row) -> None:
    draft = recognise(row)
    assert said(row) == PLAIN
    assert (draft.rejected, draft.form) == ("b", "preference pair")


def test_a_pair_that_is_none_says_why() -> None:
    pair = {"prompt": "q", "chosen": "a", "rejected": "b"}
    assert reason({**pair, "margin": 0}) == "margin"
    assert reason({**pair, "score_chosen": 3, "score_rejected": 4}) == "margin"
    assert reason({**PAIR_TURNS, "prompt": "another"}) == "unknown_form"
    system = recognise({**pair, "system": "s"})
    assert [turn.content for turn in system.messages] == ["s", "q"]


CALL = {"id": "1", "type": "function", "function": {"name": "at", "arguments": '{"city": "Oulu"}'}}
TOOLS = [{"type": "function", "function": {"name": "at", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}],
         "tools": TOOLS},
        {"messages": [USER, {"role": "assistant", "function_call": CALL["function"]}],
         "functions": [TOOLS[0]["function"]]},
        {"conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": '{"name": "at", "arguments": {"city": "Oulu"}}'}],
         "tools": '[{"name": "at", "parameters": {"type": "object"}}]'},
        {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "at", "arguments": {"city": "Oulu", "street": None}}}]}],
         "tools": [{"type": "function", "function": {
            "name": "at", "parameters": {"type": "object", "properties": None}}}]},
    ],
)  # fmt: skip
def test_calls_of_tools_are_answers(row: Row) -> None:
    draft = recognise(row)
    assert draft.completion == '{"tool_calls":[{"arguments":{"city":"Oulu"},"name":"at"}]}'
    assert [tool["function"]["name"] for tool in draft.tools] == ["at"]
    (answered,) = draft.answers()
    assert answered.answer.tool_calls[0].name == "at"


def test_what_a_tool_gave_is_asked_with_its_call() -> None:
    turns = [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "5 °C"},
        {"role": "assistant", "content": "Cold."},
    ]
    draft = recognise({"messages": turns, "tools": TOOLS})
    assert [answered.answer.text[:6] for answered in draft.answers()] == ['{"tool', "Cold."]
    assert draft.turns[2] == Message(role="tool", content="5 °C", tool_call_id="1")
    assert draft.turns[1].tool_calls == (ToolCall(name="at", arguments='{"city": "Oulu"}', id="1"),)


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": "a", "reasoning_content": "r"},
        {"role": "assistant", "content": "a", "thinking": "r"},
        {"role": "assistant", "content": "<think>\nr\n</think>\n\na"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "r"},
                                          {"type": "text", "text": "a"}]},
    ],
)  # fmt: skip
def test_a_thought_is_told_from_its_answer(answer: Row) -> None:
    (answered,) = recognise({"messages": [USER, answer]}).answers()
    assert (answered.answer.content, answered.answer.reasoning) == ("a", "r")
    beside = recognise({"prompt": "q", "thinking": "r", "completion": "a"})
    assert (beside.completion, beside.turns[-1].reasoning) == ("a", "r")


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"id": 1, "data": {"text": "q"}, "annotations": [
            {"result": [{"type": "choices", "from_name": "intent",
                         "value": {"choices": ["refund"]}}]}]}, "refund"),
        ({"id": 1, "data": {"text": "q"}, "annotations": [
            {"was_cancelled": True, "result": []},
            {"result": [{"type": "textarea", "from_name": "reply", "value": {"text": ["a"]}}]}]},
         "a"),
        ({"fields": {"text": "q"}, "responses": {"label": [
            {"value": "refund", "status": "submitted"}, {"value": "x", "status": "discarded"}]}},
         "refund"),
        ({"text": "q", "label.responses": ["refund"], "label.responses.users": ["1"],
          "label.responses.status": ["submitted"], "label.suggestion": "x"}, "refund"),
        ({"fields": {"text": "q"}, "responses": [
            {"values": {"label": {"value": "refund"}}, "status": "submitted"}]}, "refund"),
    ],
)  # fmt: skip
def test_exports_of_labelling_tools(row: Row, answer: str) -> None:
    assert said(row) == [("user", "q"), ("assistant", answer)]


def test_what_people_skipped_or_dispute_is_left_out() -> None:
    choice = {"type": "choices", "from_name": "intent", "value": {"choices": ["refund"]}}
    other = {**choice, "value": {"choices": ["order"]}}
    row: Row = {"data": {"text": "q"}, "annotations": []}
    assert reason(row) == "no_answer"
    row["annotations"] = [{"result": [choice]}, {"result": [other]}]
    assert reason(row) == "disagreement"
    row["annotations"] = [{"result": [{"type": "labels", "value": {"start": 0, "labels": ["x"]}}]}]
    assert reason(row) in ("label_studio", "no_answer")


def test_columns_that_no_format_knows_are_tags_or_named() -> None:
    draft = recognise({"prompt": "q", "completion": "a", "shop": "x", "passage": "long " * 60})
    assert (draft.tags, draft.unused) == ({"shop": "x"}, ("passage",))
