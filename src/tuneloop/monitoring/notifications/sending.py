"""Sends a message through Apprise, which knows the services, and says why it could not.

Apprise logs whole URLs at its lower levels, and parts of them in its warnings: its log ends here,
and what is kept of it has every part of the URL taken out.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from tuneloop.errors import TuneloopError, require
from tuneloop.modelfile import ChannelUrl
from tuneloop.monitoring.notifications.message import Message

Send = Callable[[ChannelUrl, Message], str | None]
"""Sends a message; returns None, or why it was not delivered, without a secret."""
_SHORTEST_SECRET = 3


def send(
    channel: ChannelUrl, message: Message, *, environment: Mapping[str, str] = os.environ
) -> str | None:
    """Send a message to a channel; None when the service took it, else why not."""
    try:
        apprise = require("apprise", extra="worker")
        url = channel.resolved(environment)
    except TuneloopError as e:
        return f"{e.message} {e.remedy}"
    with _warnings() as complaints:
        try:
            sent = _send(apprise, url, message)
        except Exception as e:  # noqa: BLE001  a plug-in of Apprise may raise anything
            complaints.append(f"{type(e).__name__}: {e}")
            sent = False
    if sent:
        return None
    return scrubbed("; ".join(complaints) or "The service did not take the message.", url)


def scrubbed(text: str, url: str) -> str:
    """A text without anything that stands in a URL behind its scheme."""
    parts = re.split(r"[/:@?&=+#,\s]+", url.partition("://")[2])
    secrets = {form for part in parts for form in (part, unquote(part))}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = re.sub(re.escape(secret), "****", text, flags=re.IGNORECASE)
    return text


def _send(apprise: Any, url: str, message: Message) -> bool:
    service = apprise.Apprise.instantiate(url)
    if service is None:
        # Apprise has said why: it does not know the service, or a part is missing.
        return False
    if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
        # A text that is too long for a service is sent in pieces and not refused.
        service.overflow_mode = apprise.OverflowMode.SPLIT
    sender = apprise.Apprise()
    sender.add(service)
    told = sender.notify(
        title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT
    )
    return bool(told)


class _Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What Apprise warns of meanwhile; nothing of it reaches our own log, then or later."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    collected = _Collected()
    logger.addHandler(collected)
    try:
        yield collected.said
    finally:
        logger.removeHandler(collected)
