"""Numbers in words: 0 to 99, hundreds and thousands of eight languages, as tables.

English has ordinals too, since dates are spoken so. Chinese and Japanese numerals are read where
they make a number (`三十五`). Words that are more often something else (`once` is eleven in
Spanish, `due` two in Italian) are read where a text is looked up, and not where it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

Phrase = tuple[str, ...]


def _list(words: str) -> list[str]:
    return words.split()


MORE_OFTEN_ELSE = frozenset(
    _list(
        "once due elf sei sept on dos tre otto nove neuf set cent cento mil mille six oh o "
        "second seconds quarter half couple pair both twice double single ein un uno cien sette "
        "четверти"
    )
)
"""Words that are looked up as numbers and never checked as numbers."""

CONNECTORS = frozenset(("and", "und", "et", "y", "e", "en", "и"))
POINTS = frozenset(("point", "komma", "virgule", "coma", "virgola", "vírgula", "запятая"))

_EN = _list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_EN_TENS = _list("twenty thirty forty fifty sixty seventy eighty ninety")
_EN_ORDINALS = _list(
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_EN_TEN_ORDINALS = [f"{tens[:-1]}ieth" for tens in _EN_TENS]
_DE = _list(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
)
_DE_TENS = _list("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_NL = _list(
    "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien "
    "zestien zeventien achttien negentien"
)
_NL_TENS = _list("twintig dertig veertig vijftig zestig zeventig tachtig negentig")
_FR = _list(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze "
    "seize dix-sept dix-huit dix-neuf"
)
_FR_TENS = {20: "vingt", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante"}
_ES = _list(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés "
    "veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
)
_ES_TENS = _list("treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_ES_HUNDREDS = _list(
    "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos "
    "novecientos"
)
_IT = _list(
    "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici "
    "quattordici quindici sedici diciassette diciotto diciannove"
)
_IT_TENS = _list("venti trenta quaranta cinquanta sessanta settanta ottanta novanta")
_PT = _list(
    "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze "
    "dezesseis dezessete dezoito dezenove"
)
_PT_TENS = _list("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa")
_PT_HUNDREDS = _list(
    "cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos"
)
_RU = _list(
    "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать "
    "тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать"
)
_RU_TENS = _list("двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто")
_RU_HUNDREDS = _list("сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот")
_OTHERS: Mapping[str, float] = {
    "oh": 0, "o": 0, "once": 1, "single": 1, "twice": 2, "double": 2, "couple": 2, "pair": 2,
    "both": 2, "dozen": 12, "dutzend": 12, "half": 0.5, "quarter": 0.25, "ein": 1, "eine": 1,
    "une": 1, "dos": 2, "deux": 2, "dreissig": 30, "cien": 100, "cem": 100, "две": 2, "одна": 1,
    "septante": 70, "nonante": 90, "fourty": 40, "nineth": 9, "noon": 12, "midday": 12,
    "midnight": 0, "zwo": 2, "duas": 2,
}  # fmt: skip
SCALES: Mapping[str, int] = {
    "hundred": 100, "hundreds": 100, "hundert": 100, "honderd": 100, "cent": 100, "cents": 100,
    "thousand": 1000, "thousands": 1000, "tausend": 1000, "duizend": 1000, "mille": 1000,
    "mil": 1000, "mila": 1000, "тысяча": 1000, "тысячи": 1000, "тысяч": 1000,
    "million": 10**6, "millions": 10**6, "millionen": 10**6, "miljoen": 10**6, "millón": 10**6,
    "millones": 10**6, "milione": 10**6, "milioni": 10**6, "milhão": 10**6, "milhões": 10**6,
    "миллион": 10**6, "миллиона": 10**6, "миллионов": 10**6, "billion": 10**9,
}  # fmt: skip
HAN = "〇零一二两兩三四五六七八九十百千万億亿"
_HAN_DIGITS = dict(zip("〇零一二三四五六七八九两兩", (0, 0, *range(1, 10), 2, 2), strict=True))
_HAN_SCALES = {"十": 10, "百": 100, "千": 1000}
_HAN_GROUPS = {"万": 10**4, "億": 10**8, "亿": 10**8}


@cache
def phrases() -> Mapping[str, tuple[tuple[Phrase, float], ...]]:
    """First word → the phrases that begin with it and their numbers, the longest first."""
    by_first: dict[str, dict[Phrase, float]] = {}
    for words, value in _all():
        phrase = tuple(words.replace("-", " ").split())
        by_first.setdefault(phrase[0], {}).setdefault(phrase, value)
    return {
        first: tuple(sorted(of.items(), key=lambda item: -len(item[0])))
        for first, of in by_first.items()
    }


@cache
def ordinals() -> frozenset[str]:
    """English words that number things and seldom count them."""
    return frozenset((*_EN_ORDINALS, *_EN_TEN_ORDINALS))


def of_han(text: str) -> float:
    """The number that Chinese numerals write: by place (`二〇二四`) or by scale (`三十五`)."""
    if not any(character in _HAN_SCALES or character in _HAN_GROUPS for character in text):
        # Of an answer that loops there may be more digits than an int is read from.
        return float("".join(str(_HAN_DIGITS[character]) for character in text))
    total = group = digit = 0
    for character in text:
        if character in _HAN_DIGITS:
            digit = _HAN_DIGITS[character]
        elif character in _HAN_SCALES:
            group += (digit or 1) * _HAN_SCALES[character]
            digit = 0
        else:
            total += (group + digit or 1) * _HAN_GROUPS[character]
            group = digit = 0
    return total + group + digit


def _all() -> Iterator[tuple[str, float]]:
    yield from _OTHERS.items()
    yield from ((f"{tens[:-1]}ies", 10 * place) for place, tens in enumerate(_EN_TENS, start=2))
    for low in (_EN, _EN_ORDINALS, _DE, _NL, _FR, _ES, _IT, _PT, _RU):
        yield from ((word, value) for value, word in enumerate(low))
    for tens in (_EN_TENS, _EN_TEN_ORDINALS, _DE_TENS, _NL_TENS, _IT_TENS, _PT_TENS, _RU_TENS):
        yield from ((word, 10 * place) for place, word in enumerate(tens, start=2))
    yield from ((word, 10 * place) for place, word in enumerate(_ES_TENS, start=3))
    for hundreds in (_ES_HUNDREDS, _PT_HUNDREDS, _RU_HUNDREDS):
        yield from ((word, 100 * place) for place, word in enumerate(hundreds, start=1))
    for place in range(2, 10):
        for unit in range(1, 10):
            yield from ((word, 10 * place + unit) for word in _compounds(place, unit))
    yield from _french()
    yield from _german_hundreds()


def _compounds(place: int, unit: int) -> Iterator[str]:
    yield f"{_EN_TENS[place - 2]} {_EN[unit]}"
    yield f"{_EN_TENS[place - 2]} {_EN_ORDINALS[unit]}"
    yield f"{'ein' if unit == 1 else _DE[unit]}und{_DE_TENS[place - 2]}"
    yield f"{_NL[unit]}{'ën' if unit in (2, 3) else 'en'}{_NL_TENS[place - 2]}"
    tens = _IT_TENS[place - 2]
    yield f"{tens[:-1] if unit in (1, 8) else tens}{'tré' if unit == 3 else _IT[unit]}"
    yield f"{_PT_TENS[place - 2]} e {_PT[unit]}"
    yield f"{_RU_TENS[place - 2]} {_RU[unit]}"
    if place > 2:
        yield f"{_ES_TENS[place - 3]} y {_ES[unit]}"


def _french() -> Iterator[tuple[str, float]]:
    yield "quatre-vingts", 80
    yield "quatre-vingt", 80
    for tens, word in _FR_TENS.items():
        yield word, tens
        for unit in range(1, 20 if tens == 60 else 10):
            yield f"{word} {'et ' if unit in (1, 11) else ''}{_FR[unit]}", tens + unit
    for unit in range(1, 20):
        yield f"quatre vingt {_FR[unit]}", 80 + unit


def _german_hundreds() -> Iterator[tuple[str, float]]:
    """`zweihundertfünfzig`, and years: `neunzehnhundertneunzig`."""
    below = ["", "eins", *_DE[2:]]
    for place, tens in enumerate(_DE_TENS, start=2):
        units = [tens, *(f"{'ein' if u == 1 else _DE[u]}und{tens}" for u in range(1, 10))]
        below[10 * place :] = units
    for hundreds in range(1, 20):
        if hundreds != 10:
            first = "ein" if hundreds == 1 else _DE[hundreds]
            for rest, word in enumerate(below):
                yield f"{first}hundert{word}", 100 * hundreds + rest
