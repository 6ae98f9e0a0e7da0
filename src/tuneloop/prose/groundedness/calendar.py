"""Months and days of the week by name, in eight languages and their common short forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_MONTHS = (
    "january jan januar januari janvier enero ene gennaio gen janeiro январь января",
    "february feb februar februari février févr fevrier febrero febbraio fevereiro fev февраль "
    "февраля",
    "march mar märz mrz maart mars marzo março март марта",
    "april apr avril avr abril abr aprile апрель апреля",
    "may mai mei mayo maggio mag maio май мая",
    "june jun juni juin junio giugno giu junho июнь июня",
    "july jul juli juillet juil julio luglio lug julho июль июля",
    "august aug augustus août aout agosto август августа",
    "september sep sept septembre septiembre settembre setembro сентябрь сентября",
    "october oct oktober okt octobre octubre ottobre outubro октябрь октября",
    "november nov novembre noviembre novembro ноябрь ноября",
    "december dec dezember dez décembre déc decembre diciembre dic dicembre dezembro декабрь "
    "декабря",
)
_WEEKDAYS = (
    "monday montag maandag lundi lunes lunedì segunda-feira понедельник",
    "tuesday dienstag dinsdag mardi martes martedì terça-feira вторник",
    "wednesday mittwoch woensdag mercredi miércoles mercoledì quarta-feira среда среду",
    "thursday donnerstag donderdag jeudi jueves giovedì quinta-feira четверг",
    "friday freitag vrijdag vendredi viernes venerdì sexta-feira пятница пятницу",
    "saturday samstag sonnabend zaterdag samedi sábado sabato суббота субботу",
    "sunday sonntag zondag dimanche domingo domenica воскресенье",
)
BY_CAPITAL_ONLY = frozenset((
    "may", "march", "mar", "mars", "gen", "mag", "lug", "dec", "dic", "mai", "avr", "lunes",
    "martes",
))  # fmt: skip
"""Months that are other words too: alone they count where they have a capital letter."""


def _numbered(rows: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for number, row in enumerate(rows, start=1):
        yield from ((name, number) for name in row.split())


MONTHS: Mapping[str, int] = dict(_numbered(_MONTHS))
"""Name in lower case → 1 to 12."""
WEEKDAYS: Mapping[str, int] = dict(_numbered(_WEEKDAYS))
"""Name in lower case → 1 (Monday) to 7."""
