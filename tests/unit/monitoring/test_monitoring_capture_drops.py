"""When dropped captures are spoken of, and when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tuneloop.monitoring.alerts import change
from tuneloop.monitoring.capture_drops import QUIET, REPEAT, Spell, look

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Watch:
    """Looks at counters as time goes by and keeps the spell that a caller keeps."""

    def __init__(self) -> None:
        self.now = START
        self.spell = Spell(spoke_at=START)

    def sees(self, *, after: timedelta, recorded: bool = True, **counts: int) -> str | None:
        self.now += after
        spell, said = look(self.spell, counts, self.now, where="Disk D is full.")
        if recorded:
            self.spell = spell
        return said and f"{said.verdict}: {said.message}"


def test_drops_are_told_with_number_reason_and_beginning_until_they_stop() -> None:
    watch = Watch()
    assert watch.sees(after=SECOND) is None
    assert watch.sees(after=SECOND, disk_full=3, disk_error=1) == (
        "alert: 4 interactions not captured since 2026-03-02 09:00 UTC "
        "(disk_error: 1, disk_full: 3). Disk D is full."
    )
    assert watch.sees(after=SECOND, disk_full=9, disk_error=1) is None  # not with every look
    assert "10 interactions" in str(watch.sees(after=REPEAT, disk_full=9, disk_error=1))
    assert watch.sees(after=QUIET - SECOND, disk_full=9, disk_error=1) is None
    assert str(watch.sees(after=SECOND, disk_full=9, disk_error=1)).startswith("ok: no interaction")
    assert watch.sees(after=QUIET, disk_full=9, disk_error=1) is None  # said once

    again = str(watch.sees(after=SECOND, disk_full=10, disk_error=1))
    assert "1 interaction not captured since 2026-03-02 09:21 UTC (disk_full: 1)" in again


def test_a_word_that_could_not_be_recorded_is_said_again_with_what_came_since() -> None:
    watch = Watch()
    first = watch.sees(after=SECOND, recorded=False, disk_full=3)
    assert "3 interactions" in str(first)
    assert "5 interactions" in str(watch.sees(after=SECOND, disk_full=5))


def test_an_alert_of_an_earlier_run_is_resolved_when_this_one_stays_quiet() -> None:
    spell, said = look(Spell(spoke_at=START), {}, START + QUIET, where="")
    assert spell.over
    assert said is not None
    assert change(said, unresolved=True) == "resolved"
    assert change(said, unresolved=False) is None
