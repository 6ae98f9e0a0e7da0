"""Old names → new names, in every text of an example."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from tuneloop.datasets.example import Example


class RetiredTerms:
    """A rename table, applied to whole words in whatever case."""

    def __init__(self, table: Mapping[str, str]) -> None:
        """`table` maps an old name to the new one."""
        self._new = {old.casefold(): new for old, new in table.items()}
        # The longest first: "Tarn Plus" is not "Tarn" with a word behind it.
        names = "|".join(re.escape(old) for old in sorted(table, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE) if table else None

    def renamed(self, text: str) -> tuple[str, Counter[str]]:
        """The text with new names, and how often each old one stood in it."""
        counts: Counter[str] = Counter()
        if self._pattern is None:
            return text, counts

        def replacement(match: re.Match[str]) -> str:
            old = match.group()
            counts[old.casefold()] += 1
            return _in_case_of(old, self._new[old.casefold()])

        return self._pattern.sub(replacement, text), counts

    def renamed_example(self, example: Example) -> tuple[Example, Counter[str]]:
        """The example with new names in messages and answer.

        The system text is the model file's and stays; its hits are counted by the caller. So does
        the rejected answer of a preference pair: the old name in it is what was wrong.
        """
        counts: Counter[str] = Counter()

        def rename(text: str) -> str:
            result, names = self.renamed(text)
            counts.update(names)
            return result

        messages = tuple(
            message if message.role == "system" else message.rewritten(rename)
            for message in example.messages
        )
        renamed = replace(
            example,
            messages=messages,
            completion=rename(example.completion),
            reasoning=rename(example.reasoning),
        )
        return renamed, counts


def _in_case_of(old: str, new: str) -> str:
    """`tarn` → `skerry` and `TARN` → `SKERRY`, so that labels stay labels; else as in the table."""
    if old.islower():
        return new.lower()
    return new.upper() if old.isupper() and len(old) > 1 else new
