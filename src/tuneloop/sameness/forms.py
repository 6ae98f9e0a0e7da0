"""The two normal forms of a text.

**Strict**: what is typed differently and reads the same is the same.

- Typography: curly and other quotation marks, hyphens and minus signs, Arabic question marks and
  commas are the plain ones; ligatures, full-width letters and presentation forms their letters, `½`
  is ` 1/2`. Soft hyphens, direction marks and the choice of emoji or text presentation are nothing.
  Superscripts, subscripts, circled and squared numbers stay: `10²` is not `102`. The result is NFC.
- White space: a run of it is one space; none at the ends, before `?` and `!`, and between letters
  of scripts that are written without. `??` at a word's end is `?`.
- At the end a full stop of any script is nothing, nor a question mark behind words that ask anyhow
  (`where is it`, see `asking`).
- Case: a sentence's first word and `I` are in lower case, and so is a text all in capitals, or with
  a capital in each word. All other capitals stay: `Write to US` is not `Write to us`. One word of
  two to five capitals is an abbreviation: `US` is not `us`.

**Forgiving**: of the strict form all is dropped that a person who marks an answer would overlook.

- Case (Unicode case folding: `ß` is `ss`), and digits of other scripts are `0` to `9`.
- Quotation marks, emphasis and brackets around words, commas, colons and full stops behind them,
  exclamation marks behind letters, hyphens between letters; skin tones of emoji.

Both keep what a person would call different: other question marks, signs and operators (`-5`, `>=`,
`C#`), emoji, accents and vowel signs (`año` is not `ano`), dotless `ı`. No text of signs is empty.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import regex

from tuneloop.sameness.asking import asks_by_itself

_ABBREVIATION_LETTERS = (2, 5)
"""From and to: longer words in capitals are shouted, a single letter is a choice or a grade."""

_SPELLED = str.maketrans(
    dict.fromkeys("’‘‚‛′´ʼ‹›", "'")
    | dict.fromkeys("“”„‟″«»〝〞〟「」『』", '"')
    | dict.fromkeys("‐‑‒–−", "-")
    | dict.fromkeys("—―⸺⸻", " - ")
    | {"⁄": "/", "∕": "/", "؟": "?", "،": ",", "؛": ";", "٪": "%"}
    # What cannot be seen: soft hyphen, zero-width space, directions, byte order, presentation; and
    # the stroke that lengthens an Arabic word.
    | dict.fromkeys("\xad\u200b\u2060\ufeff\u061c\u200e\u200f\ufe0e\ufe0f\u0640")
    | dict.fromkeys(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
)
_KEPT_TYPES = ("<super>", "<sub>", "<circle>")
_WITHOUT_SPACES = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
_NEEDLESS_SPACE = re.compile(
    rf"(?:(?<=[{_WITHOUT_SPACES}])|(?<=[{_WITHOUT_SPACES}][,;:!?.])) (?=[{_WITHOUT_SPACES}])"
)
_STOPS = ".…。｡।॥۔։።။។།"
_GREEK_QUESTION = re.compile(rf"(?<=[\u0370-\u03ff\u1f00-\u1fff]);(?=[\s{_STOPS}]|$)")
_ENDS = f".!?:…{_STOPS}"
_AROUND = "\"'()[]*#>•¿¡-"
"""What stands between the end of a sentence and the first letter of the next."""
_CAPITAL_WORD = regex.compile(r"(?<![\w'])\p{Lu}[^\W\d_\p{Lu}]*(?!\w|\.\w)")
_ASCII_CAPITAL_WORD = re.compile(r"\b(?<!')[A-Z][a-z]*\b(?!\.\w)")
_BETWEEN_SENTENCES = re.compile(r"[.!?:…।] |。")
_ASKED = re.compile(r"(?<=[^\s?!]) ?([?!]+)(?=\s|$)")


def strict(text: str) -> str:
    """The form in which a text is the same however it is typed."""
    if not text.isascii():
        text = _plain(text)
    text = " ".join(_without_chance_capitals(text.strip()).split())
    text = text.rstrip(_STOPS + " ") or text
    if "?" in text or "!" in text:
        if text[-2:-1] == " " or text.count("?") + text.count("!") > 1 or text[-1] not in "?!":
            text = _ASKED.sub(lambda match: "".join(dict.fromkeys(match[1])), text)
        if text[-1] == "?":
            text = _without_needless_mark(text)
    return text if text.isascii() else _NEEDLESS_SPACE.sub("", text)


def forgiving(text: str) -> str:
    """The form in which two answers are the same to a person who marks them."""
    text = strict(text)
    # What is dropped can bring what it hid to the end: `"Paris."` is `Paris.` is `Paris`.
    while (looser := strict(_loosened(text))) != text:
        text = looser
    return text


def _plain(text: str) -> str:
    """One way of writing each sign."""
    text = unicodedata.normalize("NFC", text).translate(_SPELLED) or text
    if text.isascii():
        return text
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFC", "".join(map(_letters, text)))
    return _GREEK_QUESTION.sub("?", text)


@lru_cache(maxsize=4096)
def _letters(character: str) -> str:
    """What a compatibility character stands for, where it is no more than another shape of it."""
    plain = unicodedata.normalize("NFKC", character)
    kind = unicodedata.decomposition(character).split(" ")[0]
    if plain == character or kind in _KEPT_TYPES:
        return character
    if kind == "<fraction>":
        return " " + plain.replace("⁄", "/")  # 1½ is not 11/2
    number = len(plain) > 1 and any(map(str.isdecimal, plain))  # ⒈ and ㏠ are not 1. and 1日
    accent = len(plain) > 1 and plain[0] == " "  # ¨ is no space
    return character if number or accent else plain.translate(_SPELLED)


def _without_chance_capitals(text: str) -> str:
    if text.islower() or text == "":
        return text
    if text.isupper():
        return text if _is_abbreviation(text) else _lower(text)
    if text.replace("'", "").istitle():
        return _lower(text)
    words = _ASCII_CAPITAL_WORD if text.isascii() else _CAPITAL_WORD
    return words.sub(lambda match: _lower(match[0]) if _is_chance(text, match) else match[0], text)


def _without_needless_mark(text: str) -> str:
    *_, sentence = _BETWEEN_SENTENCES.split(text[:-1])
    if sentence[-1:] in ("?", "!") or not asks_by_itself(sentence):
        return text
    return text[:-1].rstrip(_STOPS + " ")


def _is_abbreviation(text: str) -> bool:
    least, most = _ABBREVIATION_LETTERS
    return len(text.split()) == 1 and least <= sum(map(str.isalpha, text)) <= most


def _is_chance(text: str, word: re.Match[str]) -> bool:
    """Whether a word would have its capital anyhow: the pronoun, and the first of a sentence, a
    line, a quotation or an item of a list."""
    if word[0] == "I" and text[word.end() : word.end() + 1] not in ("/", "&", "+", "#", "-"):
        return True
    at, spaced = word.start(), False
    while at > 0 and (text[at - 1] in _AROUND or text[at - 1].isspace()):
        at -= 1
        if text[at] == "\n":
            return True
        spaced = spaced or text[at].isspace()
    return at == 0 or (spaced and text[at - 1] in _ENDS)


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else text.replace("İ", "i").lower()


_WORDY = r"[^\x00-@\[-`{-\x7f]"
"""Letters and marks, told by what they are not: quicker than all ranges of them."""
_FRAMED = re.compile(
    rf"""(?<!{_WORDY})(?<![\d_])
    (?: (["'`]|\*\*?) (?=\S) ((?:(?!\1).)+) (?<=\S) \1
      | \( (?={_WORDY}) ([^()]+) (?<=\S) \) )
    (?!{_WORDY}|[\d_])""",
    re.X | re.S,
)
_OVERLOOKED = re.compile(
    rf"""(?<={_WORDY})!+(?=\s|$)
    |(?<=[^\s,;:.…、。।॥۔])[,;:.…、。।॥۔]+(?=\s|$)
    |(?<=[{_WITHOUT_SPACES}])[,;:、。]+(?=[{_WITHOUT_SPACES}])
    |[¿¡](?=\w)
    |(?<=\S)[\U0001F3FB-\U0001F3FF]
    """,
    re.X,
)
_HYPHEN = re.compile(rf"(?<={_WORDY})-(?={_WORDY})")
_DIGIT = re.compile(r"[^\W\D0-9]")


def _loosened(text: str) -> str:
    text = text.casefold()
    if not text.isascii():
        text = _DIGIT.sub(lambda match: str(int(match[0])), text)
    text = _FRAMED.sub(lambda match: match[2] or match[3], text)
    return _HYPHEN.sub(" ", _OVERLOOKED.sub("", text))
