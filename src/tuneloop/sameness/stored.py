"""The form behind identities that workspaces keep: sides of the split, marks of erased rows, items.

It is the normal form of tuneloop 0.1, and never changes: a key that came out otherwise would lose
the side of a held-out row, or bring back one that was erased. It is coarser than `forms.strict`
(`10²` and `102` have one key), which is harmless there: rows with one key share a side. Nothing is
left out because two rows have one key, but what a person asked to erase.
"""

from __future__ import annotations

import re
import unicodedata

from tuneloop.sameness.answers import canonical

_STRAIGHT_QUOTES = str.maketrans("’‘“”`", "''\"\"'")
_SENTENCE_END = re.compile(r"[.,;:!?…]+(?=\s|$)")


def stored_form(text: str) -> str:
    """The text in lower case, without compatibility characters and sentence punctuation."""
    if text.isascii():
        text = text.lower().replace("`", "'")
    else:
        text = unicodedata.normalize("NFKC", text).casefold().translate(_STRAIGHT_QUOTES)
    return " ".join(_SENTENCE_END.sub(" ", text).split())


def stored_answer(completion: str) -> str:
    """An answer as it stands in the identity of a review item."""
    return canonical(completion, stored_form)
