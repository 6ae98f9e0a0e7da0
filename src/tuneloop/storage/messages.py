"""What captured messages say: the table keeps them as the client sent them, as JSON.

A client may send a message's content as text, as OpenAI's list of parts, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last user turn; empty when there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def prompt_of(messages_json: str) -> str:
    """The last user turn of captured messages; empty when there is none or it is not text."""
    return last_user_text(_messages(messages_json))


def every_text(messages_json: str) -> list[str]:
    """The texts of captured messages, whoever said them; of one that has none an empty text."""
    return [text_of(message.get("content")) for message in _messages(messages_json)]


def _messages(messages_json: str) -> list[Mapping[str, Any]]:
    try:
        messages = json.loads(messages_json)
    except ValueError:
        return []
    if not isinstance(messages, list):
        return []
    return [message for message in messages if isinstance(message, dict)]


def text_of(content: object) -> str:
    """A message's content as text: as it is, or the text parts of OpenAI's list form."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))
