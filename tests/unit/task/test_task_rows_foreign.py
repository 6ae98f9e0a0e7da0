"""Formats of other services and public data sets: understood, or left out by the name of a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneloop.task.rows import FormError, recognise, recognise_case

Row = dict[str, Any]
USER, SAID = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CALL = {"function": {"name": "at", "arguments": '{"city": "Oulu"}'}}
PLAIN = [("user", "q"), ("assistant", "a")]
SYSTEM = ("system", "s")
ABOUT = [("user", "q\n\nc"), ("assistant", "a")]


def said(row: Row, **options: Any) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in recognise(row, **options).turns]


def learnt(row: Row) -> list[str]:
    return [answered.answer.text for answered in recognise(row).answers()]


def refusal(row: Row, **options: Any) -> FormError:
    with pytest.raises(FormError) as caught:
        list(recognise(row, **options).answers())
    return caught.value


def human(text: str) -> Row:
    return {"from": "human", "value": text}


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"systemInstruction": {"parts": [{"text": "s"}]},
          "contents": [{"role": "user", "parts": [{"text": "q"}]},
                       {"role": "model", "parts": [{"text": "a"}]}]}, [SYSTEM, *PLAIN]),
        ({"system": [{"text": "s"}], "messages": [
            {"role": "user", "content": [{"text": "q"}]},
            {"role": "assistant", "content": [{"text": "a"}]}]}, [SYSTEM, *PLAIN]),
        ({"messages": [{"role": "System", "content": "s"}, {"role": "User", "content": "q"},
                       {"role": "Chatbot", "content": "a"}]}, [SYSTEM, *PLAIN]),
        ({"conversation": [{"role": "user", "text": "q"}, {"role": "assistant", "text": "a"}]},
         PLAIN),
        ({"conversation": [{"human": "q", "assistant": "a"}]}, PLAIN),
        ({"conversation": [{"system": "s", "input": "q", "output": "a"}]}, [SYSTEM, *PLAIN]),
        ({"id": "x", "items": [human("q"), {"from": "gpt", "value": "a"}]}, PLAIN),
        ({"interactions": [USER, SAID]}, PLAIN),
        ({"messages": [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]}, PLAIN),
        ({"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}}, PLAIN),
        ({"messages": "[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]"},
         PLAIN),
        ({"text_input": "q", "output": "a"}, PLAIN),
        ({"input": [USER], "ideal": ["a"]}, PLAIN),
        ({"inputs": {"question": "q"}, "outputs": {"answer": "a"}}, PLAIN),
        ({"inputs": {"messages": [USER]}, "outputs": {"messages": [USER, SAID]}}, PLAIN),
        ({"input": {"messages": [USER], "model": "m"}, "output": SAID}, PLAIN),
        ({"input": [USER], "output": json.dumps(SAID)}, PLAIN),
        ({"input": "q", "output": None, "expectedOutput": "a"}, PLAIN),
        ({"question": "q", "context": "c", "answers": {"text": ["a", "a"], "answer_start": [1, 1]}},
         ABOUT),
        ({"article": "c", "question": "q", "answer": "a"}, ABOUT),
        ({"passage": "c", "question": "q", "answer": True},
         [("user", "q\n\nc"), ("assistant", "true")]),
        ({"instruction": "q", "input": 5, "output": "a"}, [("user", "q\n\n5"), PLAIN[1]]),
        ({"instruction": "q", "output": "a", "text": "Asked: q\nAnswer: a"}, PLAIN),
        ({"prompt": "q", "messages": [USER, SAID], "completion": "a"}, PLAIN),
        ({"text": "q", "label": "x", "answer": "accept", "_task_hash": 1},
         [("user", "q"), ("assistant", "x")]),
        ({"text": "q", "options": [{"id": "x", "text": "X"}], "accept": ["x"], "answer": "accept"},
         [("user", "q"), ("assistant", "x")]),
        ({"prompt": "q", "completion": [{"role": "assistant", "content": "a"}], "reasoning": "on",
          "chat_template_kwargs": {"enable_thinking": False}}, PLAIN),
        ({"\ufeffprompt": "q", "completion\u200b": "a", "systemPrompt": "s"}, [SYSTEM, *PLAIN]),
        ({"prompt": '[{"from": "Oulu", "to": "Turku"}]', "completion": "a"},
         [("user", '[{"from": "Oulu", "to": "Turku"}]'), PLAIN[1]]),
        ({"prompt": "q", "completion": '[{"from": "Oulu", "to": "Turku"}]'},
         [PLAIN[0], ("assistant", '[{"from": "Oulu", "to": "Turku"}]')]),
        ({"prompt": "q", "completion": '{"role": "waiter", "name": "x"}'},
         [PLAIN[0], ("assistant", '{"role": "waiter", "name": "x"}')]),
        ({"messages": [USER, {"role": "assistant", "content": 5}]}, [PLAIN[0], ("assistant", "5")]),
        ({"messages": [{"role": "user", "content": "", "value": "q"}, SAID]}, PLAIN),
    ],
)  # fmt: skip
def test_what_is_said_is_found_where_each_format_puts_it(
    row: Row, turns: list[tuple[str, str]]
) -> None:
    assert said(row) == turns


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"instruction": "Translate.", "text": "Hello", "output": "Hei"}, "text"),
        ({"instruction": "Be brief.", "question": "q", "answer": "a"}, "question"),
        ({"instructions": "Be brief.", "input": "q", "output": "a"}, "instructions"),
        ({"prompt": "You are a shop.", "messages": [USER, SAID]}, "prompt"),
        ({"system": "s", "system_prompt": "t", "prompt": "q", "completion": "a"}, "system"),
        ({"input": "q", "output": "what a model said", "expected": "a"}, "expected"),
        ({"messages": [USER, SAID], "completion": "corrected"}, "completion"),
        ({"question": "q", "choices": ["x", "y"], "answer": 1}, "choices"),
        ({"question": "q", "options": {"A": "x", "B": "y"}, "answer": "A"}, "options"),
        ({"prompt": "q", "completion": "a", "rejected": "b"}, "rejected"),
        ({"messages": [USER, SAID], "rejected_response": "b"}, "rejected_response"),
        ({"prompt": "q", "completion": "a", "is_correct": False}, "is_correct"),
        ({"prompt": "q", "completion": "a", "deleted": True}, "deleted"),
        ({"prompt": "q", "completion": "a", "vote": "down"}, "vote"),
        ({"prompt": "q", "completion": "a", "weight": 12.5}, "weight"),
        ({"prompt": "q", "completion": "a", "history": "paid twice"}, "history"),
        ({"prompt": "q", "completion": "a", "tools": "hammer"}, "tools"),
        ({"prompt": "q", "completion": "a", "image": "x.png"}, "image"),
        ({"prompt": "q", "completion": "a", "system": 5}, "system"),
        ({"prompt": "q", "completion": "a", "context": {"shop": "x"}}, "context"),
        ({"messages": [USER, SAID], "chat_template_kwargs": {"custom_instructions": "Be brief."}},
         "chat_template_kwargs"),
    ],
)  # fmt: skip
def test_a_column_that_would_be_missed_is_named_with_the_way_out(row: Row, key: str) -> None:
    detail = refusal(row).detail
    assert key in detail and "data.tag_columns" in detail
    recognise(row, tag_columns=[key])


@pytest.mark.parametrize(
    "extra",
    [
        {"documents": "ID card"}, {"completions": 3}, {"segments": "b2b"}, {"images": 0},
        {"audio": False}, {"thinking": True}, {"reasoning": "off"}, {"history": ""},
        {"context": []}, {"votes": 0}, {"quality": 0}, {"accepted": "2026-11-30"},
        {"options": {"temperature": 1, "top_p": 2}}, {"user": "u-7"}, {"items": [{"sku": 1}]},
        {"chat": "no"}, {"response": ""}, {"answer": "a"},
    ],
)  # fmt: skip
def test_names_that_mean_something_else_leave_the_row(extra: Row) -> None:
    assert said({"prompt": "q", "completion": "a", **extra}) == PLAIN


@pytest.mark.parametrize(
    "mark",
    [
        {"label": False}, {"thumbs": "down"}, {"feedback": "bad"}, {"loss": False},
        {"loss_mask": 0}, {"masked": True}, {"trained": False}, {"ignore": True}, {"loss_scale": 0},
        {"deleted": True}, {"weight": 0},
    ],
)  # fmt: skip
def test_a_turn_that_is_marked_is_context_only(mark: Row) -> None:
    later = [{"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2"}]
    row = {"messages": [USER, {**SAID, **mark}, *later]}
    assert learnt(row) == ["a2"]
    assert len(recognise(row).turns) == 4
    assert refusal({"prompt": [USER], "completion": [{**SAID, **mark}]}).reason == (
        "nothing_to_learn"
    )
    tagged = recognise(row, tag_columns=list(mark))
    assert [answered.answer.text for answered in tagged.answers()] == ["a", "a2"]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([{**USER, "images": ["a.png"]}, SAID], "images"),
        ([{**USER, "documents": [{"text": "x"}]}, SAID], "documents"),
        ([{**USER, "context": "x"}, SAID], "context"),
        ([{"role": "system", "content": "s", "tools": [{"name": "f"}]}, USER, SAID], "tools"),
        ([USER, {"role": "assistant", "content": None, "refusal": "No."}], "refusal"),
        ([USER, {**SAID, "rating": 2}], "rating"),
        ([{**USER, "tool_calls": [CALL]}, SAID], "tool_call"),
        ([USER, {**SAID, "name": "\ud83d"}], "broken_unicode"),
    ],
)
def test_what_a_turn_cannot_say_leaves_its_row_out(turns: list[Row], reason: str) -> None:
    assert refusal({"messages": turns}).reason == reason


@pytest.mark.parametrize("key", ["arguments", "parameters", "args"])
def test_the_arguments_of_a_call_are_found(key: str) -> None:
    call = {"name": "at", key: {"city": "Oulu"}}
    expected = '{"tool_calls":[{"arguments":{"city":"Oulu"},"name":"at"}]}'
    written = [human("q"), {"from": "function_call", "value": json.dumps(call)}]
    assert recognise({"conversations": written}).completion == expected
    listed = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert recognise({"messages": listed}).completion == expected


def test_calls_of_other_formats() -> None:
    thought = '<think>r</think>{"name": "at", "arguments": {}}'
    row = {"conversations": [human("q"), {"from": "function_call", "value": thought}]}
    assert recognise(row).turns[-1].reasoning == "r"
    calls = json.dumps([{"name": "at", "arguments": {"city": "Oulu"}}])
    tools = [{"name": "at", "input_schema": {"type": "object"}}]
    draft = recognise({"query": "q", "answers": calls, "tools": tools})
    assert draft.turns[-1].tool_calls[0].name == "at"
    assert draft.tools[0]["function"] == {"name": "at", "parameters": {"type": "object"}}


def test_pairs_of_public_sets() -> None:
    before = "\n\nHuman: q0\n\nAssistant: a0\n\nHuman: q\n\nAssistant: "
    hh = {"chosen": before + "a", "rejected": before + "b"}
    assert said(hh) == [("user", "q0"), ("assistant", "a0"), *PLAIN]
    assert (recognise(hh).rejected, learnt(hh)) == ("b", ["a"])
    scored = {"prompt": "q", "chosen": "a", "rejected": "b", "rating": [9, 8], "chosen-rating": 9}
    assert recognise(scored).rejected == "b"
    assert refusal({**scored, "rejected-rating": 9.5}).reason == "margin"
    assert refusal({**scored, "rejected": "a"}).reason == "same_answers"
    masked = [USER, {**SAID, "weight": 0}]
    row = {"chosen": masked, "rejected": [USER, {**SAID, "content": "b"}]}
    assert refusal(row).reason == "nothing_to_learn"


def label_studio(data: Row, kind: str, **value: Any) -> Row:
    result = {"type": kind, "from_name": "said", "value": value}
    return {"id": 1, "data": data, "annotations": [{"result": [result]}]}


def argilla(question: str, value: Any) -> Row:
    response = {"value": value, "status": "submitted"}
    return {"fields": {"prompt": "q", "response": "x"}, "responses": {question: [response]}}


SHOWN = {"prompt": "q", "response": "x"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (label_studio(SHOWN, "rating", rating=1), "rating"),
        (label_studio(SHOWN, "choices", choices=["Bad"]), "marked_bad"),
        (label_studio(SHOWN, "choices", choices=["rude"]), "judged_answer"),
        (argilla("quality", 1), "rating"),
        (argilla("quality", "bad"), "marked_bad"),
        (argilla("rank", [{"value": "response", "rank": 1}]), "argilla"),
        (argilla("names", [{"start": 0, "end": 1, "label": "x"}]), "argilla"),
        ({"text": "q", "label": "x", "answer": "reject", "_task_hash": 1}, "discarded"),
        ({"text": "q", "spans": [{"start": 0}], "answer": "accept", "_task_hash": 1}, "prodigy"),
        ({"question": "q", "answers": ["x", "y"]}, "several_answers"),
    ],
)
def test_a_judgement_of_an_answer_is_no_answer(row: Row, reason: str) -> None:
    assert refusal(row).reason == reason


def test_a_better_answer_replaces_the_one_that_was_shown() -> None:
    assert said(label_studio(SHOWN, "textarea", text=["a"])) == PLAIN
    assert said(argilla("corrected", "a")) == PLAIN
    assert said(argilla("quality", 5), least_rating=4) == [("user", "q"), ("assistant", "x")]
    both = label_studio({"text": "q"}, "choices", choices=["x"])
    truth = label_studio({"text": "q"}, "choices", choices=["a"])["annotations"][0]
    both["annotations"].append({**truth, "ground_truth": True})
    assert said(both) == PLAIN


def test_a_case_with_two_answers_is_refused_as_a_row_is() -> None:
    row = {"input": "q", "output": "what a model said", "expected": "a"}
    with pytest.raises(FormError, match="output and expected"):
        recognise_case(row)
    assert recognise_case({"input": "q", "ideal": "a"}).expected == "a"


def test_two_columns_of_one_name_are_both_named() -> None:
    row = {"prompt": "q", "Prompt": "p", "completion": "a"}
    assert "'prompt' and 'Prompt'" in refusal(row).detail
    assert said({**row, "Prompt": "q"}) == said({**row, "Prompt": None}) == PLAIN


def test_numbers_of_any_size_are_written_or_refused() -> None:
    assert learnt({"prompt": "q", "completion": 10**400}) == [str(10**400)]
    assert refusal({"prompt": "q", "completion": 10**5000}).reason == "wrong_type"


def test_tags_that_are_a_list_are_named() -> None:
    draft = recognise({"prompt": "q", "completion": "a", "tags": ["x", "y"]})
    assert draft.unused == ("tags",)


@pytest.mark.parametrize(
    "answer",
    ["Write <think> and </think> tags.", "The mark </think> ends it.", "```\n</think>\n```\nSo."],
)
def test_an_answer_about_marks_holds_no_thought(answer: str) -> None:
    turn = recognise({"prompt": "q", "completion": answer}).turns[-1]
    assert (turn.content, turn.reasoning) == (answer, "")


@pytest.mark.parametrize(
    "row",
    [
        {"data": {"text": "q"}, "annotations": [{"result": 5}, 5]},
        {"data": {"text": "q"}, "annotations": True},
        {"fields": {"text": "q"}, "responses": {"label": True}},
        {"fields": {"text": "q"}, "responses": [{"values": 5, "status": ["x"]}]},
        {"text": "q", "label.responses": 2.5},
        {"text": "q", "label.responses": [], "label.responses.status": 5},
    ],
)
def test_an_export_in_another_shape_is_left_out(row: Row) -> None:
    assert refusal(row).reason in ("no_answer", "unknown_form")
