"""An answer as it comes, piece by piece, ended where it has begun to loop.

A model that loops says the same words until it reaches its token limit: most of the time of an
evaluation, for nothing that is not known at the third repeat. What is kept is the beginning of what
would have been served, and it loops as the whole would: docs/decisions/0036.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tuneloop.prose.repetition import has_looped

LOOP = "loop"
"""The `finish_reason` of an answer that was ended so."""
AS_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
"""Fields of a chat request that is answered piece by piece; they change nothing that is said."""
_LOOK_EVERY_CHARACTERS = 48
_DATA = b"data:"


def completion_in(lines: Iterable[bytes]) -> dict[str, Any]:
    """The whole answer that the lines of an event stream give, as a server that does not stream
    would; stops reading where the answer loops.

    Raises:
        ValueError, KeyError, IndexError, TypeError, AttributeError: it is no such stream, or it
            tells an error.
    """
    said = _Said()
    for event in _events(lines):
        if "error" in event:
            raise ValueError("the stream tells an error")
        said.hear(event)
        if said.loops():
            said.finish_reason = LOOP
            break
    if not said.finish_reason:
        raise ValueError("the stream stops before the answer's end")
    return said.as_completion()


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        data = line.strip().removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or data == b"[DONE]":
            continue
        yield json.loads(data)


@dataclass
class _Said:
    """What has come so far."""

    pieces: int = 0
    """About one a token."""
    text: str = ""
    thought: str = ""
    finish_reason: str = ""
    model: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    looked_at: int = 0
    """Characters at the last look for a loop."""

    def hear(self, event: dict[str, Any]) -> None:
        """One event; the last one has no choice, and the usage."""
        self.model = str(event.get("model") or self.model)
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            text, thought = delta.get("content") or "", delta.get("reasoning_content") or ""
            self.pieces += bool(text or thought)
            self.text += text
            self.thought += thought
            self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def loops(self) -> bool:
        """Whether it has begun to say the same over and over; looked at now and then."""
        said = self.thought + self.text
        if self.finish_reason or len(said) - self.looked_at < _LOOK_EVERY_CHARACTERS:
            return False
        self.looked_at = len(said)
        return has_looped(said)

    def as_completion(self) -> dict[str, Any]:
        """Without the server's own count the tokens are those that came; of the prompt nothing is
        known then."""
        message = {"content": self.text, "reasoning_content": self.thought}
        return {
            "choices": [{"message": message, "finish_reason": self.finish_reason}],
            "usage": self.usage or {"completion_tokens": self.pieces},
            "model": self.model,
        }
