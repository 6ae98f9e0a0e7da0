"""The rules about single rows: forms, filters, personal data, retired terms."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tuneloop.datasets.example import Example, Message
from tuneloop.datasets.filters import first_objection, make_filters
from tuneloop.datasets.forms import FormError, recognise, recognise_prompt
from tuneloop.datasets.retired_terms import RetiredTerms
from tuneloop.errors import ModelFileError
from tuneloop.modelfile.sections.data import ColumnSettings, FilterName
from tuneloop.personal_data import redacted

SCHEMA = {
    "type": "object",
    "required": ["intent"],
    "properties": {"intent": {"enum": ["a", "oos"]}},
}


def example(
    question: str = "Where is my parcel?", answer: str = "On its way.", **tags: str
) -> Example:
    return Example(
        messages=(Message(role="user", content=question),),
        completion=answer,
        source="rows.jsonl",
        line=1,
        tags=tags,
    )


def objection(one: Example, **options: Any) -> str:
    filters = make_filters(min_characters=2, max_characters=20_000, **options)
    return first_objection(filters, one).reason


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


def test_a_test_case_needs_no_answer() -> None:
    assert recognise_prompt(chat(("user", "q")))[-1].content == "q"
    assert recognise_prompt({"prompt": "q"})[-1].content == "q"


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (example(question=" \n"), "empty_input"),
        (example(answer="\t"), "empty_output"),
        (example(question="?"), "too_short"),
        (example(question="x" * 20_001), "too_long"),
        (example(answer='{"intent": "a", "why": "beca'), "truncated"),
        (example(answer='{"intent": "a"'), "truncated"),
        (example(answer="Use this:\n```python\nprint(1)"), "truncated"),
        (example(answer="And then [truncated]"), "truncated"),
        (example(answer="And then", finish_reason="length"), "truncated"),
        (example(answer="I'm sorry, but I can’t help with that."), "refusal"),
        (example(answer="As an AI, I am not able to do this."), "refusal"),
        (example(question="Dear {{ customer_name }}, hello"), "leftover_template"),
        (example(answer="Dear [Insert name here], hello"), "leftover_template"),
        (example(answer="Yours, [Your full name]"), "leftover_template"),
        (example(answer="Dear <CUSTOMER_NAME>, hello"), "leftover_template"),
        (example(answer="As an AI language model, I think so."), "leftover_template"),
        (example(answer="Fine.<|im_end|>"), "leftover_template"),
    ],
)
def test_broken_rows_are_dropped_for_the_reason_a_person_would_give(
    one: Example, reason: str
) -> None:
    assert objection(one) == reason


@pytest.mark.parametrize(
    "one",
    [
        example(),
        example(question="ok", answer="y"),
        example(answer="Anything else"),
        example(answer="It says {oops}: not JSON at all, and no schema asks for it."),
        example(answer='{"intent": "refuse", "text": "I cannot help"}'),
        example(answer="We cannot deliver on Sundays, sorry."),
        example(question="My name is <PERSON>", answer="Hello."),
        example(question="Explain <ORDER_ID>", answer="<ORDER_ID> is a placeholder."),
        example(answer="Press [Enter] to go on, then [Your Orders] and [Add to cart]."),
    ],
)
def test_good_rows_stay(one: Example) -> None:
    assert objection(one) == ""


def test_the_schema_decides_and_an_abstention_is_an_answer() -> None:
    assert objection(example(answer='{"intent": "oos"}'), output_schema=SCHEMA) == ""
    assert (
        objection(example(answer='{"intent": "b"}'), output_schema=SCHEMA) == "output_breaks_schema"
    )
    assert objection(example(answer="Sure! {}"), output_schema=SCHEMA) == "output_not_json"
    assert objection(example(answer="[" * 100_000), output_schema=SCHEMA) != ""
    assert objection(example(answer="ab"), output_pattern="[a-z]") == "output_breaks_pattern"
    with pytest.raises(ModelFileError, match="not a valid JSON Schema"):
        objection(example(), output_schema={"type": "objekt"})


def test_a_filter_can_be_switched_off_by_the_name_in_the_model_file() -> None:
    names = {one.name for one in make_filters(
        min_characters=2, max_characters=9, language="en", output_schema=SCHEMA, output_pattern="x"
    )}  # fmt: skip
    assert names - {"empty"} == set(get_args(FilterName)), "without an answer there is no example"
    refusing = example(answer="I'm sorry, but I can't help with that.")
    assert objection(refusing) == "refusal"
    assert objection(refusing, disabled=("refusal",)) == ""


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("en", "Где моя посылка?", "wrong_language"),
        ("en", "我的包裹在哪里呢今天", "wrong_language"),
        ("en", "Où est mon colis ?", ""),
        ("ru", "Где моя посылка?", ""),
        ("ja", "荷物はどこですか", ""),
        ("en", "Москва", ""),
    ],
)
def test_another_script_is_another_language(language: str, text: str, reason: str) -> None:
    answer = '{"intent": "a"}'
    assert objection(example(question=text, answer=answer), language=language) == reason


def test_an_unknown_language_names_the_known_ones() -> None:
    with pytest.raises(ModelFileError, match=r"data\.language"):
        objection(example(), language="xx")


def test_a_filter_can_be_switched_off() -> None:
    refusing = example(answer="I cannot help with that.")
    assert objection(refusing) == "refusal"
    assert objection(refusing, disabled=("refusal",)) == ""


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Mail ann.b+c@example.co.uk.", "Mail [EMAIL]."),
        ("Call +44 20 7946 0958 now", "Call [PHONE] now"),
        ("Call (212) 555-0142", "Call [PHONE]"),
        ("Pay to DE89 3704 0044 0532 0130 00 please", "Pay to [IBAN] please"),
        ("Card 4111 1111 1111 1111", "Card [CARD]"),
        ("from 192.168.10.1", "from [IP_ADDRESS]"),
        # What only looks like it stays: numbers are often the point of a message.
        ("Card 4111 1111 1111 1112", "Card 4111 1111 1111 1112"),
        ("Order 20240115 of 2024-01-15, 3 x 12.50", "Order 20240115 of 2024-01-15, 3 x 12.50"),
        ("version 1.2.3.400 and 999.1.1.1", "version 1.2.3.400 and 999.1.1.1"),
        ("@home a@b", "@home a@b"),
    ],
)
def test_personal_data_is_known_by_its_form(text: str, clean: str) -> None:
    assert redacted(text)[0] == clean
    assert redacted(clean)[0] == clean, "a second pass changes nothing"


def test_retired_terms_keep_the_case_and_the_word() -> None:
    terms = RetiredTerms({"Tarn": "Skerry", "Tarn Plus": "Skerry Max"})
    text, found = terms.renamed(
        'tarn, TARN, Tarn Plus; tarnish and Tarns stay: {"product": "tarn"}'
    )
    assert text == 'skerry, SKERRY, Skerry Max; tarnish and Tarns stay: {"product": "skerry"}'
    assert found == {"tarn": 3, "tarn plus": 1}
    assert RetiredTerms({}).renamed("as it is") == ("as it is", {})


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
    assert recognise_prompt({"said": "q"}, COLUMNS)[-1].content == "q"
