"""Names: words with a capital that no rule of writing asks for.

The first word of a sentence, of a line or behind a colon has its capital anyhow, and a heading has
them all: they are not checked, nor are abbreviations (`CT`), which the sources may say in full.
German gives every noun a capital, so that in German only what follows a title (`Frau Dr. Weber`) is
checked. In scripts without capitals no name is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

import regex

_WORD = regex.compile(r"[\p{L}\p{M}]+(?:['’.&-][\p{L}\p{M}]+)*")
_CAPITAL = regex.compile(r"(?:\p{Lu}|\p{Ll}+\p{Lu})[\p{L}\p{M}]*(?:['’&.-][\p{L}\p{M}]+)*")
_PARTICLES = "de da di do dos das del della des du la le van von der den zu of al el bin ibn"
_RUN = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}\p{{Nd}}'’_@#/&.-])(?:{_CAPITAL.pattern})"
    rf"(?:(?:[ \u00a0]|[ ](?:{'|'.join(_PARTICLES.split())})[ ])(?:{_CAPITAL.pattern}))*"
)
_TITLES = frozenset((
    "dr", "mr", "mrs", "ms", "mx", "miss", "doctor", "prof", "professor", "sir", "madam", "herr",
    "frau", "mme", "mlle", "monsieur", "madame", "señor", "señora", "sr", "sra", "signor",
    "signora", "sig", "dott", "doña", "don", "г-н", "г-жа",
))  # fmt: skip
_NO_NAMES = frozenset((
    "i", "i'm", "i've", "i'll", "i'd", "ok", "am", "pm", "a", "an", "the", "he", "she", "it", "we",
    "you", "they", "this", "that", "these", "those", "his", "her", "its", "our", "your", "their",
    "my", "and", "but", "or", "if", "in", "on", "at", "to", "no", "not", "yes", "please", "thank",
    "thanks", "hello", "hi", "dear", "regards", "sie", "ihnen", "ihr", "ihre", "ihren", "вы", "вас",
    "вам", "ваш",
))  # fmt: skip
_GERMAN = frozenset((
    "der", "das", "und", "ist", "nicht", "ein", "eine", "einen", "mit", "auf", "für", "von", "dem",
    "sich", "wir", "sie", "ich", "ihr", "ihre", "werden", "wird", "bei", "bitte", "zu",
))  # fmt: skip
_LEAST_GERMAN_WORDS = 2
_GERMAN_SHARE = 0.2
_BEFORE_SENTENCE = ".!?:;…。\n|•·*>#–—"
_AROUND = " \t\u00a0\"'“”„«»‘’([{*_-"
_HEADING_SHARE = 0.7
_INFLECTED = regex.compile(r"[\p{Cyrillic}\p{Greek}ąćęłńśźżčďěňřšťůžőűğış]", regex.IGNORECASE)
_SHORTEST_STEM = 4
_ABBREVIATION_LETTERS = 5


def names_in(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each name."""
    german = _is_german(text)
    common = frozenset(word for word in _WORD.findall(text) if word.islower())
    headings = list(_headings(text))
    for run in _RUN.finditer(text):
        if text[run.end() : run.end() + 1] == ":" or any(
            start <= run.start() < end for start, end in headings
        ):
            continue
        words = [word for word in _capital_words(text, run) if word[0].lower() not in common]
        if words and _starts_sentence(text, run.start()) and not _has_inner_capital(words[0][0]):
            words = words[1:] if words[0][1] == run.start() else words
        if german:
            words = [word for word in words if _follows_title(text, word[1])]
        if words:
            yield words[0][1], words[-1][2]


def stand_there(name: str, known: Set[str], stems: Callable[[], Set[str]]) -> bool:
    """Whether every word of a name is known.

    `known` are the words of the sources in lower case, `stems` makes the beginnings of
    those that may be inflected.
    """
    words = (word[0] for word in _CAPITAL.finditer(name))
    return all(_is_known(word, known, stems) for word in words if not _is_no_name(word))


def words_of(text: str) -> frozenset[str]:
    """The words of a text in lower case, parts of those with a hyphen too."""
    return frozenset(
        part for word in _WORD.findall(text.lower()) for part in (_plain(word), *word.split("-"))
    )


def stems_of(words: Set[str]) -> frozenset[str]:
    """Beginnings of words that languages with endings inflect."""
    return frozenset(
        word[:length]
        for word in words
        for length in range(max(_SHORTEST_STEM, len(word) - 3), len(word) + 1)
    )


def _is_known(word: str, known: Set[str], stems: Callable[[], Set[str]]) -> bool:
    lower = _plain(word.lower())
    if lower in known or lower.rstrip("s") in known or f"{lower}s" in known:
        return True
    if "-" in lower and all(part in known for part in lower.split("-") if part):
        return True
    return (
        bool(_INFLECTED.search(lower)) and lower[: max(_SHORTEST_STEM, len(lower) - 2)] in stems()
    )


def _plain(word: str) -> str:
    return word.replace("’", "'").removesuffix("'s").replace(".", "").rstrip("'")


def _capital_words(text: str, run: regex.Match[str]) -> Iterator[tuple[str, int, int]]:
    """The words of a run that have a capital and are no titles: (word, start, end)."""
    for word in _CAPITAL.finditer(text, run.start(), run.end()):
        said = word[0].rstrip(".'’&-")
        if not _is_no_name(said):
            yield said, word.start(), word.start() + len(said)


def _is_no_name(word: str) -> bool:
    """Titles, and abbreviations: `CT` may stand for what the sources say in full."""
    plain = _plain(word)
    if plain.lower() in _TITLES or plain.lower() in _NO_NAMES or len(plain) < 2 or plain.isupper():
        return True
    if plain[1] == "-" or (plain[0].islower() and len(plain) < _ABBREVIATION_LETTERS):
        return True
    return len(plain) <= _ABBREVIATION_LETTERS and sum(map(str.isupper, plain)) > 1


def _starts_sentence(text: str, at: int) -> bool:
    at -= 1
    while at >= 0 and text[at] in _AROUND:
        at -= 1
    if at < 0 or (text[at] in _BEFORE_SENTENCE and not _is_title_point(text, at)):
        return True
    return text[at] == ")" or (text[at].isdecimal() and text[at + 1 : at + 2] in ").")


def _is_title_point(text: str, at: int) -> bool:
    word = regex.search(r"[\p{L}-]+$", text[max(0, at - 12) : at])
    return text[at] == "." and word is not None and word[0].lower() in _TITLES


def _follows_title(text: str, at: int) -> bool:
    before = regex.search(r"([\p{L}-]+)\.?\s$", text[max(0, at - 14) : at])
    return before is not None and before[1].lower() in _TITLES


def _headings(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the lines in which nearly every word has a capital."""
    at = 0
    for line in text.splitlines(keepends=True):
        words = [word for word in _WORD.findall(line) if len(word) > 3 or word.isupper()]
        capitals = sum(word[0].isupper() for word in words)
        if words and capitals >= _HEADING_SHARE * len(words) and line.rstrip()[-1:] not in ".!?":
            yield at, at + len(line)
        at += len(line)


def _is_german(text: str) -> bool:
    words = text.lower().split()
    known = {word for word in words if word in _GERMAN}
    return len(known) >= _LEAST_GERMAN_WORDS or len(known) > _GERMAN_SHARE * len(words)


def _has_inner_capital(word: str) -> bool:
    return word[:1].islower() and not word.islower()
