"""What an answer may take its facts from: the prompt and all that was supplied with it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from tuneloop.prose.groundedness.numbers import numbers_in


class Source:
    """Texts in which parts of an answer are looked up; each index is made when first asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Nothing is read yet."""
        self.text = "\n".join(texts)

    @cached_property
    def numbers(self) -> frozenset[float]:
        """Every value that a number of theirs may mean."""
        return frozenset().union(*(number.looked_up for number in numbers_in(self.text)))
