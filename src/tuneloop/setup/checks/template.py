"""The chat template with these rows: does it take all of their turns, add none of its own, and
write the same every day?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tuneloop.conversation.pinning import DAY, reads_the_clock
from tuneloop.datasets.example import Example
from tuneloop.setup.finding import Finding, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.setup.written import WrittenRow
from tuneloop.task.kind import is_prose

_SHOWN_PLACES = 3
_SHOWN_REASONS = 3
_SHOWN = 200
"""Characters of a system text: enough to know it by."""
_OTHER = "Choose a base whose template takes them, or change the rows."


def template(look: Look) -> Iterator[Finding]:
    """Every row is written, whole: what is not is left out, and all of them cannot be."""
    rows = look.written
    every = len(rows.taken) + len(rows.refused)
    by_reason: defaultdict[str, list[Example]] = defaultdict(list)
    for row in rows.refused:
        by_reason[row.why].append(row.example)
    verdict = warning if rows.taken else error
    ordered = sorted(by_reason.items(), key=lambda entry: -len(entry[1]))
    for why, refused in ordered[:_SHOWN_REASONS]:
        yield verdict(
            "template",
            f"{len(refused):,} of {every:,} {look.rows.which} cannot be written: {why}. First in "
            f"{_places(refused)}.",
            _remedy(look, refused, left_out=bool(rows.taken)),
        )
    if others := [example for _, refused in ordered[_SHOWN_REASONS:] for example in refused]:
        yield verdict(
            "template",
            f"{len(others):,} more cannot be written for other reasons, first in "
            f"{_places(others)}.",
            _remedy(look, others, left_out=bool(rows.taken)),
        )
    if not rows.refused:
        yield ok("template", f"It writes all {every:,} {look.rows.which}: {_turns(rows.taken)}.")


def system_text(look: Look) -> Iterator[Finding]:
    """The base puts no words of its own before rows that bring no system text.

    A label does not change with what the model is told that it is; prose may say it.
    """
    own = look.base.template.own_system if look.base.template else ""
    rows = look.written.taken
    bare = [row.example for row in rows if not row.example.system]
    if not own or not bare:
        yield ok("system text", "The template adds none of its own to these rows.")
        return
    said = (
        f"{len(bare):,} of {len(rows):,} {look.rows.which} bring none, so the base's template "
        f"writes its own before them, in training, evaluation and production: “{_shortened(own)}”."
    )
    if not is_prose(look.model.task):
        yield ok("system text", said)
        return
    yield warning(
        "system text",
        f"{said} A model may say so of itself.",
        "Say in task.system what the model is for and whom it speaks for: it takes that place.",
    )


def clock(look: Look) -> Iterator[Finding]:
    """The template writes the same today and tomorrow."""
    base = look.base
    if base.template is None or not reads_the_clock(base.template_text):
        yield ok("clock", "The template asks for no date and no time.")
    elif not reads_the_clock(base.template.text):
        yield ok(
            "clock",
            f"The template writes today's date into every prompt; it is {DAY:%d %B %Y} for ever, "
            "in training, evaluation and serving, and a part of the base's identity.",
        )
    else:
        yield warning(
            "clock",
            "The template reads the clock in a way that cannot be fixed: it is trained with one "
            "date and served with another.",
            "Write a date that stays into chat_template.jinja of the base's folder.",
        )


def _remedy(look: Look, rows: Sequence[Example], *, left_out: bool) -> str:
    if not left_out and look.model.task.system and all(row.system for row in rows):
        return "Choose a base whose template takes a system text, or leave task.system out."
    return f"They are left out. {_OTHER}" if left_out else _OTHER


def _turns(rows: Sequence[WrittenRow]) -> str:
    examples = [row.example for row in rows]
    with_system = sum(bool(example.system) for example in examples)
    several = sum(sum(turn.role == "user" for turn in example.messages) > 1 for example in examples)
    tools = sum(bool(example.tools) for example in examples)
    told = f"{with_system:,} with a system text, {several:,} with several turns"
    return told + (f", {tools:,} with tools" if tools else "")


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


def _places(rows: Sequence[Example]) -> str:
    return "; ".join(row.place for row in rows[:_SHOWN_PLACES])
