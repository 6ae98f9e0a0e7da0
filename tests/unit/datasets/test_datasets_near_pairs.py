"""The search for like texts: nothing that is alike is missed, whatever the script and the order."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from rapidfuzz import fuzz

from tuneloop.datasets.likeness import Likeness, compare

WORDS = {
    "latin": "invoice parcel battery wall password winter garden engine letter mountain river",
    "cyrillic": "счёт посылка батарея стена пароль зима сад двигатель письмо гора река серебро",
    "chinese": "发 票 包 裹 电 池 墙 壁 密 码 冬 天 花 园 发 动 机 信 件 高 山 河 流 白 银 退 款",
    "hindi": "चालान पार्सल बैटरी दीवार पासवर्ड सर्दी बगीचा इंजन पत्र पहाड़ नदी चाँदी",
}
SCRIPTS = {script: words.split() for script, words in WORDS.items()}


def texts(script: str, draw: random.Random, count: int = 150) -> list[str]:
    """Texts of every length, and some of them with a change or two."""
    between = "" if script == "chinese" else " "
    made = [
        between.join(draw.choice(SCRIPTS[script]) for _ in range(draw.randrange(1, 25)))
        for _ in range(count)
    ]
    for text in made[: count // 2]:
        at = draw.randrange(len(text))
        made.append(draw.choice((text[:at] + text[at + 1 :], text + between + made[0][:3])))
    draw.shuffle(made)
    return list(dict.fromkeys(made))


def pairs(found: Likeness) -> dict[tuple[int, int], float]:
    return {
        (row, other): similarity
        for row in range(len(found.text_of))
        for other, similarity in found.neighbours(row)
        if row < other
    }


def by_hand(texts: list[str], similarity: float) -> dict[tuple[int, int], float]:
    """Every text against every other."""
    found = {}
    for one, other in combinations(range(len(texts)), 2):
        long = min(len(texts[one]), len(texts[other])) >= 200
        least = similarity - (0.1 if long else 0.0)
        ratio = fuzz.ratio(texts[one], texts[other], score_cutoff=least * 100)
        if ratio:
            found[one, other] = ratio / 100
    return found


@pytest.mark.parametrize("similarity", [0.85, 0.9, 0.95])
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_finds_what_comparing_all_with_all_finds(script: str, similarity: float) -> None:
    made = texts(script, random.Random(script))
    expected = by_hand(made, similarity)
    assert len(expected) > 15
    assert pairs(compare(made, similarity=similarity)) == pytest.approx(expected)


def test_some_of_the_texts_are_alike_as_they_were_among_all() -> None:
    draw = random.Random(3)
    made = [text for script in SCRIPTS for text in texts(script, draw)]
    all_of_them = compare(made, similarity=0.9)
    some = draw.sample(made, len(made) // 2)
    again = compare(some, similarity=0.9, known=all_of_them.search)
    assert pairs(again) == pairs(compare(some, similarity=0.9))
    assert len(pairs(again)) > 5


def test_a_search_among_other_texts_is_no_help() -> None:
    """Also where the texts had a frame that only some of them share."""
    draw = random.Random(4)
    made = texts("latin", draw)
    framed = [f"please answer this question of ours: {text}" for text in made]
    known = compare(framed, similarity=0.9).search
    apart = [*framed[:20], *made[20:]]
    assert pairs(compare(apart, similarity=0.9, known=known)) == pairs(
        compare(apart, similarity=0.9)
    )
    assert pairs(compare(made, similarity=0.85, known=known)) == pairs(
        compare(made, similarity=0.85)
    )


def test_the_first_of_a_family_is_alike_to_all_that_follow() -> None:
    """However large a family is: its first text is the one that stays for the others."""
    draw = random.Random(5)
    story = " ".join(draw.choice(SCRIPTS["latin"]) for _ in range(60))
    family = [f"{story} {number}" for number in range(90)]
    others = [
        " ".join(draw.choice(SCRIPTS["latin"]) for _ in range(40)) + f" {number}"
        for number in range(3_000)
    ]
    found = compare([*family, *others], similarity=0.9)
    assert found.templates == ()
    assert set(range(1, 90)) <= found.alike[0].keys()


@pytest.mark.parametrize("made", [[], ["one"], ["", "a"], ["a", "ab", "abc", ""]])
def test_hardly_any_text_is_no_trouble(made: list[str]) -> None:
    assert pairs(compare(made, similarity=0.9)) == {}
