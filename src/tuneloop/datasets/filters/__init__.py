"""Quality filters: each looks at one example and keeps it or says why not.

They run in this order, and the first verdict against a row counts: what is plainly broken comes
before what merely breaks a rule, so that the reason is the one a person would give.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tuneloop.conversation.template import ChatTemplate
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.base import KEEP, Filter, FilterResult, drop
from tuneloop.datasets.filters.declared_form import FormBroken
from tuneloop.datasets.filters.empty import Empty
from tuneloop.datasets.filters.language import WrongLanguage
from tuneloop.datasets.filters.leftover_template import LeftoverTemplate
from tuneloop.datasets.filters.length import TooLong, TooShort
from tuneloop.datasets.filters.refusal import Refusal
from tuneloop.datasets.filters.template import Unwritable
from tuneloop.datasets.filters.thoughts import Thoughts
from tuneloop.datasets.filters.truncated import Truncated
from tuneloop.datasets.filters.ungrounded import Ungrounded
from tuneloop.task.answer_form import pattern_check, schema_check

__all__ = [
    "KEEP",
    "Filter",
    "Verdict",
    "drop",
    "first_objection",
    "make_filters",
]


def make_filters(
    *,
    min_characters: int,
    max_characters: int,
    language: str | None = None,
    output_schema: dict[str, Any] | None = None,
    output_pattern: str | None = None,
    disabled: Collection[str] = (),
    thinking: bool = False,
    template: ChatTemplate | None = None,
    grounded: bool = False,
) -> tuple[Filter, ...]:
    """The filters that the settings ask for, in their order; `disabled` holds names.

    `template` is the base's; None where it is not at hand: then nothing is held against it.

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
        Thoughts(thinking=thinking),
    ]
    if template is not None:
        filters.append(Unwritable(template=template))
    if language is not None:
        filters.append(WrongLanguage(language))
    if output_schema is not None:
        filters.append(FormBroken(name="schema", check=schema_check(output_schema)))
    if output_pattern is not None:
        filters.append(FormBroken(name="pattern", check=pattern_check(output_pattern)))
    if grounded:
        filters.append(Ungrounded())
    return tuple(rule for rule in filters if rule.name not in disabled)


def first_objection(filters: tuple[Filter, ...], example: Example) -> FilterResult:
    """The first verdict against an example, else `KEEP`."""
    for rule in filters:
        verdict = rule(example)
        if not verdict.keep:
            return verdict
    return KEEP
