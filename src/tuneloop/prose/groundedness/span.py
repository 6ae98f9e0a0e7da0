"""Parts of an answer that can be looked up in what the model was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "date", "quantity", "name", "code", "quotation"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """One checkable part of an answer."""

    kind: Kind
    text: str
    start: int
    """characters of the answer before it"""
    end: int
    """characters of the answer up to its last one"""
