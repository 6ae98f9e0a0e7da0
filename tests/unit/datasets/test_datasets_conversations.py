"""Growing rows of one conversation: they are one, whoever else says hello in the same words."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from tuneloop.conversation import Message
from tuneloop.datasets.conversations import conversation_keys
from tuneloop.datasets.duplicates import find_duplicates
from tuneloop.datasets.example import Example
from tuneloop.datasets.leaks import find_leaks, known_cases
from tuneloop.datasets.likeness import compare

ROLES = ("user", "assistant")


def talk(*texts: str, answer: str | None = None, system: str = "") -> Example:
    """User and assistant in turn; the last text is the answer, unless there is none."""
    turns = [Message(role=ROLES[n % 2], content=text) for n, text in enumerate(texts)]
    if answer is None and len(texts) % 2 == 0:
        *turns, last = turns
        answer = last.content
    messages = ([Message(role="system", content=system)] if system else []) + turns
    return Example(messages=tuple(messages), completion=answer or "", source="f", line=len(texts))


def growing(*texts: str) -> list[Example]:
    return [talk(*texts[: n + 2]) for n in range(0, len(texts), 2)]


def test_growing_rows_are_of_one_conversation_and_others_are_not() -> None:
    first = growing("my lamp hums", "check the plug", "it is in", "then the bulb", "yes!", "good")
    second = growing("my kettle leaks", "look at the seal", "it is worn", "we send one")
    alone = [talk("where is my parcel", "in Graz"), talk("are you open", "yes")]
    keys = conversation_keys([*first, *alone, *second])
    assert len(set(keys[:3])) == len(set(keys[5:])) == 1
    assert keys[0] != keys[5] and keys[0] and keys[5]
    assert keys[3:5] == ["", ""]
    assert conversation_keys(alone) == ["", ""]


def test_case_punctuation_and_system_text_make_no_other_conversation() -> None:
    one = talk("My lamp hums.", "Check the plug!", "it is in", "then the bulb", system="Be brief.")
    other = talk("my lamp hums", "check the plug", "done", "good")
    assert len(set(conversation_keys([one, other]))) == 1


def test_another_answer_is_another_conversation() -> None:
    one = talk("where is my parcel", "in Graz", "and when", "on Monday")
    other = talk("where is my parcel", "in Oulu", "and when", "on Monday")
    assert len(set(conversation_keys([one, other]))) == 2


def test_a_greeting_links_nobody_and_the_next_answer_does() -> None:
    hello = ("hello", "Hi, how can I help?")
    talks = [
        row
        for n in range(20)
        for row in growing(*hello, f"my {n} hums", f"check plug {n}", "and now", f"bulb {n}")[1:]
    ]
    keys = conversation_keys([talk(*hello), *talks])
    assert keys[0] == ""
    assert keys[1::2] == keys[2::2] and len(set(keys[1:])) == 20
    few = conversation_keys(talks[:16])
    assert len(set(few)) == 1, "eight ways to go on may still be one conversation, asked again"
    assert conversation_keys([*talks[:16], *talks[16:]], reference=16)[:16] == few


def test_a_greeting_by_the_assistant_is_no_answer() -> None:
    hello = Message(role="assistant", content="How can I help?")
    rows = [
        Example(
            messages=(hello, Message(role="user", content=f"my {n} hums")),
            completion=f"check {n}",
            source="f",
            line=n,
        )
        for n in range(2)
    ]
    assert len(set(conversation_keys(rows))) == 2


TALKS = st.lists(st.lists(st.sampled_from("abcd"), min_size=2, max_size=8), min_size=1, max_size=8)


@given(TALKS, st.randoms(use_true_random=False))
def test_a_row_and_what_it_goes_on_to_have_one_key_in_any_order(
    texts: list[list[str]], random: object
) -> None:
    rows = [talk(*one[: len(one) // 2 * 2]) for one in texts]
    random.shuffle(rows)  # type: ignore[attr-defined]
    keys = conversation_keys(rows)
    by_key = defaultdict(set)
    for row, key in zip(rows, keys, strict=True):
        said = (*(turn.content for turn in row.messages), row.completion)
        by_key[key].add(said[:2])
        for other, its in zip(rows, keys, strict=True):
            longer = (*(turn.content for turn in other.messages), other.completion)
            if len(longer) > len(said) and longer[: len(said)] == said:
                assert key == its != ""
    by_key.pop("", None)
    assert all(len(beginnings) == 1 for beginnings in by_key.values())


def leaking(training: list[Example], held_out: list[Example]) -> list[int]:
    """Lines of the training rows; the conversation alone gives them away."""
    leaks = find_leaks(training, held_out, similarity=0.9)
    assert {leak.why for leak in leaks} <= {"conversation"}
    assert all("of one conversation with the held-out case" in leak.detail for leak in leaks)
    return [leak.training.line for leak in leaks]


LAMP = growing(
    "my lamp hums when the guests arrive, what is to be done about that",
    "look at the plug first, and tell me whether it is warm, please",
    "the plug is warm and the hinge is loose, I live behind the old mill",
    "then replace the plug; our man in Bilbao has one of that kind",
    "and where in Bilbao would that be? I come by tram on Saturday",
    "close to the ice rink, ask for the cable with the number eleven",
)
KETTLE = growing("the kettle leaks", "see the seal", "it is worn", "we send a new one")


def test_a_row_of_the_same_conversation_is_a_leak_in_both_directions() -> None:
    assert leaking([LAMP[0], *KETTLE], [LAMP[2]]) == [2], "its answer stands in the case"
    assert leaking([LAMP[2], *KETTLE], [LAMP[0]]) == [6], "it holds the case and its answer"
    assert leaking([*KETTLE], LAMP) == []
    sibling = talk(*(m.content for m in LAMP[1].messages[:2]), "no, it is cold", "then the bulb")
    assert leaking([sibling], [LAMP[1]]) == [4]


def test_a_test_case_without_an_answer_leaks_through_a_row_that_goes_on_from_it() -> None:
    def question(row: Example) -> Example:
        return Example(messages=row.messages, completion="", source="golden.jsonl", line=1)

    assert leaking([LAMP[2], *KETTLE], [question(LAMP[0])]) == [6]
    assert leaking([LAMP[2], *KETTLE], [question(LAMP[1])]) == [6]
    assert leaking([LAMP[0], *KETTLE], [question(LAMP[1])]) == [2]
    greeted = [talk("hello", "Hi there!", f"my {n} hums", f"check {n}") for n in range(20)]
    assert leaking(greeted, [talk("hello")]) == []


def test_what_a_bundle_was_trained_on_includes_other_turns_of_a_conversation() -> None:
    assert known_cases([LAMP[0], *KETTLE], [LAMP[2], KETTLE[1]], similarity=0.9) == {0, 1}
    assert known_cases(KETTLE, [LAMP[2]], similarity=0.9) == set()


def test_the_same_answer_a_turn_later_is_no_duplicate() -> None:
    """A long first message makes all turns after it alike."""
    problem = (
        "the kettle of my grandmother leaks at the handle when she pours tea for her guests " * 3
    )
    rows = growing(problem, "repair", "yes", "repair", "and now", "repair")
    rows += growing(problem + " again", "repair", "yes", "repair")
    likeness = compare([row.input_text for row in rows], similarity=0.9)
    found = {one.row: one.kept for one in find_duplicates(rows, likeness, range(len(rows)))}
    assert found == {3: 0, 4: 1}
