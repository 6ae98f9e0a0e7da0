"""A case of what a client was answered: the captured prompt, with the right answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuneloop import review
from tuneloop.conversation import Message
from tuneloop.datasets.example import Example
from tuneloop.datasets.personal_data import redacted_example
from tuneloop.errors import UsageError
from tuneloop.project import Project
from tuneloop.storage.captured import chats, feedback, last_said
from tuneloop.task.answer_form import edited_text
from tuneloop.task.rows import FormError, recognise_case


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A captured chat, and the answer that would have been right."""

    interaction: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    expected: str
    of: str
    """where the answer comes from, for people"""
    personal_data: Mapping[str, int]
    """kind → finds in prompt and answer"""
    redacted: bool
    """whether they were replaced by their kinds"""


def incident(project: Project, interaction: str, *, expected: str | None = None) -> Incident:
    """A captured chat of this endpoint by its id, with `expected`, else what people said it is.

    Personal data is treated as in data sources (`data.redact_personal_data`).

    Raises:
        UsageError: it was not captured, its prompt is no chat that can be asked again, or nobody
            said what is right.
        BusyError: another process has been moving the captured traffic for a minute.
    """
    project.ingest()
    row = _captured(project, interaction)
    try:
        asked = recognise_case(
            {"messages": json.loads(row["messages"] or "[]"), **_tools(row["request"])}
        )
    except FormError as e:
        raise UsageError(
            f"Interaction {interaction} cannot be asked again: {e.detail}.",
            remedy="Write a case by hand: tuneloop suite add NAME --prompt TEXT --expected TEXT",
        ) from None
    answer, of = (expected, "--expected") if expected is not None else _said(project, interaction)
    example, finds, redacted = _cleaned(project, asked.messages, answer)
    return Incident(
        interaction=interaction,
        messages=example.messages,
        tools=asked.tools,
        expected=example.completion,
        of=of,
        personal_data=dict(finds),
        redacted=redacted,
    )


def _captured(project: Project, interaction: str) -> dict[str, Any]:
    import polars as pl

    found = (
        chats(project.workspace.traffic, endpoint=project.model.endpoint_name, probes=True)
        .filter(pl.col("id") == interaction)
        .select("messages", "request")
        .collect()
        .to_dicts()
    )
    if not found:
        raise UsageError(
            f"No chat {interaction!r} was captured at {project.model.endpoint_name}.",
            remedy="Its id is in the answer's header x-tuneloop-interaction, and in: tuneloop "
            "traffic list",
        )
    return found[0]


def _tools(request: str | None) -> dict[str, Any]:
    fields = json.loads(request or "null")
    tools = fields.get("tools") if isinstance(fields, dict) else None
    return {"tools": tools} if tools else {}


def _said(project: Project, interaction: str) -> tuple[str, str]:
    """What people said is right: whoever reviewed it, else the last edit or label."""
    items = [
        item
        for item in review.listing(project.workspace, project.model.name, status=None)
        if item.interaction == interaction
    ]
    for item in items:
        if item.status == "approved" and item.final is not None:
            return item.final, f"review {item.id}, approved by {item.reviewer}"
    rejected = {item.proposal.strip() for item in items if item.status == "rejected"}
    import polars as pl

    said = last_said(feedback(project.workspace.traffic, "edit", "label")).filter(
        pl.col("interaction") == interaction
    )
    values = {row["kind"]: row["value"] for row in said.collect().to_dicts()}
    for kind in ("edit", "label"):
        text = edited_text(values[kind]) if kind in values else None
        if text is not None and text.strip() not in rejected:
            return text, f"feedback of kind {kind}, which nobody has reviewed"
    raise UsageError(
        f"Nobody has said what the right answer to {interaction} is"
        + (", and what was proposed was rejected." if rejected else "."),
        remedy="Say it: --expected TEXT",
    )


def _cleaned(
    project: Project, messages: tuple[Message, ...], answer: str
) -> tuple[Example, Counter[str], bool]:
    example = Example(messages=messages, completion=answer, source="", line=0)
    mode = project.model.data.redact_personal_data
    if mode == "off":
        return example, Counter(), False
    clean, finds = redacted_example(example)
    return (clean, finds, bool(finds)) if mode == "redact" else (example, finds, False)
