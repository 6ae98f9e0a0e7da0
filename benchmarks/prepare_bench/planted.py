"""Short messages to a shop, with planted near-duplicates and near-misses; the truth is known.

A copy is what a person types for the same request a second time: slips of the keyboard, filler,
small words that move, punctuation, capitals. A near-miss looks as alike and asks for something
else: `unlock` for `lock`, `not`, another article; its answer is another one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

COPY_SHARE = 0.10
NEAR_MISS_SHARE = 0.05

_WORDS = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text("utf-8"))
_NEIGHBOUR_KEYS = "qwertyuiop asdfghjkl zxcvbnm "
_BEFORE = (
    "hi there, hope you can help: ",
    "hi, ",
    "hello, ",
    "hey ",
    "please ",
    "so ",
    "well, ",
    "ok, ",
    "good morning, ",
    "um ",
)
_AFTER = (" please", " thanks", " thank you", "?", "??", " asap", " pls", "...", " :)", "!", " ok")
_SMALL = (
    (" the ", " my "), (" the ", " "), (" my ", " the "), (" a ", " the "), (" i am ", " im "),
    (" i would like ", " id like "), (" is ", " was "), (" it ", " this "), ("do i ", "can i "),
    ("because ", "cause "),
    ("how do i ", "how to "), ("could you ", "can you "), (" to ", " 2 "), ("since ", "as "),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """A message, its answer, and which request it is."""

    text: str
    intent: str
    article: str
    request: int
    """Rows of one request are near-duplicates, any others are not."""


def rows(count: int, *, seed: int = 0) -> list[Row]:
    """So many rows in random order; `COPY_SHARE` of them are copies."""
    draw = random.Random(seed)
    copies, misses = int(count * COPY_SHARE), int(count * NEAR_MISS_SHARE)
    made = list(_requests(count - copies - misses, draw))
    originals = draw.sample(range(len(made)), copies + misses)
    for original in originals[:copies]:
        made.append(replace(made[original], text=_copy(made[original].text, draw)))
    for number, original in enumerate(originals[copies:], len(made)):
        made.append(_near_miss(made[original], number, draw))
    draw.shuffle(made)
    return made


def _requests(count: int, draw: random.Random) -> Iterator[Row]:
    verbs = [(verb, intent) for intent, same in _WORDS["verbs"].items() for verb in same]
    pick = draw.choice
    seen: set[str] = set()
    while len(seen) < count:
        verb, intent = pick(verbs)
        article = pick(_WORDS["articles"])
        # Each leaves one of five details out, so that lengths vary and no two are alike by chance.
        details = [
            f"{pick(_WORDS['adjectives'])} ",
            f"{pick(_WORDS['colours'])} ",
            f" in {pick(_WORDS['places'])}",
        ]
        details += [f" {pick(_WORDS['times'])}", f" {pick(_WORDS['reasons'])}"]
        details[draw.randrange(5)] = ""
        first, second, place, time, reason = details
        text = f"{pick(_WORDS['ask'])} {verb} the {first}{second}{article}{place}{time}{reason}"
        if text not in seen:
            seen.add(text)
            yield Row(text=text, intent=intent, article=article, request=len(seen) - 1)


def _near_miss(row: Row, request: int, draw: random.Random) -> Row:
    """Another verb or another article: the letters are nearly the same, the answer is not."""
    for verb, opposite in _WORDS["opposites"].items():
        if f" {verb} the " in row.text:
            text = row.text.replace(f" {verb} the ", f" {opposite} the ", 1)
            intent = opposite.replace(" ", "_")
            return replace(row, text=text, intent=intent, request=request)
    article = draw.choice(
        [name for name in _WORDS["articles"] if len(name) <= 6 and name != row.article]
    )
    text = row.text.replace(row.article, article, 1)
    return replace(row, text=text, article=article, request=request)


def _copy(text: str, draw: random.Random) -> str:
    """One or two changes."""
    changed = text
    while changed == text:
        for change in draw.choices(_CHANGES, k=draw.choice((1, 1, 2))):
            changed = change(changed, draw)
    return changed


def _slip(text: str, draw: random.Random) -> str:
    """A letter that is dropped, doubled, hit beside its key, or swapped with the next."""
    at = draw.choice([i for i in range(len(text) - 1) if text[i : i + 2].isalpha()])
    letter = text[at]
    key = _NEIGHBOUR_KEYS.find(letter)
    beside = _NEIGHBOUR_KEYS[key + 1].strip() or letter
    piece = draw.choice((letter * 2, "", beside if key >= 0 else "", text[at + 1] + letter))
    skipped = 2 if len(piece) == 2 and piece != letter * 2 else 1
    return text[:at] + piece + text[at + skipped :]


def _two_slips(text: str, draw: random.Random) -> str:
    return _slip(_slip(text, draw), draw)


def _filler(text: str, draw: random.Random) -> str:
    if draw.random() < 0.5:
        return draw.choice(_BEFORE) + text
    return text + draw.choice(_AFTER)


def _small_words(text: str, draw: random.Random) -> str:
    fitting = [(old, new) for old, new in _SMALL if old in text]
    if not fitting:
        return text
    old, new = draw.choice(fitting)
    return text.replace(old, new, 1)


def _moved(text: str, draw: random.Random) -> str:
    """Two neighbouring words, one of them short, change places."""
    words = text.split(" ")
    places = [i for i in range(len(words) - 1) if min(len(words[i]), len(words[i + 1])) <= 4]
    if not places:
        return text
    at = draw.choice(places)
    words[at : at + 2] = words[at + 1], words[at]
    return " ".join(words)


def _punctuation(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    at = draw.randrange(len(words))
    words[at] += draw.choice((",", ",", " -", ".", ";"))
    return " ".join(words) + draw.choice(("", "?", ".", "!"))


def _capitals(text: str, draw: random.Random) -> str:
    return draw.choice((text.upper(), text.title(), text.capitalize()))


_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _slip, _slip, _two_slips, _filler, _small_words, _moved, _punctuation, _capitals,
)  # fmt: skip
