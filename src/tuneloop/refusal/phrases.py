"""The table: how a model declines, language by language.

A pattern is a regular expression of lower-case words. `~` stands for a few words of one clause, `≈`
for a few of one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """How one language declines in a model's own name."""

    code: str
    """ISO 639-1"""
    hints: tuple[str, str]
    """two lists, `|` between words: without one word of each in the opening no pattern is tried"""
    cannot: tuple[str, ...]
    """I cannot, may not or will not, with a verb of helping"""
    machine: tuple[str, ...]
    """as an AI I do not …"""
    declines: tuple[str, ...]
    """other words for no: I decline, I would rather not, that is not something for me"""
    rules: tuple[str, ...]
    """what forbids it: my guidelines"""
    unless: tuple[str, ...]
    """what makes a sentence a business's no, praise or a condition instead"""
