"""Quality filters: each looks at one example and keeps it or says why not.

They run in this order, and the first verdict against a row counts: what is plainly broken comes
before what merely breaks a rule, so that the reason is the one a person would give.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.answer_form import PatternBroken, SchemaBroken
from tuneloop.datasets.filters.base import KEEP, Filter, Verdict, drop
from tuneloop.datasets.filters.empty import Empty
from tuneloop.datasets.filters.language import WrongLanguage
from tuneloop.datasets.filters.leftover_template import LeftoverTemplate
from tuneloop.datasets.filters.length import TooLong, TooShort
from tuneloop.datasets.filters.refusal import Refusal
from tuneloop.datasets.filters.truncated import Truncated

__all__ = [
    "KEEP",
    "Filter",
    "FormCheck",
    "Verdict",
    "drop",
    "first_objection",
    "form_checks",
    "make_filters",
]

FormCheck = SchemaBroken | PatternBroken
"""A filter that looks at the answer alone: what the model file declares of its form."""


def make_filters(
    *,
    min_characters: int,
    max_characters: int,
    language: str | None = None,
    output_schema: dict[str, Any] | None = None,
    output_pattern: str | None = None,
    disabled: Collection[str] = (),
) -> tuple[Filter, ...]:
    """The filters that the settings ask for, in their order; `disabled` holds names.

    Raises:
        ModelFileError: a setting makes no sense, e.g. an invalid schema.
    """
    filters: list[Filter] = [
        Empty(),
        TooShort(min_characters=min_characters),
        TooLong(max_characters=max_characters),
        LeftoverTemplate(),
        Truncated(),
        Refusal(),
    ]
    if language is not None:
        filters.append(WrongLanguage(language))
    filters += form_checks(output_schema=output_schema, output_pattern=output_pattern)
    return tuple(one for one in filters if one.name not in disabled)


def form_checks(
    *,
    output_schema: dict[str, Any] | None,
    output_pattern: str | None,
    disabled: Collection[str] = (),
) -> tuple[FormCheck, ...]:
    """Those of `make_filters` that look at the declared form of an answer.

    Raises:
        ModelFileError: the schema is invalid.
    """
    checks: list[FormCheck] = []
    if output_schema is not None:
        checks.append(SchemaBroken(output_schema))
    if output_pattern is not None:
        checks.append(PatternBroken(output_pattern))
    return tuple(one for one in checks if one.name not in disabled)


def first_objection(filters: tuple[Filter, ...], example: Example) -> Verdict:
    """The first verdict against an example, else `KEEP`."""
    for one in filters:
        verdict = one(example)
        if not verdict.keep:
            return verdict
    return KEEP
