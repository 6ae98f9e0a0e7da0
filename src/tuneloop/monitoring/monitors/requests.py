"""Monitors of whether anybody asks, and whether the gateways let them: every hour, of the endpoint.

They look at what came to the endpoint whichever bundle answered, hour by hour, and not at the
window's answers.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from datetime import timedelta

from tuneloop.monitoring import refused, silence
from tuneloop.monitoring.measurement import (
    Limit,
    Measurement,
    measured,
    not_enough_data,
    not_measured,
    show,
)
from tuneloop.monitoring.monitors.tally import Tally
from tuneloop.monitoring.requests import Requests
from tuneloop.monitoring.sketches import Sketch
from tuneloop.monitoring.window import Batch, Window

_NAMED = 3
_QUIET_GATEWAY = timedelta(minutes=15)
"""Without an account for so long, a gateway is down: they come every five minutes."""


class OfRequests(Tally):
    """A monitor that asks for the endpoint's hours when it measures, and takes in no answers."""

    reads_window = False

    def add(self, batch: Batch) -> None:
        """Nothing: what it looks at is counted where it lies."""

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return ()

    def measure(self, window: Window) -> Measurement:
        requests = self._subject.requests()
        if requests.stopped_at is not None:
            stopped = f"{requests.stopped_at:%Y-%m-%d %H:%M} UTC"
            return not_measured(self.name, window, f"the gateway was stopped on purpose, {stopped}")
        return self._judged(requests, window)

    @abstractmethod
    def _judged(self, requests: Requests, window: Window) -> Measurement:
        """What the hours say, while the gateways are meant to run."""


class Silence(OfRequests):
    """Requests of the last hours as a share of the usual ones; see `monitoring.silence`."""

    name = "silence"

    def _judged(self, requests: Requests, window: Window) -> Measurement:
        limit = Limit(threshold=self._settings.silent_below, unit="share", side="below")
        found = silence.look(requests, below=limit.threshold, level=window.level)
        if found is None:
            return dataclasses.replace(
                not_enough_data(self.name, window, None, minimum=1, limit=limit),
                message="not enough data: it takes two earlier weeks, and so many requests in "
                "them that none at all could not be chance",
            )
        one = found.told
        message = (
            f"{one.seen} requests in the last {_hours(one.hours)}, usual at this time of the week: "
            f"{one.usual:.0f} ({show(one.share, 'share')}, {limit.relation(one.share)} "
            f"{show(limit.threshold, 'share')}; {one.weeks} weeks)"
        )
        if found.silent:
            message += f"; {_gateway(requests)}"
        return measured(
            self.name,
            _of(window, one.hours),
            one.figure,
            verdict="alert" if found.silent else "ok",
            message=message,
            limit=limit,
            detail={
                "hours": one.hours,
                "seen": one.seen,
                "usual": round(one.usual, 2),
                "weeks": one.weeks,
                "chance": one.chance,
            },
        )


class Refused(OfRequests):
    """Share of all requests that the gateways refused before they reached any endpoint: a key that
    is none, too much at a time, a body that is too large or cannot be read, no such model."""

    name = "refused"

    def _judged(self, requests: Requests, window: Window) -> Measurement:
        margin, minimum = self._settings.share_shift, self._settings.minimum_samples
        found = refused.look(requests, margin=margin, fewest=minimum, level=window.level)
        if found is None:
            return dataclasses.replace(
                not_enough_data(self.name, window, None, minimum=minimum),
                message=f"not enough data: it takes {refused.FEWEST_DAYS} earlier days with "
                f"requests, and {minimum} in the last one",
            )
        one = found.told
        limit = Limit(threshold=one.usual + margin, unit="share", side="above", best=one.usual)
        share = one.figure.value
        why = ", ".join(f"{reason} {count}" for reason, count in one.reasons.most_common(_NAMED))
        return measured(
            self.name,
            _of(window, one.hours),
            one.figure,
            verdict="alert" if found.flooded else "ok",
            message=(
                f"{one.refused} of {one.requests} requests to this workspace were refused in the "
                f"last {_hours(one.hours)} ({show(share, 'share')}, usual: "
                f"{show(one.usual, 'share')}, {limit.relation(share)} "
                f"{show(limit.threshold, 'share')}){f': {why}' if why else ''}"
            ),
            limit=limit,
            detail={
                "hours": one.hours,
                "refused": one.refused,
                "reasons": dict(one.reasons.most_common()),
                "usual": one.usual,
                "correlation": one.correlation,
                "chance": one.chance,
            },
        )


def _of(window: Window, hours: int) -> Window:
    """The hours that a verdict is about."""
    return dataclasses.replace(window, start=window.end - timedelta(hours=hours))


def _hours(hours: int) -> str:
    return "hour" if hours == 1 else f"{hours} hours"


def _gateway(requests: Requests) -> str:
    """What the gateways say of themselves, which tells a fault here from one before it."""
    last = requests.last_account
    if last is None:
        return "no gateway of this version has said that it runs"
    if requests.until - last > _QUIET_GATEWAY:
        return f"no gateway has said since {last:%Y-%m-%d %H:%M} UTC that it runs"
    return "the gateway runs: look at what asks it"
