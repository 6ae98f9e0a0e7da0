"""One step of telling: queue what is new, send what is due, note what came of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tuneloop.errors import UsageError
from tuneloop.modelfile import AlertSettings
from tuneloop.monitoring.notifications import message, news, outbox, rules, sending
from tuneloop.monitoring.notifications.rules import Waiting, WaitingAlert, WaitingNotice
from tuneloop.monitoring.notifications.sending import Send
from tuneloop.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One message that was sent, or was to be."""

    channel: str
    """As it is shown."""
    alerts: tuple[str, ...]
    """Ids of the alerts that it tells of."""
    error: str | None
    """Why it was not delivered."""


def deliver_due(
    workspace: Workspace,
    settings: Mapping[str, AlertSettings],
    *,
    send: Send = sending.send,
    jitter: Callable[[], float] = random.random,
) -> list[Attempt]:
    """Tell people what is due of these models; to be called every few seconds.

    `settings` are those of each model; events and deliveries of other models are left alone. Any
    number of processes may do this at once: none sends what another is sending. An attempt blocks
    for as long as the service takes, which Apprise bounds by its time-outs. A failure is noted and
    tried again later; when the process is killed, what it was sending is sent again after the
    lease. `jitter` gives numbers in 0..1.

    Raises:
        StoreError: the records store fails; what was not noted as sent is sent again.
    """
    outbox.queue_new(workspace, settings)
    news.queue_new(workspace, settings)
    attempts = []
    while claim := outbox.claim(workspace, settings):
        error = send(claim.channel, message.compose(claim.told))
        if error is None:
            outbox.sent(workspace, claim)
        else:
            given_up = outbox.failed(
                workspace, claim, error=error, settings=settings, jitter=jitter()
            )
            _complain(claim, error, given_up=len(given_up))
        attempts.append(
            Attempt(
                channel=claim.told[0].channel,
                alerts=_alerts(claim.told),
                error=error,
            )
        )
    return attempts


def try_channels(
    model: str, settings: AlertSettings, *, send: Send = sending.send
) -> list[Attempt]:
    """Send a test message to every channel, whatever hour it is."""
    return [
        Attempt(channel=name, alerts=(), error=send(channel.url, message.trial(model)))
        for name, channel in rules.channels(settings).items()
    ]


def send_trial(
    workspace: Workspace,
    model: str,
    settings: AlertSettings,
    *,
    actor: str,
    send: Send = sending.send,
) -> list[Attempt]:
    """`try_channels`, kept among the deliveries.

    Raises:
        UsageError: the model file names no channel.
    """
    attempts = try_channels(model, settings, send=send)
    if not attempts:
        raise UsageError("The model file names no channel.", remedy=rules.NAME_ONE)
    errors = {attempt.channel: attempt.error for attempt in attempts}
    news.record_trial(workspace, model, errors, actor=actor)
    return attempts


def _alerts(told: Sequence[Waiting]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(delivery.alert for delivery in told if isinstance(delivery, WaitingAlert))
    )


def _notices(told: Sequence[Waiting]) -> tuple[str, ...]:
    return tuple(delivery.title for delivery in told if isinstance(delivery, WaitingNotice))


def _complain(claim: outbox.Claim, error: str, *, given_up: int) -> None:
    fields = {
        "channel": claim.told[0].channel,
        "alerts": _alerts(claim.told),
        "notices": _notices(claim.told),
    }
    if given_up:
        text = "%s: %d deliveries are given up: %s"
        _log.error(text, claim.told[0].channel, given_up, error, extra=fields)
    elif claim.told[0].attempts == 1:  # the others are in `tuneloop alert deliveries`
        text = "%s: not delivered: %s It is tried again."
        _log.warning(text, claim.told[0].channel, error, extra=fields)
