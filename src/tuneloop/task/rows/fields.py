"""A row by the names of its columns, and which names mean what in the formats in use."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

# Tried in this order: the more telling name first.
PROMPT_COLUMNS = (
    "prompt", "instruction", "question", "query", "input", "user", "message", "text", "sentence",
    "utterance", "text_input", "input_text",
)  # fmt: skip
REFERENCES = ("expected", "expected_output", "ideal", "ground_truth", "reference_answer")
"""What evaluations call the right answer; `output` beside it is what a model said."""
ANSWER_COLUMNS = (
    "completion", "response", "answer", "output", "assistant", "reply", "target", *REFERENCES,
    "output_text", "label", "category", "intent",
)  # fmt: skip
NAMES_OF_LABELS = frozenset({"target", "label", "category", "intent"})
"""Beside a prompt they hold its answer; beside a conversation they usually say what it is about."""
ANSWERS_TO_A_CHAT = tuple(name for name in ANSWER_COLUMNS if name not in NAMES_OF_LABELS)
CERTAIN_ANSWERS = (
    "completion", "response", "answer", "output", "reply", *REFERENCES, "output_text",
)  # fmt: skip
"""Of these a row can have one only; the others are also names of other things."""
CHAT_COLUMNS = ("messages", "conversations", "conversation")
OTHER_CHAT_COLUMNS = ("contents", "chat", "dialogue", "dialog", "interactions", "turns", "items")
"""The same where they hold a list of turns; elsewhere they are names of anything."""
SYSTEM_COLUMNS = ("system", "system_prompt", "system_message", "system_instruction")
CONTEXT_COLUMNS = ("context", "input")
"""What a question is about: Dolly's and Alpaca's."""
PASSAGE_COLUMNS = ("article", "passage")
"""The same, beside a column `question`."""
ALSO_ASKED = ("prompt", "instruction", "question", "query", "text", "sentence", "utterance")
"""Texts that are asked; where two differ, no format says how they go together."""
THOUGHT_COLUMNS = (
    "reasoning_content", "thinking", "reasoning", "thought", "thoughts", "complex_cot",
)  # fmt: skip
_MODES = frozenset(
    {"true", "false", "on", "off", "yes", "no", "auto", "none", "low", "medium", "high",
     "enabled", "disabled", ""}
)  # fmt: skip
PAIR_COLUMNS = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("chosen_response", "rejected_response"),
    ("preferred", "dispreferred"),
    ("response_j", "response_k"),
)
"""Better and worse answer: of TRL and LLaMA-Factory, of OpenAI, of others."""
WORSE_COLUMNS = ("rejected", "non_preferred_output", "rejected_response", "dispreferred")
TOOL_COLUMNS = ("tools", "functions")
HISTORY_COLUMNS = ("history",)
_IN_THE_PROMPT = "write them into the prompt"
_NO_IMAGES, _NO_VIDEOS = "images are not learnt from", "videos are not learnt from"
_NO_SOUND = "sound is not learnt from"
UNUSABLE = {
    "images": _NO_IMAGES,
    "image": _NO_IMAGES,
    "videos": _NO_VIDEOS,
    "video": _NO_VIDEOS,
    "audios": _NO_SOUND,
    "audio": _NO_SOUND,
    "documents": f"documents beside a prompt are not put into it; {_IN_THE_PROMPT}",
    "segments": "segments say nothing of turns; expected messages, or prompt and completion",
    "completions": "steps that are judged one by one are not learnt from",
}
"""Column → why a row that fills it is left out: without it the row would teach something else."""
LISTED_ONLY = frozenset({"documents", "segments", "completions"})
"""Of those, the ones that the formats fill with lists; a word in them is a tag."""
CHOICE_COLUMNS = ("choices", "options")
"""What a question lets one choose from."""
OWN_COLUMNS = frozenset({"id", "group", "source", "line", "tags"})


KNOWN_COLUMNS = frozenset(
    (*PROMPT_COLUMNS, *ANSWER_COLUMNS, *CHAT_COLUMNS, *SYSTEM_COLUMNS, *CONTEXT_COLUMNS,
     *THOUGHT_COLUMNS, *TOOL_COLUMNS, *HISTORY_COLUMNS, *WORSE_COLUMNS, *UNUSABLE,
     *(name for pair in PAIR_COLUMNS for name in pair))
)  # fmt: skip
"""Names that mean something: two columns of one of them must not differ."""


class FormError(Exception):
    """A row in no form that can be used: a reason code and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def column_error(reason: str, detail: str) -> FormError:
    """What a format says of a column, and the way out where it means something else."""
    return FormError(
        reason, f"{detail}; if the column means something else, name it in data.tag_columns"
    )


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
        self.tag_columns = tag_columns
        self._keys: dict[str, Any] = {}
        self._twice: set[str] = set()
        named = [(key, value[key]) for key in declared if key in value]
        for key, item in (*named, *value.items()):
            if not is_absent(item):
                name = normal_name(key)
                if name not in tag_columns and self._keys.setdefault(name, key) != key:
                    self._twice.add(name)

    def __contains__(self, name: str) -> bool:
        """Whether a column of this name holds something."""
        return name in self._keys

    def __getitem__(self, name: str) -> Any:
        """What the column of this name holds."""
        return self.value[self._keys[name]]

    def any(self, names: frozenset[str]) -> bool:
        """Whether one of these names holds something."""
        return not names.isdisjoint(self._keys)

    def besides(self, used: set[str]) -> set[str]:
        """The names that hold something and are none of these."""
        return self._keys.keys() - used

    def get(self, name: str) -> Any:
        """What the column of this name holds; None where it is absent."""
        key = self._keys.get(name, _NOTHING)
        return None if key is _NOTHING else self.value[key]

    def key(self, name: str) -> str:
        """The column's name as the file has it."""
        return str(self._keys[name])

    def first(self, names: tuple[str, ...]) -> str | None:
        """The first of these names that holds something."""
        for name in names:
            if name in self._keys:
                return name
        return None

    def null(self, names: tuple[str, ...]) -> str | None:
        """The first of these columns that is there and holds nothing, as the file names it."""
        empty = {normal_name(key): key for key, item in self.value.items() if is_absent(item)}
        return next((str(empty[name]) for name in names if name in empty), None)

    def filled(self, names: tuple[str, ...]) -> list[str]:
        """Those of these names that hold more than an empty value."""
        return [name for name in names if name in self and not is_empty(self[name])]

    def ambiguous(self, names: frozenset[str]) -> list[str]:
        """Columns, as the file has them, that are one of these names and hold different things."""
        for name in self._twice & names:
            keys = [key for key in self.value if normal_name(key) == name]
            held = [self.value[key] for key in keys if not is_absent(self.value[key])]
            if any(item != held[0] for item in held):
                return list(map(str, keys))
        return []

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


def is_empty(item: Any) -> bool:
    """Whether a value says nothing: null, or a text, list or object with nothing in it."""
    return is_absent(item) or (isinstance(item, str | list | dict) and not item)


def is_mode(value: Any) -> bool:
    """Whether what stands in a column for thoughts says how to think, and is no thought."""
    if isinstance(value, str):
        return value.strip().lower() in _MODES
    return isinstance(value, bool | int | float)


_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
_JOINED = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[\s-]+")


@lru_cache(maxsize=4_096)
def normal_name(key: Any) -> str:
    """`System Prompt`, `system-prompt` and `systemPrompt` are `system_prompt`.

    Byte order marks and characters without a width, which spreadsheets leave, are no part of it.
    """
    name = unicodedata.normalize("NFKC", _INVISIBLE.sub("", str(key))).strip()
    return _BETWEEN.sub("_", _JOINED.sub("_", name).lower())


def type_name(value: Any) -> str:
    """What a value is, for people."""
    if value is None:
        return "null"
    names = {str: "a text", list: "a list", dict: "an object", bool: "true or false"}
    return names.get(type(value), f"a {type(value).__name__}")
