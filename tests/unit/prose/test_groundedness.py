from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert checkable("It is due at once, on a second or third try.") == ()


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("Seen on 7/31/2008.", "July thirty first O eight"),
        ("Seen on July 31, 2008.", "It was the 31st of July, 2008."),
        ("Gesehen am 3. März.", "on March 3"),
        ("Le 3 mars 2024.", "2024-03-03"),
        ("On 03/04/2024.", "4 March 2024"),
        ("On 03/04/2024.", "3 April 2024"),
        ("Am 03.04.2024.", "3 April 2024"),
        ("Ends in December of 2007.", "12/2007"),
        ("Since 7/93.", "July of nineteen ninety three"),
        ("It comes on Monday.", "Es kommt am Montag."),
        ("2024年3月5日に届きます。", "2024-03-05"),
        ("Open until 15:30.", "Open until half past three."),
        ("Call at 3 pm.", "15:00"),
        ("In her 80s.", "in her eighties"),
    ],
)
def test_a_date_stands_there_however_it_is_written(answer: str, source: str) -> None:
    assert [span.kind for span in checkable(answer)] in (["date"], ["number"])
    assert flagged(answer, source) == []


@pytest.mark.parametrize(
    ("answer", "source", "wrong"),
    [
        ("Seen on July 13, 2008.", "July 31, 2008", "July 13, 2008"),
        ("Seen on 31 July 2009.", "July 31, 2008", "31 July 2009"),
        ("Seen on June 5.", "June 7 and July 5, at five places along the long way", "June 5"),
        ("It comes on Tuesday.", "It comes on Monday.", "Tuesday"),
        ("Open until 16:30.", "Open until half past three.", "16:30"),
        ("Since May.", "Since April.", "May"),
        ("We moved in May.", "You may move in April.", "May"),
    ],
)
def test_another_date_is_flagged(answer: str, source: str, wrong: str) -> None:
    assert flagged(answer, source) == [wrong]


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("Take 5 mg.", "five milligrams"),
        ("Take 500 mg.", "0.5 g"),
        ("Take 25 mg.", "She takes twenty five."),
        ("In 14 days.", "in two weeks"),
        ("In a week, 7 days.", "one week"),
        ("It costs $20.", "twenty dollars"),
        ("Es kostet 1.299,50 €.", "EUR 1,299.50"),
        ("Half of it: 50 %.", "half of it"),
        ("A 76-year-old.", "I am seventy six."),
        ("For 2-1/2 months.", "two and a half months"),
        ("18 months ago.", "one and a half years ago"),
    ],
)
def test_a_quantity_stands_there_in_any_unit(answer: str, source: str) -> None:
    assert "quantity" in {span.kind for span in checkable(answer)}
    assert flagged(answer, source) == []


@pytest.mark.parametrize(
    ("answer", "source", "wrong"),
    [
        ("Take 5 g.", "Take 5 mg.", "5 g"),
        ("In 2 days.", "in two weeks", "2 days"),
        ("It costs €20.", "It costs $20.", "€20"),
        ("Take 15 mg daily.", "fifty milligrams", "15 mg"),
    ],
)
def test_another_amount_or_unit_is_flagged(answer: str, source: str, wrong: str) -> None:
    assert flagged(answer, source) == [wrong]


def test_names_are_checked_where_a_capital_means_something() -> None:
    assert flagged("She saw Dr. Blackman in Boston.", "I saw doctor Blackman.") == ["Boston"]
    assert flagged("Lyrica helps. Norvasc too; she likes Lyrica's taste.", "lyrica") == []
    assert flagged("We wrote to Иван.", "") == ["Иван"]
    assert flagged("Мы написали Ивану.", "Напишите, пожалуйста, Иван ждёт.") == []
    assert flagged("Γράψαμε στον Νίκο.", "Ο Νίκος περιμένει.") == []


def test_what_has_a_capital_anyhow_is_no_name() -> None:
    assert checkable("# How To Reset\n\nPlease wait. Then open it.\n- Close it.\nNote: Done.") == ()
    assert checkable("The patient had an MRI and a CT of the C-spine.") == ()
    assert checkable("Der Kunde hat die Rechnung nicht erhalten.") == ()
    assert flagged("Wir haben Frau Weber die Rechnung geschickt.", "Rechnung") == ["Weber"]
    assert checkable("患者は東京の病院に行きました。") == ()


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("A lesion at C6-7.", "at C six seven"),
        ("Order AB-1234 is late.", "where is ab1234?"),
        ("Version 2.14.1 has it.", "I have 2.14.1"),
        ("Write to help@acme.example.", "mail HELP@acme.example please"),
        ("See https://acme.example/faq.", "https://acme.example/faq"),
        ("Call 555 010 2233.", "five five five zero one zero two two three three"),
    ],
)
def test_a_code_stands_there_however_it_is_parted(answer: str, source: str) -> None:
    assert [span.kind for span in checkable(answer)] == ["code"]
    assert flagged(answer, source) == []


@pytest.mark.parametrize(
    ("answer", "source", "wrong"),
    [
        ("Order AB-1243 is late.", "order AB-1234", "AB-1243"),
        ("Write to help@acme.example.", "help@acne.example", "help@acme.example"),
        ("Version 2.14.2 has it.", "I have 2.14.1", "2.14.2"),
        ("Call 555 010 2234.", "555-010-2233", "555 010 2234"),
    ],
)
def test_another_code_is_flagged(answer: str, source: str, wrong: str) -> None:
    assert flagged(answer, source) == [wrong]


@pytest.mark.parametrize("marks", ["“%s”", '"%s"', "„%s“", "«%s»", "‘%s’", "'%s'", "「%s」"])
def test_a_quotation_in_any_marks_must_be_what_was_said(marks: str) -> None:
    said = "My legs suddenly gave out, and I fell."
    assert flagged(f"She says {marks % 'legs suddenly gave out'}.", said) == []
    assert flagged(f"She says {marks % 'my legs … I fell'}.", said) == []
    assert flagged(f"She says {marks % 'legs slowly gave out'}.", said) == ["legs slowly gave out"]


def test_parts_do_not_overlap_and_stand_where_they_say() -> None:
    answer = 'On 3 May 2024 Ms. Weber paid $20 for AB-12 and wrote "send 3 to Bonn".'
    spans = checkable(answer)
    assert [span.kind for span in spans] == ["date", "name", "quantity", "code", "quotation"]
    assert all(answer[span.start : span.end] == span.text for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))


PIECES = """
5 0.5 1,500 12 1993 03/04/2024 7/93 120/80 10:30 ½ ٣ 三十五 五 mg mL weeks % $ € year-old two twenty
nineteen hundred and a half point O o'clock third May July March Monday PM pm Ms. Dr. Weber Lyrica
O2 C6-7 AB-12 v2.1.3 a@b.example www.x.example (555) 010-2233 #30 He said “ ” " ' . , : ; - – / 1.
2) x Иван Ивану Νίκο 東京 der und ist
"""


@given(st.lists(st.sampled_from(PIECES.split()), max_size=12).map(" ".join))
def test_a_text_adds_nothing_to_itself(text: str) -> None:
    assert ungrounded(text, [text]) == ()


@given(st.text(max_size=60))
def test_every_text_can_be_looked_at(text: str) -> None:
    assert ungrounded(text, [text]) == ()


def test_marks_stand_around_the_flagged_part() -> None:
    answer = "Take 5 of 20."
    assert marked(answer, ungrounded(answer, ["five"]), opening="[", closing="]") == (
        "Take 5 of [20]."
    )


def test_a_model_that_loops_in_chinese_numerals_stops_no_measurement() -> None:
    """More digits than Python makes an int of."""
    assert checkable("一" * 5_000) and ungrounded("一" * 5_000, ["二"])
    assert not ungrounded("二〇二四年", ["in 2024"])
