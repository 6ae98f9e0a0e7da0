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
from tuneloop.task.kind import is_prose

_HARDLY_EVER = 0.75
"""Refusals of an equal candidate from which on a new version will hardly ever be deployed."""


def decision(look: Look) -> Iterator[Finding]:
    """How often an equal candidate will be refused, and a worse one let through."""
    settings, share = look.model.evaluation, look.model.data.holdout_share
    share = LARGEST_SHARE if isinstance(share, str) else share
    cases = int(share * len(look.kept)) if look.latest is None else look.latest.rows_eval
    if cases < 1:
        return
    taken = looks.taken(look.project.workspace, model=look.model.name, suite=HELD_OUT)
    rule = rule_of(settings.decision, margin=settings.margin).at(taken + 1)
    of = operating_on_means if is_prose(look.model.task) else operating
    errs = of(rule, cases=cases, margin=settings.margin)
    again = f" It will be look {taken + 1} at them." if taken else ""
    said = f"{settings.decision}: {errs.sentence}{again}"
    if errs.equal_refused <= _HARDLY_EVER:
        yield ok("decision", said)
    else:
        yield warning(
            "decision",
            said,
            "Add rows, or let people label a random sample of the live traffic; "
            "evaluation.decision: lenient tolerates more.",
        )
