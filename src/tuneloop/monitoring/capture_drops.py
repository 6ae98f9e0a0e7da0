"""Captures that a gateway had to drop: an alert while it lasts, and for a while after.

The gateways' counters go in, what there is to say of them comes out. A word that could not be said,
because the records are on the same full disk, is said later: the caller goes on with the spell that
it had, and the counters have not forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tuneloop.monitoring.measurement import Measurement

MONITOR = "capture_drops"
QUIET = timedelta(minutes=10)
"""Without a drop for so long, it is over."""
REPEAT = timedelta(minutes=1)
"""While it lasts the alert is not moved more often."""


@dataclass(frozen=True, kw_only=True)
class Spell:
    """What is known of an endpoint's drops."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """Reason → interactions dropped since the gateways were started, when last spoken of."""
    before: Mapping[str, int] = field(default_factory=dict)
    """The same before this spell."""
    since: datetime | None = None
    """When the first drop of this spell was seen; None while nothing is dropped."""
    spoke_at: datetime
    """When there was last something to say; at first, when the watch began."""
    over: bool = False
    """Whether it has been said that nothing is dropped."""


def look(
    spell: Spell, counts: Mapping[str, int], now: datetime, *, where: str
) -> tuple[Spell, Measurement | None]:
    """The spell after a look at the counters, and what to say if there is something.

    `where` tells people which disk it is about.
    """
    if sum(counts.values()) > sum(spell.counts.values()):
        if spell.since is not None and now - spell.spoke_at < REPEAT:
            return spell, None
        since = spell.since or now
        after = replace(spell, counts=dict(counts), since=since, spoke_at=now, over=False)
        return after, _measured(after, now, where)
    if spell.over or now - spell.spoke_at < QUIET:
        return spell, None
    after = Spell(counts=dict(counts), before=dict(counts), spoke_at=now, over=True)
    return after, _measured(after, now, where)


def _measured(spell: Spell, now: datetime, where: str) -> Measurement:
    new = {
        reason: count - spell.before.get(reason, 0)
        for reason, count in sorted(spell.counts.items())
        if count > spell.before.get(reason, 0)
    }
    total = sum(new.values())
    since = spell.since or now - QUIET
    message = f"no interaction dropped since {since:%Y-%m-%d %H:%M} UTC"
    if total:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in new.items())
        message = (
            f"{total} interaction{'s' if total > 1 else ''} not captured since "
            f"{since:%Y-%m-%d %H:%M} UTC ({reasons}). {where}"
        )
    return Measurement(
        monitor=MONITOR,
        window_start=since,
        window_end=now,
        value=float(total),
        low=None,
        high=None,
        n=total,
        verdict="alert" if total else "ok",
        message=message,
    )
