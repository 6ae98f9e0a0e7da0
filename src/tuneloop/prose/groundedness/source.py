"""What an answer may take its facts from: the prompt and all that was supplied with it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from tuneloop.prose.groundedness.dates import Calendar, calendar_of
from tuneloop.prose.groundedness.names import stems_of, words_of
from tuneloop.prose.groundedness.numbers import Number, numbers_in, with_known_digits
from tuneloop.prose.groundedness.quantities import amounts_of
from tuneloop.prose.groundedness.quotations import as_words


class Source:
    """Texts in which parts of an answer are looked up; each index is made when first asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Nothing is read yet."""
        self.text = with_known_digits("\n".join(texts))

    @cached_property
    def numbers(self) -> frozenset[float]:
        """Every value that a number of theirs may mean."""
        return frozenset().union(*(number.looked_up for number in self._numbers))

    @cached_property
    def calendar(self) -> Calendar:
        """Every date."""
        return calendar_of(self.text, self._numbers)

    @property
    def amounts(self) -> set[tuple[str, float]]:
        """Every (dimension, value in its base unit)."""
        return self._amounts[0]

    @property
    def bare_numbers(self) -> set[float]:
        """Every value of a number without a unit."""
        return self._amounts[1]

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word in lower case."""
        return words_of(self.text)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Their beginnings, for languages with endings."""
        return stems_of(self.words)

    @cached_property
    def in_lower_case(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @cached_property
    def in_digits(self) -> str:
        """The text in lower case with numbers in words as digits: `C six seven` is `c 6 7`."""
        pieces, at = [], 0
        for number in self._numbers:
            if number.parts and self.text[number.start].isalpha():
                spelled = " ".join(f"{part:g}" for part in number.parts)
                pieces += [self.text[at : number.start], spelled]
                at = number.end
        return "".join([*pieces, self.text[at:]]).lower()

    @cached_property
    def as_words(self) -> str:
        """The words in forgiving form, for quotations."""
        return as_words(self.text)

    @cached_property
    def _numbers(self) -> list[Number]:
        return numbers_in(self.text)

    @cached_property
    def _amounts(self) -> tuple[set[tuple[str, float]], set[float]]:
        return amounts_of(self.text, self._numbers)
