"""A row by the names of its columns, and which names mean what in the formats in use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

# Tried in this order: the more telling name first.
PROMPT_COLUMNS = (
    "prompt", "instruction", "question", "query", "input", "user", "message", "text", "sentence",
    "utterance",
)  # fmt: skip
ANSWER_COLUMNS = (
    "completion", "response", "answer", "output", "assistant", "reply", "target", "expected",
    "label", "category", "intent",
)  # fmt: skip
NAMES_OF_LABELS = frozenset({"target", "label", "category", "intent"})
"""Beside a prompt they hold its answer; beside a conversation they usually say what it is about."""
ANSWERS_TO_A_CHAT = tuple(name for name in ANSWER_COLUMNS if name not in NAMES_OF_LABELS)
CHAT_COLUMNS = ("messages", "conversations", "conversation")
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
CONTEXT_COLUMNS = ("context", "input")
"""What a question is about: Dolly's and Alpaca's."""
THOUGHT_COLUMNS = ("reasoning_content", "thinking")
PAIR_COLUMNS = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("chosen_response", "rejected_response"),
    ("preferred", "dispreferred"),
)
"""Better and worse answer: of TRL and LLaMA-Factory, of OpenAI, of others."""
TOOL_COLUMNS = ("tools", "functions")
HISTORY_COLUMNS = ("history",)
UNUSABLE = {
    "images": "images are not learnt from",
    "image": "images are not learnt from",
    "videos": "videos are not learnt from",
    "video": "videos are not learnt from",
    "audios": "sound is not learnt from",
    "audio": "sound is not learnt from",
    "documents": "documents beside a prompt are not put into it; write them into the prompt",
    "segments": "segments say nothing of turns; expected messages, or prompt and completion",
    "completions": "steps that are judged one by one are not learnt from",
}
"""Column → why a row that fills it is left out: without it the row would teach something else."""
OWN_COLUMNS = frozenset({"id", "group", "source", "line", "tags"})


class FormError(Exception):
    """A row in no form that can be used: a reason code and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Fields:
    """The columns of a row that hold something, found by their names in whatever case.

    A null counts as absent: files that hold rows of two forms fill up with nulls.
    """

    def __init__(
        self,
        value: Mapping[Any, Any],
        tag_columns: frozenset[str] = frozenset(),
        declared: tuple[str, ...] = (),
    ) -> None:
        """`tag_columns`: names, in normal form, that mean nothing here but a tag. `declared`:
        columns as the file has them, which come before others of the same normal name."""
        self.value = value
        self._keys: dict[str, Any] = {}
        named = [(key, value[key]) for key in declared if key in value]
        for key, item in (*named, *value.items()):
            if not is_absent(item):
                name = normal_name(key)
                if name not in tag_columns:
                    self._keys.setdefault(name, key)

    def __contains__(self, name: str) -> bool:
        """Whether a column of this name holds something."""
        return name in self._keys

    def __getitem__(self, name: str) -> Any:
        """What the column of this name holds."""
        return self.value[self._keys[name]]

    def get(self, name: str) -> Any:
        """What the column of this name holds; None where it is absent."""
        key = self._keys.get(name, _NOTHING)
        return None if key is _NOTHING else self.value[key]

    def key(self, name: str) -> str:
        """The column's name as the file has it."""
        return str(self._keys[name])

    def first(self, names: tuple[str, ...]) -> str | None:
        """The first of these names that holds something."""
        return next((name for name in names if name in self._keys), None)

    def null(self, names: tuple[str, ...]) -> str | None:
        """The first of these columns that is there and holds nothing, as the file names it."""
        empty = {normal_name(key): key for key, item in self.value.items() if is_absent(item)}
        return next((str(empty[name]) for name in names if name in empty), None)

    def others(self, used: frozenset[str] | set[str]) -> Iterator[tuple[Any, Any]]:
        """Columns that hold something and are none of these names, as the file has them."""
        taken = {self._keys[name] for name in used if name in self._keys}
        for key, item in self.value.items():
            if key not in taken and not is_absent(item):
                yield key, item


_NOTHING = object()


def is_absent(item: Any) -> bool:
    """Whether a value stands for none: null, or the NaN that pandas writes for it."""
    return item is None or (isinstance(item, float) and math.isnan(item))


@lru_cache(maxsize=4_096)
def normal_name(key: Any) -> str:
    """`System Prompt` and `system-prompt` are `system_prompt`."""
    return str(key).strip().lower().replace(" ", "_").replace("-", "_")


def type_name(value: Any) -> str:
    """What a value is, for people."""
    if value is None:
        return "null"
    names = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
    return names.get(type(value), f"a {type(value).__name__}")
