"""The decision: how often will it err on as many cases as there will be?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tuneloop.evaluation import looks
from tuneloop.evaluation.clusters import worth_if_alike
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.operating import HARDLY_EVER, operating, operating_on_means
from tuneloop.modelfile import HELD_OUT
from tuneloop.modelfile.sections.data import AUTO, LARGEST_SHARE
from tuneloop.setup.checks.suites import decision_needs, share_of
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task import origin
from tuneloop.task.kind import is_prose


def decision(look: Look) -> Iterator[Finding]:
    """How often an equal candidate will be refused, and a worse one let through."""
    settings, share = look.model.evaluation, share_of(look.model, rows=len(look.kept))
    groups: Sequence[str] = ()
    if look.latest is not None:
        groups = _held_out(look)
    cases = len(groups) or int(share * len(look.kept))
    worth = int(worth_if_alike(groups)) if groups else cases
    if worth < 1:
        return
    taken = looks.taken(look.project.workspace, model=look.model.name, suite=HELD_OUT)
    rule = rule_of(settings.decision, margin=settings.margin).at(taken + 1)
    of = operating_on_means if is_prose(look.model.task) else operating
    errs = of(rule, cases=worth, margin=settings.margin)
    again = f" It will be look {taken + 1} at them." if taken else ""
    alike = ""
    if worth < cases:
        alike = (
            f" The {cases:,} held-out cases are {len(set(groups)):,} groups, of one customer or "
            f"conversation or nearly alike: they count for {worth:,}."
        )
    said = f"{settings.decision}: {errs.sentence}{alike}{again}{_chosen(look, share)}"
    if errs.equal_refused <= HARDLY_EVER:
        yield ok("decision", said)
    else:
        yield warning(
            "decision",
            said,
            "Add rows, or let people label a random sample of the live traffic; "
            "evaluation.decision: lenient tolerates more.",
        )


def _chosen(look: Look, share: float) -> str:
    """Why so many are held out, where that is left to tuneloop."""
    wanted = max((need.minimum for need in decision_needs(look.model)), default=0)
    if look.model.data.holdout_share != AUTO or look.latest is not None or not wanted:
        return ""
    rows = len(look.kept)
    said = f" holdout_share auto holds out {share:.0%} of {rows:,} rows"
    if share * rows >= wanted:
        return f"{said} for that."
    return f"{said}, the most that it takes." if share == LARGEST_SHARE else f"{said}."


def _held_out(look: Look) -> list[str]:
    """The groups of the rows of the last version that decide, one for each row."""
    sides = look.earlier.sides
    return [
        row.group or row.input_key
        for row in look.earlier.examples
        if sides[row.input_key] == "eval" and origin.decides(row.tags)
    ]
