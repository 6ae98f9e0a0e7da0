"""The text of a message: what changed, the numbers, since when, where to look further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tuneloop.hashing import short
from tuneloop.monitoring.notifications.rules import Waiting, WaitingAlert

MOST_TOLD = 20
"""Alerts and notices in one message; of the rest it gives the number."""
_AGAIN = {"opened": "opened", "repeated": "still there", "reopened": "back", "resolved": "resolved"}


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a channel is sent."""

    title: str
    body: str


def compose(told: Sequence[Waiting]) -> Message:
    """One message of everything that a channel is told at once, model by model.

    Of an alert the newest event is told; when it opened stands there too.
    """
    told = list({_about(delivery): delivery for delivery in told}.values())
    models = list(dict.fromkeys(delivery.model for delivery in told))
    parts = []
    for model in models:
        its = [_paragraph(delivery) for delivery in told[:MOST_TOLD] if delivery.model == model]
        if its:
            parts.append("\n\n".join([f"Model {model}", *its]))
    if len(told) > MOST_TOLD:
        rest = told[MOST_TOLD:]
        where = (
            "list --all"
            if all(isinstance(delivery, WaitingAlert) for delivery in rest)
            else "deliveries"
        )
        parts.append(f"And {len(rest)} more. Look further: tuneloop alert {where}")
    return Message(title=_title(told, models), body="\n\n".join(parts))


def trial(model: str) -> Message:
    """What `tuneloop alert test` sends."""
    return Message(
        title=f"tuneloop: test from {model}",
        body=f"Messages about the model {model} reach this channel. Nothing is wrong.",
    )


def _about(delivery: Waiting) -> tuple[str, str | int]:
    """What it tells of: an alert, whose newest event is told; else itself."""
    return (
        ("alert", delivery.alert)
        if isinstance(delivery, WaitingAlert)
        else ("delivery", delivery.id)
    )


def _title(told: Sequence[Waiting], models: Sequence[str]) -> str:
    about = ", ".join(models) if len(models) <= 3 else f"{len(models)} models"
    if len(told) == 1:
        return f"tuneloop: {about}: {_headline(told[0])}"
    alerts = sum(isinstance(delivery, WaitingAlert) for delivery in told)
    counts = ((alerts, "alert"), (len(told) - alerts, "event"))
    counted = [f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n]
    return f"tuneloop: {about}: {', '.join(counted)}"


def _headline(delivery: Waiting) -> str:
    if isinstance(delivery, WaitingAlert):
        return f"{delivery.monitor} {_AGAIN[delivery.event]}"
    return delivery.title


def _paragraph(delivery: Waiting) -> str:
    if isinstance(delivery, WaitingAlert):
        return _of_alert(delivery)
    who = f"by {delivery.actor}, " if delivery.actor else ""
    return "\n".join(
        [delivery.title, f"{who}{_moment(delivery.at)}", *filter(None, [delivery.body])]
    )


def _of_alert(delivery: WaitingAlert) -> str:
    facts = [f"since {_moment(delivery.opened_at)}", f"seen {delivery.seen} ×"]
    if delivery.resolved_at is not None:
        facts.append(f"over since {_moment(delivery.resolved_at)}")
    if delivery.bundle is not None:
        facts.append(f"bundle {short(delivery.bundle)}")
    lines = [
        f"{delivery.monitor} {_AGAIN[delivery.event]}: {delivery.message}",
        f"alert {delivery.alert}, {', '.join(facts)}",
    ]
    if delivery.examples:
        lines.append("for example: " + " | ".join(delivery.examples))
    lines.append(f"look further: tuneloop alert show {delivery.alert}")
    return "\n".join(lines)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
