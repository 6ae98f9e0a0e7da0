"""What counts as the same text, and as the same answer."""

from __future__ import annotations

import json
import re
import unicodedata

from tuneloop.hashing import canonical_json

_STRAIGHT_QUOTES = str.maketrans("’‘“”`", "''\"\"'")
_SENTENCE_END = re.compile(r"[.,;:!?…]+(?=\s|$)")


def normalised(text: str) -> str:
    """Text without what people vary at random: case, spacing, quotes, sentence punctuation.

    Symbols inside a word or number stay: `1.5` is not `15` and `a < b` is not `a > b`.
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_STRAIGHT_QUOTES)
    return " ".join(_SENTENCE_END.sub(" ", text).split())


def canonical_answer(completion: str) -> str:
    """Answers with equal canonical form say the same: JSON up to layout, text up to case."""
    if completion.lstrip()[:1] in ("{", "["):
        try:
            return canonical_json(json.loads(completion))
        except (ValueError, RecursionError):
            pass
    return normalised(completion)


def is_json_container(completion: str) -> bool:
    """Whether an answer is a JSON object or array."""
    if completion.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(completion)
    except (ValueError, RecursionError):
        return False
    return True
