"""The chat template with these rows: does it take all of their turns, and every day alike?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tuneloop.datasets.example import Example
from tuneloop.setup.finding import Finding, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.setup.rendered import RefusedRow, RenderedRow

_CLOCK = re.compile(r"\b(strftime_now|date_string|datetime|now\s*\()")
_SHOWN_PLACES = 3
_SHOWN_REASONS = 3
_OTHER = "Choose a base whose template takes them, or change the rows."


def template(look: Look) -> Iterator[Finding]:
    """Every row is written, whole."""
    taken, refused = look.rendered
    every = len(taken) + len(refused)
    yield from _refusals(look, refused, every)
    for what, rows in (
        ("the system text", [row.example for row in taken if _drops_system(row)]),
        ("a user's turn", [row.example for row in taken if _drops_user(row)]),
        ("the answer", [row.example for row in taken if _drops_answer(row)]),
    ):
        if rows:
            yield error(
                "template",
                f"It leaves {what} of {len(rows):,} of {every:,} {look.rows.which} out or changes "
                f"it, first in {_places(rows)}.",
                _OTHER,
            )
    if taken and not refused:
        yield ok("template", f"It writes all {every:,} {look.rows.which}: {_turns(taken)}.")


def clock(look: Look) -> Iterator[Finding]:
    """The template writes the same today and tomorrow."""
    found = _CLOCK.search(look.base.template)
    if found is None:
        yield ok("clock", "The template asks for no date and no time.")
        return
    yield warning(
        "clock",
        f"The template writes the date into every prompt ({found[1]}): it is trained with one and "
        "served with another.",
        "Give the base a template with a date that stays, in chat_template.jinja of its folder.",
    )


def _refusals(look: Look, refused: Sequence[RefusedRow], every: int) -> Iterator[Finding]:
    by_reason: defaultdict[str, list[Example]] = defaultdict(list)
    for row in refused:
        by_reason[row.why].append(row.example)
    ordered = sorted(by_reason.items(), key=lambda entry: -len(entry[1]))
    for why, rows in ordered[:_SHOWN_REASONS]:
        all_of_them = len(refused) == every
        yield (error if all_of_them else warning)(
            "template",
            f"It refuses {len(rows):,} of {every:,} {look.rows.which}: {why}. "
            f"First in {_places(rows)}.",
            _remedy(look, rows, left_out=not all_of_them),
        )


def _remedy(look: Look, rows: Sequence[Example], *, left_out: bool) -> str:
    if all(row.system for row in rows) and look.model.task.system:
        return "Choose a base whose template takes a system text, or leave task.system out."
    return "They are left out of training. " + _OTHER if left_out else _OTHER


def _drops_system(row: RenderedRow) -> bool:
    return row.example.system.strip() not in row.prompt


def _drops_user(row: RenderedRow) -> bool:
    turns = (turn for turn in row.example.messages if turn.role == "user")
    return any(turn.content.strip() not in row.prompt for turn in turns)


def _drops_answer(row: RenderedRow) -> bool:
    return row.example.completion.strip() not in row.answer


def _turns(rows: Sequence[RenderedRow]) -> str:
    examples = [row.example for row in rows]
    with_system = sum(bool(example.system) for example in examples)
    several = sum(sum(turn.role == "user" for turn in example.messages) > 1 for example in examples)
    return f"{with_system:,} with a system text, {several:,} with several turns"


def _places(rows: Sequence[Example]) -> str:
    return "; ".join(row.place for row in rows[:_SHOWN_PLACES])
