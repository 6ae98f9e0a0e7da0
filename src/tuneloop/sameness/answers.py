"""When two answers are the same: JSON by its values, other text by a normal form."""

from __future__ import annotations

import json
from collections.abc import Callable

from tuneloop.hashing import canonical_json
from tuneloop.sameness.forms import forgiving, strict


def strict_answer(completion: str) -> str:
    """Rows with one input and equal strict answers teach the same: one of them can go."""
    return canonical(completion, strict)


def forgiving_answer(completion: str) -> str:
    """Answers that differ in this form say different things."""
    return canonical(completion, forgiving)


def is_json_container(completion: str) -> bool:
    """Whether an answer is a JSON object or array."""
    return _as_canonical_json(completion) is not None


def canonical(completion: str, form: Callable[[str], str]) -> str:
    """JSON objects and arrays up to layout and the order of keys; other text in the given form."""
    as_json = _as_canonical_json(completion)
    return form(completion) if as_json is None else as_json


def _as_canonical_json(completion: str) -> str | None:
    if completion.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return canonical_json(json.loads(completion))
    except (ValueError, RecursionError):
        return None
