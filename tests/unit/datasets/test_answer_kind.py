from collections.abc import Iterable

from tuneloop.datasets.answer_kind import AnswerKind
from tuneloop.modelfile import TaskKind

NOTES = (
    "{name} has had a cough for {days} days and takes no medicine; lungs are clear, no fever today."
)


def kind_of(rows: Iterable[tuple[str, str]], **told: bool) -> TaskKind:
    seen = AnswerKind()
    for asked, answer in rows:
        seen.add(asked, answer)
    return seen.kind(**{"is_json": False, "is_label": False, **told})


def test_long_answers_that_differ_are_prose() -> None:
    rows = [(f"Dialogue {i}", NOTES.format(name=f"Patient {i}", days=i)) for i in range(40)]
    assert kind_of(rows) == "prose"


def test_short_replies_in_words_of_their_own_are_prose_and_extracts_are_not() -> None:
    titles = [(f"Article {i} …", f"Town {i} opens its new bridge") for i in range(40)]
    assert kind_of(titles) == "prose"
    addresses = [f"{i} Long Lane, Upper Town {i}" for i in range(40)]
    assert kind_of([(f"Send it to {text}, please.", text) for text in addresses]) == "short"


def test_canned_replies_have_one_right_wording() -> None:
    canned = NOTES.format(name="The customer", days=3)
    assert kind_of([(f"Message {i}", f"{canned} {i % 4}") for i in range(40)]) == "short"


def test_prose_without_spaces_is_prose() -> None:
    rows = [
        (f"質問{i}", f"お客様{i}のご注文は明日の午前中にお届けする予定です。") for i in range(40)
    ]
    assert kind_of(rows) == "prose"


def test_numbers_are_short_and_what_is_told_goes_first() -> None:
    assert kind_of([(f"{i} + {i}?", str(2 * i)) for i in range(40)]) == "short"
    assert kind_of([("q", "billing")] * 9, is_label=True) == "labels"
    assert kind_of([("q", "{}")] * 9, is_json=True) == "json"
    assert kind_of([]) == "short"
