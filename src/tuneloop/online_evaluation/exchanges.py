"""Captured answers as a judge and people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.project import Project
from tuneloop.registry import bundle as bundles
from tuneloop.storage import captured
from tuneloop.storage.messages import text_of

if TYPE_CHECKING:
    import polars as pl


def exchange_of(row: Mapping[str, Any], *, system: str) -> Exchange | None:
    """A captured answer with its prompt as the model read it; None where that is no text."""
    try:
        sent = json.loads(row["messages"])
        messages = [{"role": str(m["role"]), "content": text_of(m.get("content"))} for m in sent]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not any(message["role"] in ("system", "developer") for message in messages) and system:
        messages.insert(0, {"role": "system", "content": system})
    return Exchange(messages=tuple(messages), answer=row["response"])


def whole_answers(project: Project, *, since: datetime, until: datetime) -> pl.LazyFrame:
    """Captured answers in text that a client of this endpoint got whole; probes left out."""
    chats = captured.chats(
        project.workspace.traffic, endpoint=project.model.endpoint_name, since=since, until=until
    )
    said_something = captured.text().str.strip_chars() != ""
    return chats.filter(captured.whole(), captured.in_text(), said_something)


def system_texts(project: Project) -> dict[str, str]:
    """Bundle → the system text that it puts before a conversation without one."""
    known = bundles.listing(project.workspace, model=project.model.name)
    return {bundle.id: bundle.manifest.task.system for bundle in known}
