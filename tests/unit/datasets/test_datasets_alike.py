"""What counts as alike: duplicates, contradictions, leaks, templates."""

from __future__ import annotations

import random
import re
import time

import pytest

from tuneloop.datasets.contradictions import find_contradictions, same_question
from tuneloop.datasets.duplicates import Duplicate, find_duplicates
from tuneloop.datasets.example import Example, Message
from tuneloop.datasets.leaks import find_leaks
from tuneloop.datasets.likeness import Likeness, compare
from tuneloop.sameness import strict, strict_answer

SIMILARITY = 0.9
WORDS = re.findall(
    r"\w+",
    "invoice parcel battery wall password winter garden engine letter mountain river silver "
    "pepper window orange candle basket kitten marble violin rocket puzzle lemon anchor",
)


def example(question: str, answer: str = '{"a": 1}', line: int = 1) -> Example:
    return Example(
        messages=(Message(role="user", content=question),),
        completion=answer,
        source="rows.jsonl",
        line=line,
    )


def likeness(examples: list[Example], similarity: float = SIMILARITY) -> Likeness:
    return compare([one.input_text for one in examples], similarity=similarity)


def duplicates(examples: list[Example]) -> list[Duplicate]:
    return find_duplicates(examples, likeness(examples), range(len(examples)))


def sentence(seed: int, words: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(words))


def test_json_answers_are_compared_as_values() -> None:
    assert strict_answer('{"b": 1, "a": "X"}') == strict_answer('{ "a":"X","b":1 }')
    assert strict_answer('{"a": "X"}') != strict_answer('{"a": "x"}')
    assert strict_answer("Yes.") == strict_answer("yes")
    assert strict_answer("{cut off") == "{cut off"


def test_duplicates_need_the_same_answer() -> None:
    freeze = "please freeze my bank account for me right now"
    unfreeze = "please unfreeze my bank account for me right now"
    assert duplicates([example(freeze, "freeze"), example(unfreeze, "unfreeze")]) == []
    (found,) = duplicates([example(freeze, "freeze"), example(freeze + " thanks", "freeze")])
    assert (found.row, found.kept, found.kind) == (1, 0, "near")
    assert SIMILARITY <= found.similarity < 1
    (same,) = duplicates([example(freeze, "freeze"), example(freeze.upper() + ".", "Freeze")])
    assert (same.kind, same.similarity) == ("exact", 1.0)
    (near,) = duplicates([example(freeze, "freeze"), example(freeze.upper() + "!", "Freeze")])
    assert near.kind == "near", "an exclamation mark can matter"


def test_a_chain_of_small_steps_keeps_its_far_end() -> None:
    words = sentence(1, 12).split()
    chain = [example(" ".join([*words[: 12 - n], *["different"] * n])) for n in range(12)]
    removed = {one.row for one in duplicates(chain)}
    assert 11 not in removed, "the last says something else altogether"
    for one in duplicates(chain):
        assert one.kept not in removed


def test_another_system_text_is_another_example() -> None:
    def with_system(system: str) -> Example:
        messages = (Message(role="system", content=system), *example("where is it").messages)
        return Example(messages=messages, completion="x", source="f", line=1)

    assert duplicates([with_system("Be brief."), with_system("Be kind.")]) == []
    assert with_system("Be brief.").input_key == with_system("Be kind.").input_key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("set a reminder for me", "please set a reminder for me", True),
        ("what's my pay", "what is my pay", True),
        ("i don't recognise this", "i do not recognize this", True),
        ("someone stole my cards", "someone stole my crads", True),
        ("freeze my card", "unfreeze my card", False),
        ("where were you born", "when were you born", False),
        ("how long does a us transfer take", "how long does a uk transfer take", False),
        ("does this affect me", "does this effect me", False),
        ("pay 12345 euros", "pay 12346 euros", False),
        ("is a < b", "is a > b", False),
        ("hello", "thanks", False),
        ("write to US", "write to us", False),
        ("is this Polish", "is this polish", False),
        ("what is 10²", "what is 102", False),
        ("you are open on Sunday", "you are open on Sunday?", False),
        ("freeze my card", "freeze my card, please?", True),
        ("hi, Freeze my card", "freeze my card", True),
        ("मेरा नाम दिन है", "मेरा नाम दीन है", False),
        ("परिवारिक खाता", "पारिवारिक खाता", False),
        ("el coro cantó ayer", "el coro canto ayer", False),
        ("мой заказаз пропал", "мой заказаж пропал", True),
        ("我要退货", "我要换货", False),
        ("계좌이체입니다 취소", "계좌이채입니다 취소", False),
    ],
)
def test_the_same_question_is_more_than_similar_letters(one: str, other: str, same: bool) -> None:
    assert same_question(one, other) is same


def test_contradictions_gather_all_who_disagree() -> None:
    rows = [
        example("what's my pay", "income"),
        example("what is my pay?", "payday"),
        example("What is my pay", "income"),
        example("what is the weather", "weather"),
    ]
    conflicting, varied = find_contradictions(rows, likeness(rows))
    assert [one.rows for one in conflicting] == [(0, 1, 2)]
    assert varied == []


def test_a_text_without_any_capital_asks_the_same_as_with_them() -> None:
    rows = [
        example("Do you ship to Oslo", "yes"),
        example("do you ship to oslo", "no"),
        example("Is this Polish", "language"),
        example("Is this polish", "care"),
        example("Write to US", "country"),
        example("write to us", "contact"),
    ]
    conflicting, _ = find_contradictions(rows, likeness(rows))
    assert [one.rows for one in conflicting] == [(0, 1)]


def test_answers_that_only_a_pedant_tells_apart_do_not_contradict() -> None:
    rows = [example("Where is Oslo", answer) for answer in ("Norway", "NORWAY!", "**norway**")]
    assert find_contradictions(rows, likeness(rows)) == ([], [])
    assert duplicates(rows) == [], "nor is one of them thrown away for the other"


def test_free_text_may_be_right_in_many_wordings() -> None:
    long = "You can find the invoice in your account under orders, and print it from there."
    other = "Open your account, choose orders, and there is a button that prints the invoice."
    rows = [example("where is my invoice", long), example("where is my invoice?", other)]
    conflicting, varied = find_contradictions(rows, likeness(rows))
    assert conflicting == []
    assert [one.rows for one in varied] == [(0, 1)]


def test_leaks_are_found_through_case_typing_and_length() -> None:
    case = sentence(5, 60)
    training = [
        example(sentence(6, 60), line=1),
        example(case.upper() + ".", line=2),
        example(case.replace("river", "stream", 1).replace("e", "ee", 1), line=3),
    ]
    leaks = find_leaks(training, [example(case)], similarity=SIMILARITY)
    assert [leak.training.line for leak in leaks] == [2, 3]
    assert leaks[0].similarity == 1.0


def test_a_shared_instruction_does_not_make_rows_alike() -> None:
    frame = "Classify the following customer message into one of our intents. Message: "
    rows = [example(frame + sentence(n, 6), f"{n % 2}") for n in range(40)]
    assert duplicates(rows) == []
    assert duplicates([*rows, example(frame + sentence(3, 6) + "s", "1")]) != []


def test_rows_of_one_template_are_not_each_others_duplicates() -> None:
    invoice = "invoice {} from the {} company to be paid within thirty days to the account below, "
    texts = [(invoice * 3).format(*(n * 7919 % 9973 for _ in range(6))) + "end" for n in range(60)]
    rows = [example(f"{n % 7} {text}", "approve") for n, text in enumerate(texts)]
    found = likeness(rows)
    assert [len(family) for family in found.templates] == [60]
    assert duplicates(rows) == []
    (same,) = duplicates([*rows, rows[0]])
    assert same.kind == "exact"


def test_two_thousand_rows_take_seconds() -> None:
    """10,000 real ones: benchmarks/bench_duplicates.py."""
    texts = [strict(f"{sentence(n, 9)} {n}") for n in range(2_000)]
    texts += [f"{text} x" for text in texts[:100]]
    began = time.process_time()
    found = compare(texts, similarity=SIMILARITY)
    assert time.process_time() - began < 10
    assert all(2_000 + n in found.alike[n] for n in range(100))
