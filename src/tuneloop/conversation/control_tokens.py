"""Text stays text: a base's control tokens are broken up where they are somebody's words.

A server reads the whole prompt with the base's control tokens in it, so the words of a user could
end their own turn and begin one of the system's. A blank behind the first character keeps the words
readable, for people and models, and makes them no token. The same is done in training, in
evaluations and at the gateway, so that the model meets what it was taught.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

_SHORTEST = 2


def neutral(text: str, tokens: Sequence[str]) -> str:
    """The text without control tokens: `<|im_end|>` becomes `< |im_end|>`."""
    pattern = _pattern(tuple(tokens))
    if pattern is None:
        return text
    while pattern.search(text):
        text = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text


def neutral_value(value: Any, tokens: Sequence[str]) -> Any:
    """A JSON value with every text in it made neutral; keys stay."""
    if isinstance(value, str):
        return neutral(value, tokens)
    if isinstance(value, list):
        return [neutral_value(item, tokens) for item in value]
    if isinstance(value, Mapping):
        return {key: neutral_value(item, tokens) for key, item in value.items()}
    return value


def holds_any(texts: Iterable[str], tokens: Sequence[str]) -> bool:
    """Whether a control token stands in one of the texts."""
    pattern = _pattern(tuple(tokens))
    return pattern is not None and any(pattern.search(text) for text in texts)


def neutral_json(text: bytes, tokens: tuple[str, ...]) -> bytes:
    """JSON, as bytes, in whose texts no control token stands; the same bytes where none does.

    It is read and written anew only where it may hold one: as it is, or behind escapes.
    """
    if _bytes_pattern(tokens).search(text) is None:
        return text
    value = json.loads(text)
    changed = neutral_value(value, tokens)
    return text if changed == value else json.dumps(changed).encode()


@lru_cache(maxsize=64)
def _bytes_pattern(tokens: tuple[str, ...]) -> re.Pattern[bytes]:
    """What may be a control token in JSON: `<` may be written as an escape, too."""
    written = {json.dumps(token, ensure_ascii=False)[1:-1].encode() for token in tokens}
    return re.compile(b"|".join([rb"\\u", rb"\\/", *map(re.escape, sorted(written))]))


@lru_cache(maxsize=64)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    known = sorted((token for token in tokens if len(token) >= _SHORTEST), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, known))) if known else None
