"""The rules about single rows: filters, personal data, retired terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

import tuneloop
from tuneloop.conversation import Message
from tuneloop.conversation.template import ChatTemplate
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters import first_objection, make_filters
from tuneloop.datasets.recipe import _NOT_RULES, recipe, rules
from tuneloop.datasets.retired_terms import RetiredTerms
from tuneloop.errors import ModelFileError
from tuneloop.modelfile import DataSettings, TaskSettings
from tuneloop.modelfile.sections.data import FilterName
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
        min_characters=2, max_characters=9, language="en", output_schema=SCHEMA,
        output_pattern="x", template=ChatTemplate(text=""), grounded=True
    )}  # fmt: skip
    assert names - {"empty"} == set(get_args(FilterName)), "without an answer there is no example"
    refusing = example(answer="I'm sorry, but I can't help with that.")
    assert objection(refusing) == "refusal"
    assert objection(refusing, disabled=("refusal",)) == ""


def test_an_answer_that_adds_facts_to_its_prompt_teaches_to_make_them_up() -> None:
    asked = "I am thirty, and I take 0.5 g of it. Call Mrs Weber."
    invented = example(question=asked, answer="A 35-year-old takes 500 mg.")
    assert objection(invented) == ""
    assert objection(invented, grounded=True) == "ungrounded"
    kept = example(question=asked, answer="30 years old, takes 500 mg; Mrs Weber will be called.")
    assert objection(kept, grounded=True) == ""


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


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("राम और रामा", "श्याम और रामा"),
        ("我的雪龙坏了", "我的火龙坏了"),
        ("STRASSE, Straße und Straßen", "WEG, Weg und Straßen"),
        ("a tın of tİn", "a tın of tİn"),
    ],
)
def test_retired_terms_are_whole_words_in_every_script(text: str, renamed: str) -> None:
    table = {"राम": "श्याम", "雪龙": "火龙", "Straße": "Weg", "tin": "can"}
    assert RetiredTerms(table).renamed(f"{text} é")[0] == f"{renamed} é"


def test_retired_terms_keep_the_case_and_the_word() -> None:
    terms = RetiredTerms({"Tarn": "Skerry", "Tarn Plus": "Skerry Max"})
    text, found = terms.renamed(
        'tarn, TARN, Tarn Plus; tarnish and Tarns stay: {"product": "tarn"}'
    )
    assert text == 'skerry, SKERRY, Skerry Max; tarnish and Tarns stay: {"product": "skerry"}'
    assert found == {"tarn": 3, "tarn plus": 1}
    assert RetiredTerms({}).renamed("as it is") == ("as it is", {})


def test_the_rules_of_facts_decide_about_rows_where_they_are_asked_for() -> None:
    kept = recipe(DataSettings(sources=("a.jsonl",)), TaskSettings())
    grounded = recipe(DataSettings(sources=("a.jsonl",), grounded=True), TaskSettings())
    assert "grounded_code" not in kept and grounded["grounded_code"] not in (kept["code"], "")


def test_the_recipe_names_all_code_that_decides_about_rows() -> None:
    named = rules(Path(tuneloop.__file__).parent)
    for file in ("readers/quoting.py", "task/rows/tags.py", "refusal/detector.py",
                 "personal_data.py", "sameness/forms.py", "datasets/split.py"):  # fmt: skip
        assert file in named
    assert not {"datasets/stats.py", "datasets/tags.py", "datasets/remote.py",
                "datasets/other_facts.py"} & set(named)  # fmt: skip
    assert all((Path(tuneloop.__file__).parent / file).is_file() for file in _NOT_RULES)
