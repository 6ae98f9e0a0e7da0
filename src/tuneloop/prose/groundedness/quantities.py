"""Quantities: a number with its unit, as a value of one dimension, so that 0.5 g is 500 mg."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import regex

from tuneloop.prose.groundedness.numbers import Number, exact

_DAY = 86_400
_UNITS: Mapping[tuple[str, float], str] = {
    ("mass", 1e-6): "mcg µg μg ug microgram micrograms mikrogramm",
    ("mass", 1e-3): "mg milligram milligrams milligramm milligramme milligrammes miligramo "
    "miligramos milligrammo milligrammi мг",
    ("mass", 1): "g gr gram grams gramm gramme grammes gramo gramos grammo grammi grama gramas г",
    ("mass", 1e3): "kg kilo kilos kilogram kilograms kilogramm кг",
    ("mass", 453.59237): "lb lbs pound pounds",
    ("mass", 28.349523): "oz ounce ounces",
    ("volume", 1e-3): "ml cc milliliter milliliters millilitre millilitres мл",
    ("volume", 1e-2): "cl centiliter centilitre",
    ("volume", 1e-1): "dl deciliter decilitre",
    ("volume", 1): "l liter liters litre litres litro litros litri л",
    ("length", 1e-3): "mm millimeter millimeters millimetre millimetres мм",
    ("length", 1e-2): "cm centimeter centimeters centimetre centimetres zentimeter см",
    ("length", 1): "m meter meters metre metres mètre mètres metro metros metri м",
    ("length", 1e3): "km kilometer kilometers kilometre kilometres kilómetros км",
    ("length", 0.0254): "inch inches",
    ("length", 0.3048): "ft foot feet",
    ("length", 1609.344): "mile miles",
    ("time", 1): "s sec secs second seconds sekunde sekunden seconde secondes segundo segundos",
    ("time", 60): "min mins minute minutes minuten minuto minutos minuti минут минуты",
    ("time", 3600): "h hr hrs hour hours stunde stunden heure heures hora horas ora ore uur час "
    "часа часов",
    (
        "time",
        _DAY,
    ): "d day days tag tage tagen jour jours día días giorno giorni dia dias dag dagen "
    "день дня дней 天 日間",
    ("time", 7 * _DAY): "wk wks week weeks woche wochen semaine semaines semana semanas settimana "
    "settimane weken неделя недели недель 周 週間",
    ("months", 1): "month months monat monate monaten mois mes meses mese mesi mês maand maanden "
    "месяц месяца месяцев 个月 か月 ヶ月",
    (
        "months",
        12,
    ): "yr yrs year years jahr jahre jahren an ans année années año años anno anni ano "
    "anos jaar год года лет 年間",
    ("percent", 1): "% ٪ percent prozent pourcent pct",
    ("degrees", 1): "° °c °f degrees degree grad",
    ("usd", 1): "$ us$ usd dollar dollars dólares доллар долларов",
    ("eur", 1): "€ eur euro euros евро",
    ("gbp", 1): "£ gbp pound pounds",
    ("yen", 1): "¥ jpy yen 円",
    ("bytes", 1e3): "kb",
    ("bytes", 1e6): "mb megabyte megabytes",
    ("bytes", 1e9): "gb gigabyte gigabytes",
    ("bytes", 1e12): "tb terabyte terabytes",
    ("pressure", 1): "mmhg",
    ("power", 1): "w watt watts",
    ("power", 1e3): "kw kilowatt",
    ("energy", 1): "kwh",
    ("voltage", 1): "v volt volts",
    ("current", 1e-3): "mah",
}
_BY_NAME: dict[str, list[tuple[str, float]]] = {}
for _unit, _names in _UNITS.items():
    for _name in _names.split():
        _BY_NAME.setdefault(_name, []).append(_unit)
for _name in ("mcg", "mg", "kg", "ml", "mm", "cm", "mmhg"):  # as they are in what was dictated
    _BY_NAME[" ".join(_name)] = _BY_NAME[_name]
_NAMES = "|".join(map(regex.escape, sorted(_BY_NAME, key=len, reverse=True)))
_BEHIND = regex.compile(
    rf"[ \u00a0\u202f\-‑]?({_NAMES})(?![\p{{L}}\p{{M}}\p{{Nd}}]|\.\p{{L}}\.)", regex.IGNORECASE
)
_BEFORE = regex.compile(r"(US\$|[$€£¥]|(?<!\p{L})(?:USD|EUR|GBP|JPY))[ \u00a0]?$")
_ONE = regex.compile(
    rf"(?<!\p{{L}})(?:an?|per|one|every|eine?[mnrs]?|une?|una|uno)[ -]"
    rf"({_NAMES})(?![\p{{L}}\p{{M}}])",
    regex.IGNORECASE,
)


_RANGE = regex.compile(
    r"[ ,]*(?:to|or|and|bis|oder|à|ou|a|o|до|или|[-–~])[ ]*|, ", regex.IGNORECASE
)
"""What stands between two numbers that share a unit."""
_LASTING = frozenset(unit for unit in _UNITS if unit[0] == "time" or unit == ("months", 1))


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number with its unit where it stands."""

    number: Number
    amounts: frozenset[tuple[str, float]]
    """(dimension, value in its base unit) that may be meant"""
    start: int
    end: int
    may_go_without: bool
    """whether people leave its unit out: `seventy six` are years, and no months or days"""


def quantity_at(text: str, number: Number) -> Quantity | None:
    """The quantity that a number begins or ends, if it has a unit."""
    units = _units_of(text, number)
    if not units:
        return None
    behind = _BEHIND.match(text, number.end)
    before = None if behind else _BEFORE.search(text[max(0, number.start - 4) : number.start])
    return Quantity(
        number=number,
        amounts=_amounts(units, number.values),
        start=number.start - len(before[0]) if before else number.start,
        end=behind.end() if behind else number.end,
        may_go_without=not all(unit in _LASTING for unit in units),
    )


def _units_of(text: str, number: Number) -> Sequence[tuple[str, float]]:
    behind = _BEHIND.match(text, number.end)
    if behind and behind[0] == "s" and all(value % 10 == 0 for value in number.values):
        return ()  # 80s, 1990s and 150s are ranges
    if behind and (len(behind[1]) > 1 or not behind[1].isupper() or behind[1] in "LVW"):
        return _BY_NAME[behind[1].lower()]
    before = _BEFORE.search(text[max(0, number.start - 4) : number.start])
    return () if before is None else _BY_NAME[before[1].lower()]


def _amounts(
    units: Iterable[tuple[str, float]], values: Iterable[float]
) -> frozenset[tuple[str, float]]:
    values = tuple(values)
    return frozenset((name, exact(value * factor)) for name, factor in units for value in values)


def amounts_of(text: str, numbers: Sequence[Number]) -> tuple[set[tuple[str, float]], set[float]]:
    """All amounts in texts, and the numbers that have no unit there.

    In `five to seven days` both are days.
    """
    amounts: set[tuple[str, float]] = set()
    bare: set[float] = set()
    units: Sequence[tuple[str, float]] = ()
    following = len(text)
    for number in reversed(numbers):
        own = _units_of(text, number)
        if own or not _RANGE.fullmatch(text, number.end, max(number.end, following)):
            units = own
        following = number.start
        if units:
            amounts |= _amounts(units, number.looked_up)
        else:
            bare |= number.looked_up
    amounts |= set(_single(text))
    return amounts, bare


def _single(text: str) -> Iterator[tuple[str, float]]:
    """`a week` is one week."""
    for match in _ONE.finditer(text):
        yield from ((dimension, exact(factor)) for dimension, factor in _BY_NAME[match[1].lower()])
