"""The decision: how often will it err on as many cases as there will be?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.evaluation import looks
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.operating import operating, operating_on_means
from tuneloop.modelfile import HELD_OUT
from tuneloop.modelfile.sections.data import LARGEST_SHARE
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task import origin
from tuneloop.task.kind import is_prose

_HARDLY_EVER = 0.75
"""Refusals of an equal candidate from which on a new version will hardly ever be deployed."""


def decision(look: Look) -> Iterator[Finding]:
    """How often an equal candidate will be refused, and a worse one let through."""
    settings, share = look.model.evaluation, look.model.data.holdout_share
    share = LARGEST_SHARE if isinstance(share, str) else share
    cases = groups = int(share * len(look.kept))
    if look.latest is not None:
        cases, groups = _held_out(look)
    if groups < 1:
        return
    taken = looks.taken(look.project.workspace, model=look.model.name, suite=HELD_OUT)
    rule = rule_of(settings.decision, margin=settings.margin).at(taken + 1)
    of = operating_on_means if is_prose(look.model.task) else operating
    errs = of(rule, cases=groups, margin=settings.margin)
    again = f" It will be look {taken + 1} at them." if taken else ""
    alike = ""
    if groups < cases:
        alike = (
            f" The {cases:,} held-out cases are {groups:,} groups, of one customer or conversation "
            "or nearly alike, each of which counts as one."
        )
    said = f"{settings.decision}: {errs.sentence}{alike}{again}"
    if errs.equal_refused <= _HARDLY_EVER:
        yield ok("decision", said)
    else:
        yield warning(
            "decision",
            said,
            "Add rows, or let people label a random sample of the live traffic; "
            "evaluation.decision: lenient tolerates more.",
        )


def _held_out(look: Look) -> tuple[int, int]:
    """The rows of the last version that decide, and their groups."""
    sides = look.earlier.sides
    rows = [
        row
        for row in look.earlier.examples
        if sides[row.input_key] == "eval" and origin.decides(row.tags)
    ]
    return len(rows), len({row.group or row.input_key for row in rows})
