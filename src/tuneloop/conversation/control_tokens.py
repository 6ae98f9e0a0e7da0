"""Text stays text: a base's control tokens are broken up where they are somebody's words.

A server reads the whole prompt with the base's control tokens in it, so the words of a user could
end their own turn and begin one of the system's. A blank behind the first character keeps the words
readable, for people and models, and makes them no token. The same is done in training, in
evaluations and at the gateway, so that the model meets what it was taught.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_SHORTEST = 2
"""Of one character nothing can be broken up."""
_ARGUMENTS = "arguments"


def neutral(text: str, tokens: Sequence[str]) -> str:
    """The text without control tokens: `<|im_end|>` becomes `< |im_end|>`."""
    pattern = _pattern(tuple(tokens))
    if pattern is None:
        return text
    while pattern.search(text):
        text = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text


def neutral_value(value: Any, tokens: Sequence[str]) -> Any:
    """A JSON value with every text in it made neutral.

    The arguments of a call are JSON within a text: what stands behind escapes there is read by the
    template as what it means.
    """
    if isinstance(value, str):
        return neutral(value, tokens)
    if isinstance(value, list):
        return [neutral_value(item, tokens) for item in value]
    if isinstance(value, Mapping):
        return {
            neutral(key, tokens): neutral_arguments(item, tokens)
            if key == _ARGUMENTS and isinstance(item, str)
            else neutral_value(item, tokens)
            for key, item in value.items()
        }
    return value


def neutral_arguments(text: str, tokens: Sequence[str]) -> str:
    """The arguments of a call, as JSON; the same text where no control token stands in them."""
    try:
        value = json.loads(text)
        changed = neutral_value(value, tokens)
    except (ValueError, RecursionError):
        return neutral(text, tokens)
    written = text if changed == value else json.dumps(changed, ensure_ascii=False)
    return neutral(written, tokens)


def neutral_json(text: bytes, tokens: tuple[str, ...]) -> bytes:
    """JSON, as bytes, in whose texts no control token stands; the same bytes where none does.

    It is read and written anew only where it may hold one: as it is, or behind escapes. Where a key
    stands twice in an object, readers differ in which of the two they take: then only the one that
    was looked at is written.
    """
    beginnings, pattern = _in_bytes(tokens)
    # To look for single characters first takes a tenth of the time, and most requests have none.
    if not any(beginning in text for beginning in beginnings) or pattern.search(text) is None:
        return text
    twice = False

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        value = dict(pairs)
        twice = twice or len(value) < len(pairs)
        return value

    value = json.loads(text, object_pairs_hook=read)
    changed = neutral_value(value, tokens)
    return text if changed == value and not twice else json.dumps(changed).encode()


@lru_cache(maxsize=64)
def _in_bytes(tokens: tuple[str, ...]) -> tuple[tuple[bytes, ...], re.Pattern[bytes]]:
    """What may be a control token in JSON, where any character may be written as an escape, and
    with what these begin."""
    bare = {token.strip() for token in tokens} - {""}
    written = {json.dumps(token, ensure_ascii=False)[1:-1].encode() for token in bare}
    pattern = re.compile(b"|".join([rb"\\u", rb"\\/", *map(re.escape, sorted(written))]))
    return (b"\\", *sorted({token[:1] for token in written})), pattern


@lru_cache(maxsize=64)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    # Blanks around a token are no part of what is broken up: a blank more would leave them there.
    bare = {token.strip() for token in tokens}
    known = sorted((token for token in bare if len(token) >= _SHORTEST), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, known))) if known else None
