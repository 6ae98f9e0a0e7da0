"""Quantities: a number with its unit, as a value of one dimension, so that 0.5 g is 500 mg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_NAMES = "|".join(map(regex.escape, sorted(_BY_NAME, key=len, reverse=True)))
_BEHIND = regex.compile(
    rf"[ \u00a0\u202f\-‑]?({_NAMES})(?![\p{{L}}\p{{M}}\p{{Nd}}])", regex.IGNORECASE
)
_BEFORE = regex.compile(r"(US\$|[$€£¥]|(?<!\p{L})(?:USD|EUR|GBP|JPY))[ \u00a0]?$")
_ONE = regex.compile(
    rf"(?<!\p{{L}})(?:an?|per|one|every|eine?[mnrs]?|une?|una|uno)[ -]"
    rf"({_NAMES})(?![\p{{L}}\p{{M}}])",
    regex.IGNORECASE,
)


_DECADES = frozenset(map(float, (*range(10, 100, 10), *range(1800, 2100, 10))))
"""Numbers that have an s behind them as the name of ten years: 80s, 1990s."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number with its unit where it stands."""

    number: Number
    amounts: frozenset[tuple[str, float]]
    """(dimension, value in its base unit) that may be meant"""
    start: int
    end: int


def quantity_at(text: str, number: Number) -> Quantity | None:
    """The quantity that a number begins or ends, if it has a unit."""
    start, end = number.start, number.end
    behind = _BEHIND.match(text, end)
    if behind and behind[0] == "s" and number.values & _DECADES:
        return None
    if behind and (len(behind[1]) > 1 or not behind[1].isupper() or behind[1] in "LVW"):
        units, end = _BY_NAME[behind[1].lower()], behind.end()
    elif before := _BEFORE.search(text[max(0, start - 4) : start]):
        units, start = _BY_NAME[before[1].lower()], start - len(before[0])
    else:
        return None
    amounts = frozenset(
        (dimension, exact(value * factor)) for dimension, factor in units for value in number.values
    )
    return Quantity(number=number, amounts=amounts, start=start, end=end)


def amounts_of(text: str, numbers: Sequence[Number]) -> tuple[set[tuple[str, float]], set[float]]:
    """All amounts in texts, and the numbers that have no unit there."""
    amounts: set[tuple[str, float]] = set()
    bare: set[float] = set()
    for number in numbers:
        quantity = quantity_at(text, number)
        if quantity is None:
            bare |= number.looked_up
        else:
            amounts |= quantity.amounts
    amounts |= set(_single(text))
    return amounts, bare


def _single(text: str) -> Iterator[tuple[str, float]]:
    """`a week` is one week."""
    for match in _ONE.finditer(text):
        yield from ((dimension, exact(factor)) for dimension, factor in _BY_NAME[match[1].lower()])
