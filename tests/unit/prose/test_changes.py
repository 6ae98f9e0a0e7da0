"""What a person changed in a prose answer: readable, measured by words, and facts told apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.prose.changes import edit_of, edit_share, marked, word_diff

NOTE = "The patient takes 20 mg of lisinopril daily. She was seen by Dr. Kumar on July 3, 2008."
TEXTS = st.lists(
    st.sampled_from(
        ["the", "Kumar", "20 mg", "not", ",", ".", " ", "  ", "\n", "明天", "वह", "é", "🙂"]
    ),
    max_size=25,
).map("".join)


@given(TEXTS, TEXTS)
def test_a_diff_holds_both_texts_to_the_last_character(before: str, after: str) -> None:
    runs = word_diff(before, after)
    assert "".join(run.text for run in runs if run.how != "added") == before
    assert "".join(run.text for run in runs if run.how != "removed") == after
    changed = [one.how for one, other in pairwise(runs) if one.how == other.how]
    assert changed == [], "one run for what belongs together"


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("the cat sat here", "the dog sat here", "the [-cat-]{+dog+} sat here"),
        ("I am fine.", "I am very fine.", "I am {+very+} fine."),
        ("I am very fine.", "I am fine.", "I am [-very-] fine."),
        ("one line", "one\n\nline", "one\n\nline"),
        ("请您明天来。", "请您后天来。", "请您[-明-]{+后+}天来。"),
        # One word that was kept by chance between two changes does not part them.
        (
            "He came to us with a cough and the doctor saw him",
            "A man arrived here, the physician has seen him",
            "[-He came to us with a cough and the doctor saw-]"
            "{+A man arrived here, the physician has seen+} him",
        ),
    ],
)
def test_a_diff_is_read_as_one_text(before: str, after: str, shown: str) -> None:
    assert marked(word_diff(before, after)) == shown


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ("a b c d", "a b c d", 0.0),
        ("a b c d", "a x c d", 0.25),
        ("a b c d", "a b c d e f g h", 0.5),
        ("a b", "c d e f", 1.0),
        ("", "a", 1.0),
        ("", "", 0.0),
        ("a, b.", "a b", 0.0),  # signs are no words
        ("今天下雨", "今天下雪", 0.25),
    ],
)
def test_the_share_is_of_the_words_of_the_longer_text(
    before: str, after: str, share: float
) -> None:
    assert edit_share(before, after) == share


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (NOTE.upper().capitalize(), "form"),
        (NOTE.replace(". She", ".\n\n- She").replace("daily.", "daily"), "form"),
        ("She was seen by Dr. Kumar on July 3, 2008. The patient takes 20 mg of lisinopril daily.",
         "form"),
        (NOTE.replace("20 mg", "20mg"), "form"),
        (NOTE.replace("was seen by", "saw"), "wording"),
        (NOTE.replace("20 mg", "200 mg"), "facts"),
        (NOTE.replace("20 mg", "20 g"), "facts"),
        (NOTE.replace("Kumar", "Miller"), "facts"),
        (NOTE.replace("July 3, 2008", "June 3, 2008"), "facts"),
        (NOTE.replace("takes", "does not take"), "facts"),
        (NOTE.replace(" on July 3, 2008", ""), "facts"),
    ],
)  # fmt: skip
def test_edits_of_facts_are_told_from_edits_of_form(after: str, kind: str) -> None:
    assert edit_of(NOTE, after).kind == kind


def test_the_facts_that_changed_are_named_as_they_were_written() -> None:
    edit = edit_of(NOTE, NOTE.replace("20 mg", "40 mg").replace("Kumar", "Miller"))
    assert (edit.removed, edit.added) == (("20 mg", "Kumar"), ("40 mg", "Miller"))
    swapped = edit_of(
        "Take 5 mg at noon and 10 mg at 8:00.", "Take 10 mg at noon and 5 mg at 8:00."
    )
    assert (swapped.kind, swapped.moved) == ("facts", ("5 mg", "10 mg"))
    assert edit_of("He can't come.", "He cannot come.").kind == "wording"


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("Das Gerät ist defekt.", "Das Gerät ist nicht defekt."),
        ("Elle a de la fièvre.", "Elle n'a pas de fièvre."),
        ("У него есть боль.", "У него нет боли."),
        ("患者发烧。", "患者没发烧。"),
        ("熱があります。", "熱がありません。"),
    ],
)
def test_a_negation_is_a_fact_in_many_languages(text: str, negated: str) -> None:
    assert edit_of(text, negated).added == ("negation",)


def test_a_number_is_the_same_fact_in_words() -> None:
    assert edit_of("He has seven cats.", "He has 7 cats.").kind != "facts"
    assert edit_of("He has seven cats.", "He has nine cats.").kind == "facts"
