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
    told = list({_about(one): one for one in told}.values())
    models = list(dict.fromkeys(one.model for one in told))
    parts = []
    for model in models:
        its = [_paragraph(one) for one in told[:MOST_TOLD] if one.model == model]
        if its:
            parts.append("\n\n".join([f"Model {model}", *its]))
    if len(told) > MOST_TOLD:
        rest = told[MOST_TOLD:]
        where = "list --all" if all(isinstance(one, WaitingAlert) for one in rest) else "deliveries"
        parts.append(f"And {len(rest)} more. Look further: tuneloop alert {where}")
    return Message(title=_title(told, models), body="\n\n".join(parts))


def trial(model: str) -> Message:
    """What `tuneloop alert test` sends."""
    return Message(
        title=f"tuneloop: test from {model}",
        body=f"Messages about the model {model} reach this channel. Nothing is wrong.",
    )


def _about(one: Waiting) -> tuple[str, str | int]:
    """What it tells of: an alert, whose newest event is told; else itself."""
    return ("alert", one.alert) if isinstance(one, WaitingAlert) else ("delivery", one.id)


def _title(told: Sequence[Waiting], models: Sequence[str]) -> str:
    about = ", ".join(models) if len(models) <= 3 else f"{len(models)} models"
    if len(told) == 1:
        return f"tuneloop: {about}: {_headline(told[0])}"
    alerts = sum(isinstance(one, WaitingAlert) for one in told)
    counts = ((alerts, "alert"), (len(told) - alerts, "event"))
    said = [f"{n} {what}{'s' if n > 1 else ''}" for n, what in counts if n]
    return f"tuneloop: {about}: {', '.join(said)}"


def _headline(one: Waiting) -> str:
    if isinstance(one, WaitingAlert):
        return f"{one.monitor} {_AGAIN[one.event]}"
    return one.title


def _paragraph(one: Waiting) -> str:
    if isinstance(one, WaitingAlert):
        return _of_alert(one)
    who = f"by {one.actor}, " if one.actor else ""
    return "\n".join([one.title, f"{who}{_moment(one.at)}", *filter(None, [one.body])])


def _of_alert(one: WaitingAlert) -> str:
    facts = [f"since {_moment(one.opened_at)}", f"seen {one.seen} ×"]
    if one.resolved_at is not None:
        facts.append(f"over since {_moment(one.resolved_at)}")
    if one.bundle is not None:
        facts.append(f"bundle {short(one.bundle)}")
    lines = [
        f"{one.monitor} {_AGAIN[one.event]}: {one.message}",
        f"alert {one.alert}, {', '.join(facts)}",
    ]
    if one.examples:
        lines.append("for example: " + " | ".join(one.examples))
    lines.append(f"look further: tuneloop alert show {one.alert}")
    return "\n".join(lines)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
