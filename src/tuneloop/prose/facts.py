"""What a text states that a reader could check, by rules on the text alone.

| fact | is |
|---|---|
| number | a word that begins with a digit, with its unit or currency: `20 mg`, `€ 5`, `10:30` |
| code | a word of letters and digits, or of capitals: `AB-12`, `EKG` |
| name | a word with a capital within a sentence: `Kumar`, `July` |
| negation | a word that turns a statement round; all of them are one and the same fact |

A name that begins a sentence is not seen, and in German each noun counts as a name. Numbers written
in words are words. Negations are known in some 25 languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from tuneloop.sameness import spans

NEGATION = "negation"
"""The fact that any word of denial states, so that `don't` for `do not` changes none."""

_UNIT_WORDS = """
    % ‰ ° °c °f mg g kg µg μg mcg ng lb lbs oz ml l dl cl mm cm m km ft mi mmhg bpm mmol iu ie
    ms s sec secs second seconds min mins minute minutes h hr hrs hour hours day days week weeks
    month months year years kb mb gb tb kbit mbit gbit kb/s mb/s v w kw kwh mah hz khz mhz ghz
    percent usd eur gbp chf jpy dollar dollars euro euros cent cents pound pounds
    tag tage tagen woche wochen monat monate monaten jahr jahre jahren stunde stunden minuten
    prozent jour jours semaine semaines mois ans heure heures día días semana semanas mes meses
    año años
"""
_UNITS = frozenset(_UNIT_WORDS.split())
_NEGATION_WORDS = """
    not no never none nobody nothing neither nor without cannot
    nicht kein keine keinen keinem keiner keines nie niemals niemand nichts ohne weder
    ne pas jamais rien aucun aucune sans ni no nunca jamás sin ningún ninguno ninguna nada nadie
    tampoco non mai senza nessun nessuno nessuna niente nulla não nunca sem nenhum nenhuma ninguém
    niet geen nooit zonder niemand niets nie bez nigdy żaden żadna żadne nikt nic
    inte ikke ingen inget aldrig aldri utan uden uten ne nikdy žádný ei ilman eikä nem nincs soha
    fără niciodată не нет ни без никогда никто ничего нельзя ні немає нема ніколи değil yok hiç
    δεν δε μη μην όχι χωρίς ποτέ لا لم لن ليس بدون غير לא אין בלי אל नहीं मत बिना না নেই இல்லை
    không chưa tidak bukan tanpa 不 没 沒 无 無 未 非 别 別 勿
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_NEGATION_WITHIN = re.compile(r"ない|なかった|ません|なく|ไม่|않|못|없|아니")
"""Where words are not parted by spaces, or carry their negation as an ending."""
_CONTRACTED = ("n't", "n’t", "nʼt")
_ABBREVIATED = frozenset(
    ("dr", "mr", "mrs", "ms", "prof", "st", "sr", "jr", "hr", "fr", "dra", "sra", "vs")
)
"""A full stop behind them ends no sentence, and none is a name by itself."""
_ENDS = frozenset(".!?:…。！？।")
_NUMBER = regex.compile(r"[-+]?\p{N}")
_WITH_UNIT = regex.compile(r"([-+]?\p{N}+(?:[.,]\p{N}+)*)(\p{L}+|%)")
_CURRENCY = regex.compile(r"\p{Sc}")


def facts_of(text: str) -> list[str]:
    """The facts of a text as they stand there, those of a text without spaces behind the others."""
    shouted = text.isupper()
    words = [text[start:end] for start, end in spans(text)]
    found: list[str] = []
    for at, (word, begins) in enumerate(zip(words, _begins_sentence(text), strict=True)):
        if _NUMBER.match(word):
            found.append(_with_unit(words, at))
        elif word.lower() in _NEGATIONS or word.lower().endswith(_CONTRACTED):
            found.append(NEGATION)
        elif _is_unit(words, at) or shouted:
            continue
        elif _is_code(word) or (_is_name(word) and not begins):
            found.append(word)
    return found + [NEGATION] * len(_NEGATION_WITHIN.findall(text))


def _begins_sentence(text: str) -> Iterator[bool]:
    """Of each word or sign, whether it is the first word of a sentence or stands before that."""
    first, end, last = True, 0, ""
    for start, stop in spans(text):
        word = text[start:stop]
        first = first or "\n" in text[end:start]
        yield first
        if word in _ENDS:
            first = word != "." or last.lower() not in _ABBREVIATED
        elif word[0].isalnum():
            first = False
        end, last = stop, word


def _is_name(word: str) -> bool:
    plain = re.split("['’]", word)[0]
    return word[:1].isupper() and plain != "I" and plain.lower() not in _ABBREVIATED


def _is_code(word: str) -> bool:
    letters = sum(map(str.isalpha, word))
    return (letters > 1 and word.isupper()) or (letters > 0 and any(map(str.isdigit, word)))


def _is_unit(words: list[str], at: int) -> bool:
    """Whether it belongs to the number before it."""
    return words[at].lower() in _UNITS and at > 0 and _NUMBER.match(words[at - 1]) is not None


def _with_unit(words: list[str], at: int) -> str:
    """`20 mg` for `20 mg` and for `20mg`; a currency stands where it stood."""
    number = words[at]
    joined = _WITH_UNIT.fullmatch(number)
    if joined and joined[2].lower() in _UNITS:
        return f"{joined[1]} {joined[2]}"
    after = words[at + 1] if at + 1 < len(words) else ""
    if (after and _is_unit(words, at + 1)) or _CURRENCY.match(after):
        return f"{number} {after}"
    before = words[at - 1] if at else ""
    return f"{before} {number}" if _CURRENCY.match(before) else number
