"""Whether a text says a phrase: the same words in a row, in forgiving form (see `sameness`)."""

from __future__ import annotations

import unicodedata

from tuneloop.sameness import forgiving, spans


def says(text: str, phrase: str) -> bool:
    """Whether the words of the phrase stand in the text in a row.

    Case, pauses and quotation marks aside, and by whole words: `5 mg` does not stand in `1.5 mg`.
    """
    said, wanted = _words(text), _words(phrase)
    size = len(wanted)
    return any(said[at : at + size] == wanted for at in range(len(said) - size + 1))


def _words(text: str) -> list[str]:
    form = forgiving(text)
    every = [form[start:end] for start, end in spans(form)]
    # Pauses are none of the phrase's business; a text of signs has nothing else.
    return [word for word in every if not _is_pause(word)] or every


def _is_pause(word: str) -> bool:
    return len(word) == 1 and unicodedata.category(word)[0] == "P" and word not in "/&@\\%"
