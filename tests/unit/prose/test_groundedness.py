import pytest

from tuneloop.prose.groundedness import checkable, marked, ungrounded


def flagged(answer: str, *sources: str) -> list[str]:
    return [span.text for span in ungrounded(answer, sources)]


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("The patient is a 76-year-old.", "I am seventy six years old."),
        ("She was seen in 1993.", "It was nineteen ninety three."),
        ("His pressure was 120/80.", "One twenty over eighty."),
        ("Temperature 98.6.", "It was ninety eight point six."),
        ("It costs 1.500 Euro.", "The price: 1,500"),
        ("Der Preis: 2,5.", "the price is 2.5"),
        ("Er ist 25 und zahlt 250.", "fünfundzwanzig, zweihundertfünfzig"),
        ("Il a 97 ans.", "quatre-vingt-dix-sept ans"),
        ("Tiene 35 gatos.", "treinta y cinco gatos"),
        ("Ему 25 лет.", "двадцать пять лет"),
        ("他今年35岁。", "三十五岁"),
        ("The dose is 35.", "الجرعة ٣٥"),
        ("Two and a half: 2.5.", "two and a half"),
    ],
)
def test_a_number_stands_there_however_it_is_written(answer: str, source: str) -> None:
    assert checkable(answer)
    assert flagged(answer, source) == []


def test_another_number_is_flagged_where_it_stands() -> None:
    answer = "She is 67 and takes 5 pills."
    (span,) = ungrounded(answer, ["I am seventy six.", "I take five pills."])
    assert (span.kind, span.text, answer[span.start : span.end]) == ("number", "67", "67")


def test_what_numbers_a_list_and_one_are_no_facts() -> None:
    assert checkable("1. Open the lid.\n2. Close it.\n(3) One of them is 1.") == ()
    assert [s.text for s in checkable("Three:  1.  An ear.  2.  A toe.")] == ["Three"]
    assert [s.text for s in checkable("The sum: 25. Then more.")] == ["25"]


def test_words_that_are_numbers_elsewhere_are_not_checked() -> None:
    assert checkable("It is due at once, on a second or third try by Otto.")[0].text == "third"


def test_marks_stand_around_the_flagged_part() -> None:
    answer = "Take 5 of 20."
    assert marked(answer, ungrounded(answer, ["five"]), opening="[", closing="]") == (
        "Take 5 of [20]."
    )
