"""How much of an answer was copied from what it answers.

The share of the answer's words that stand in a run of five which stands in the prompt too: the
idea of extractive coverage (Grusky et al. 2018, "Newsroom", section 4.1), with a least length, for
shorter runs are a language's own phrases.
"""

from __future__ import annotations

from tuneloop.prose.likeness import words_of

RUN_WORDS = 5


def copied_share(answer: str, prompt: str) -> float | None:
    """0 (all in its own words) to 1 (all copied); None where the answer has fewer than 5 words."""
    said, asked = words_of(answer), words_of(prompt)
    if len(said) < RUN_WORDS:
        return None
    runs = {asked[at : at + RUN_WORDS] for at in range(len(asked) - RUN_WORDS + 1)}
    copied: set[int] = set()
    for at in range(len(said) - RUN_WORDS + 1):
        if said[at : at + RUN_WORDS] in runs:
            copied.update(range(at, at + RUN_WORDS))
    return len(copied) / len(said)
