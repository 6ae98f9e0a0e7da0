"""New rows in the sources: when they are a reason for a cycle, and when a person must look at them.

Pure rules on what `datasets.source_watch` found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from tuneloop.datasets.source_watch import SourcesNow, SourceState
from tuneloop.modelfile import TriggerSettings
from tuneloop.monitoring.measurement import Measurement
from tuneloop.retraining.trigger_rules import Finding

RULE = "new_data"
"""Name of the rule, and of the alert on files that do not fit."""
_SHOWN = 3


def finding(now: SourcesNow | None, settings: TriggerSettings) -> Finding:
    """Whether the sources bring enough that is new; None: there is no version to hold them against.

    A file that is being written, or does not fit, brings nothing yet.
    """
    if now is None:
        return Finding(
            rule=RULE, state="unknown", message="new data: no dataset version to compare with"
        )
    learnable, needed = now.learnable, rows_needed(now.rows, settings)
    message = f"new data: {_told(now)}"
    if learnable:
        message += (
            f"; {learnable:,} of {now.rows + _added(now):,} rows would be new, {needed:,} make a "
            "cycle worth its time"
        )
    if learnable >= needed:
        return Finding(rule=RULE, state="fired", message=message)
    unknown = any(source.state == "not reached" for source in now.sources)
    return Finding(
        rule=RULE,
        state="unknown" if unknown else "quiet",
        message=message,
        needs=f"{needed - learnable:,} more new rows in data.sources",
    )


def rows_needed(rows: int, settings: TriggerSettings) -> int:
    """How many rows must be new beside a version of so many."""
    return max(settings.minimum_new_rows, math.ceil(settings.minimum_new_share * rows))


def unfit(now: SourcesNow) -> tuple[SourceState, ...]:
    """The files that a person must look at: unreadable ones, and those that do not fit."""
    return tuple(
        source
        for source in now.news
        if source.arrival and source.arrival.fit in ("does not fit", "cannot be read")
    )


def material(now: SourcesNow | None) -> tuple[str, ...]:
    """Names of the files that there is something to learn from."""
    if now is None:
        return ()
    return tuple(s.name for s in now.news if s.arrival and s.arrival.fit == "fits")


def measured(now: SourcesNow, at: datetime) -> Measurement:
    """What the alert on files that do not fit moves by."""
    bad = unfit(now)
    told = "; ".join(map(tell, bad[:_SHOWN])) + _more(bad)
    message = f"{told}. Mend or move them: tuneloop data sources" if bad else "every source fits"
    return Measurement(
        monitor=RULE,
        window_start=at,
        window_end=at,
        value=float(len(bad)),
        low=None,
        high=None,
        n=len(now.sources),
        verdict="alert" if bad else "ok",
        message=message,
    )


def tell(source: SourceState) -> str:
    """One source, in one sentence with its numbers."""
    if source.state == "gone":
        return f"{source.name} is gone ({source.rows_before:,} rows)"
    if source.arrival is None:
        return f"{source.name} {_STATES[source.state]}"
    unfit = "" if source.arrival.fit in ("fits", "nothing new") else f" and {source.arrival.fit}"
    return f"{source.name} is {source.state}{unfit}: {source.arrival}"


_STATES = {
    "same": "is the same",
    "being written": "is being written: it is read once it stays as it is",
    "not reached": "could not be reached",
}


def _told(now: SourcesNow) -> str:
    """The sources that there is something to say of."""
    worth = [source for source in now.sources if source.state != "same"]
    if not worth:
        return f"nothing in the sources changed since {now.against}"
    return "; ".join(map(tell, worth[:_SHOWN])) + _more(worth)


def _more(sources: Sequence[SourceState]) -> str:
    more = len(sources) - _SHOWN
    return f"; {more} more files" if more > 0 else ""


def _added(now: SourcesNow) -> int:
    """Rows that there would be more than now: what is corrected takes the place of another."""
    keys: set[str] = set()
    gone = 0
    for source in now.news:
        if source.arrival and source.arrival.fit == "fits":
            keys |= set(source.arrival.new)
            gone += source.arrival.gone
    return max(0, len(keys) - gone)
