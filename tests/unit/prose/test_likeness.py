import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tuneloop.prose.copying import copied_share
from tuneloop.prose.length import fitting_lengths, length_ratio, misfit
from tuneloop.prose.likeness import bleu, chrf, rouge_l, words_of

MEASURES = (chrf, bleu, rouge_l)
TEXTS = {
    "en": (
        "The patient has had a cough for three weeks.",
        "For three weeks the patient has been coughing.",
        "She broke her left arm while skiing.",
    ),
    "ru": (
        "Пациент кашляет уже три недели.",
        "Уже три недели пациента мучает кашель.",
        "Она сломала руку на лыжах.",
    ),
    "zh": ("病人已经咳嗽三个星期了。", "三个星期以来病人一直咳嗽。", "她滑雪时摔断了左臂。"),
    "ar": (
        "يعاني المريض من السعال منذ ثلاثة أسابيع.",
        "منذ ثلاثة أسابيع والمريض يعاني من السعال.",
        "كسرت ذراعها اليسرى أثناء التزلج.",
    ),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("language", TEXTS)
def test_another_wording_is_more_alike_than_another_matter_in_every_script(
    measure: Callable[[str, str], float], language: str
) -> None:
    text, paraphrase, other = TEXTS[language]
    assert measure(text, text) == pytest.approx(1)
    assert 1 > measure(paraphrase, text) > measure(other, text) >= 0


@pytest.mark.parametrize("measure", MEASURES)
def test_an_empty_answer_is_like_nothing(measure: Callable[[str, str], float]) -> None:
    assert measure("", "The parcel is late.") == 0


class OurWords:
    def tokenize(self, text: str) -> list[str]:
        return list(words_of(text))


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", "é", "药", "1.5"])),
    st.lists(st.sampled_from(["a", "b", "c", "d", "药"])),
)
@settings(deadline=None)
def test_rouge_l_is_what_rouge_score_computes(answer: list[str], reference: list[str]) -> None:
    said, wanted = " ".join(answer), " ".join(reference)
    package = RougeScorer(["rougeL"], tokenizer=OurWords()).score(wanted, said)["rougeL"].fmeasure
    assert rouge_l(said, wanted) == pytest.approx(package if said and wanted else 0.0)


def test_bleu_of_few_words_is_not_nothing() -> None:
    assert bleu("No fever.", "No fever today.") > 0.3


def test_lengths_are_counted_in_words_of_every_script() -> None:
    assert length_ratio("one two", "one two three four") == 0.5
    assert length_ratio("病人咳嗽", "病人咳嗽") == 1
    assert length_ratio("anything", "   ") is None


def test_a_short_reference_may_be_answered_by_a_sentence_and_not_by_a_page() -> None:
    assert misfit("There are no known allergies.", "None.") == ""
    assert misfit("word " * 80, "None.") == "80 words, where 1 to 13 fit the reference"
    assert misfit("None.", "word " * 90) == "1 words, where 20 to 280 fit the reference"
    assert fitting_lengths("word " * 12) == (1, 46)


def test_what_is_copied_counts_by_words() -> None:
    prompt = "Patient: I fell off the ladder on Monday and my arm hurts."
    assert copied_share("I fell off the ladder on Monday", prompt) == 1
    assert copied_share("She fell from a ladder and her arm hurts.", prompt) == 0
    half = "I fell off the ladder so now she cannot move"
    assert copied_share(half, prompt) == 0.5
    assert copied_share("I fell off", prompt) is None


def test_rouge_l_of_two_long_texts_is_symmetric() -> None:
    made = random.Random(0)
    first, second = (" ".join(made.choices("abcdefgh", k=3_000)) for _ in range(2))
    assert rouge_l(first, second) == rouge_l(second, first)
