"""Tells the notification channels what waits for review, at most once a day."""

from __future__ import annotations

from collections import Counter

from tuneloop.modelfile import ModelSettings
from tuneloop.monitoring.notifications import news
from tuneloop.monitoring.notifications.notices import Queue
from tuneloop.review.queue import listing
from tuneloop.workspace import Workspace

_WAITING = ("open", "second", "disputed")


def tell(workspace: Workspace, model: ModelSettings) -> int:
    """Queue the digest of a model if it is due; how many deliveries it made."""
    return news.tell_of_reviews(
        workspace, model.name, model.alerts, lambda: _waiting(workspace, model.name)
    )


def _waiting(workspace: Workspace, model: str) -> Queue | None:
    items = [item for status in _WAITING for item in listing(workspace, model, status=status)]
    if not items:
        return None
    created = [item.created_at for item in items]
    return Queue(
        counts=Counter(item.kind for item in items), newest=max(created), oldest=min(created)
    )
