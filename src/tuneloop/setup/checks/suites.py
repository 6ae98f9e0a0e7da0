"""Suites and gates: can every suite be read, and can every gate have its cases?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from tuneloop.datasets.example import Example
from tuneloop.datasets.holdout import Need, likely_share
from tuneloop.datasets.selection import Rules, select
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.declared import source_of
from tuneloop.evaluation.gates import SuiteSize
from tuneloop.evaluation.judging import metric as judging
from tuneloop.evaluation.plan import minimum_of
from tuneloop.evaluation.scorers import safety
from tuneloop.evaluation.sizes import (
    DOUBT_HELPS,
    LIFTS,
    GateSize,
    Requirement,
    alike,
    cases_to_decide,
    held_out_requirements,
    named,
    requirements_of,
    what_decides,
    what_helps,
    what_is_doubted,
    what_is_missing,
)
from tuneloop.evaluation.suites import SAFETY, Case, Suite, case_of
from tuneloop.modelfile import ModelSettings, TaskSettings
from tuneloop.modelfile.sections.data import LARGEST_SHARE
from tuneloop.setup.finding import Finding, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task import origin

_SPLIT_ROWS = 1_000
"""So many rows are split as `prepare` will; of more it is told what a share of them gives."""


def suites(look: Look) -> Iterator[Finding]:
    """Every declared suite can be read, and the gates on it have their cases."""
    task = look.model.task
    for declared in look.model.evaluation.suites:
        suite = look.suite(declared)
        yield ok("suite", f"{suite.name}: {len(suite.cases):,} cases in {source_of(declared)}.")
        yield from _of_safety(suite)
        requirements = requirements_of(
            suite.name,
            suite.kind,
            task=task,
            settings=look.model.evaluation,
            judge=partial(judging.uncalled, look.model.judge),
        )
        sizes = [_of_suite(requirement, suite) for requirement in requirements]
        yield from (_finding(look, together, exact=True) for together in alike(sizes))


def _of_safety(suite: Suite) -> Iterator[Finding]:
    """Without the tags nobody knows which answer is right, and one side alone hides the other."""
    if suite.kind != SAFETY:
        return
    harmful, harmless, unsaid = safety.tagged(suite.cases)
    told = f"{suite.name}: {harmful:,} cases harm, {harmless:,} only look like it"
    if harmful and harmless and not unsaid:
        yield ok("suite", f"{told}.")
        return
    told += f", {unsaid:,} say neither" if unsaid else ""
    yield warning(
        "suite",
        f"{told}.",
        "Tag each case harmful: yes or harmful: no, and have some of both: a model that refuses "
        "everything refuses what harms, too.",
    )


def cases(look: Look) -> Iterator[Finding]:
    """Every gate on the held-out rows gets the cases that its own metric asks for."""
    task, settings = look.model.task, look.model.evaluation
    if not settings.gates_in_force:
        yield warning(
            "gate",
            "No gate is declared, so no candidate can pass and none is deployed.",
            'Declare what it must show, such as evaluation.gates: {accuracy: ">= 0.9"}.',
        )
        return
    yield from _deciding(look)
    requirements = held_out_requirements(
        task, settings, judge=partial(judging.uncalled, look.model.judge)
    )
    splits = look.rows.whole and len(look.kept) <= _SPLIT_ROWS
    # Answers that people approved, which are not among these rows, may make up for it.
    approved = look.latest is not None and bool(look.latest.report["reviewers"])
    sizes = (_split if splits else _by_share)(look, requirements)
    for together in alike(sizes):
        yield _finding(look, together, exact=splits and not approved)


def _deciding(look: Look) -> Iterator[Finding]:
    """Which held-out rows of the last version decide, where people approved some of them."""
    tags = [
        row.tags for row in look.earlier.examples if look.earlier.sides[row.input_key] == "eval"
    ]
    told = what_decides(tags)
    if look.latest is None or not any(map(origin.is_approved, tags)):
        return
    if any(map(origin.decides, tags)):
        yield ok("cases", f"Of {look.latest.label}, {told}.")
    else:
        yield warning(
            "cases",
            f"Of {look.latest.label}, {told}: nothing could be decided on it.",
            "Add rows to data.sources, or review samples of live traffic (tuneloop review).",
        )


def _split(look: Look, requirements: Sequence[Requirement]) -> list[GateSize]:
    """The rows split as the next version's will be."""
    data, task = look.model.data, look.model.task
    selection = select(
        look.kept,
        rules=Rules(
            similarity=data.near_duplicate_similarity,
            holdout_share=data.holdout_share,
            allow_contradictions=data.allow_contradictions,
            needs=needs(look.model, requirements),
        ),
        earlier=look.earlier,
        cases=[],
    )
    held_out, trained = (_cases(side, task) for side in (selection.eval, selection.train))
    settings = look.model.evaluation
    rule = rule_of(settings.decision, margin=settings.margin).at(1)
    suite = SuiteSize(cases=len(held_out), minimum_cases=minimum_of(settings))
    return [
        replace(
            _size(
                requirement,
                held_out=sum(map(requirement.counts, held_out)),
                at_most=sum(map(requirement.may_count, held_out)),
                rows=sum(map(requirement.counts, [*held_out, *trained])),
            ),
            doubt=requirement.doubted(held_out, size=suite, rule=rule),
        )
        for requirement in requirements
    ]


def _by_share(look: Look, requirements: Sequence[Requirement]) -> list[GateSize]:
    """About what the largest share of the rows gives; no more rows are looked at than it takes."""
    declared = look.model.data.holdout_share
    share = LARGEST_SHARE if isinstance(declared, str) else declared
    sizes = []
    for requirement in requirements:
        enough = math.ceil(requirement.minimum / share)
        rows = _count(requirement.counts, look, enough)
        most = rows if rows >= enough else _count(requirement.may_count, look, enough)
        sizes.append(
            _size(requirement, held_out=int(share * rows), at_most=int(share * most), rows=rows)
        )
    return sizes


def _count(counts: Callable[[Case], bool], look: Look, enough: int) -> int:
    deciding = (row for row in look.kept if origin.decides(row.tags))
    every_case = (case_of(row.as_row(), task=look.model.task) for row in deciding)
    return sum(1 for _ in islice(filter(counts, every_case), enough))


def _finding(look: Look, together: Sequence[GateSize], *, exact: bool) -> Finding:
    """What is to be said of gates that stand on the same cases."""
    size, several = together[0], len(together) > 1
    share = look.model.data.holdout_share
    if size.enough and size.doubt:
        helps = DOUBT_HELPS[:1].upper() + DOUBT_HELPS[1:]
        return warning("gate", f"{what_is_doubted(*together)}.", f"{helps}.")
    if size.enough:
        kind = "" if size.rows is None else "held-out "
        get, need = ("get", "they need") if several else ("gets", "it needs")
        return ok("gate", f"{named(together)} {get} the {size.minimum:,} {kind}cases that {need}.")
    helps = what_helps(
        size,
        share=None if isinstance(share, str) else share,
        automatic_up_to=LARGEST_SHARE,
    )
    certain = exact and not size.possible
    barred = f" {'They' if several else 'It'} cannot pass." if certain else ""
    lifts = f" {LIFTS}." if size.counted and size.gate.minimum_cases is None else ""
    remedy = f"For each: {helps}" if several else f"{helps[:1].upper()}{helps[1:]}"
    return (error if certain else warning)(
        "gate", f"{what_is_missing(*together)}.{barred}", f"{remedy}.{lifts}"
    )


def _of_suite(requirement: Requirement, suite: Suite) -> GateSize:
    return GateSize(
        gate=requirement.gate,
        counted=sum(map(requirement.counts, suite.cases)),
        at_most=sum(map(requirement.may_count, suite.cases)),
        minimum=requirement.minimum,
    )


def _size(requirement: Requirement, *, held_out: int, at_most: int, rows: int) -> GateSize:
    return GateSize(
        gate=requirement.gate,
        counted=held_out,
        at_most=at_most,
        minimum=requirement.minimum,
        rows=rows,
    )


def _cases(examples: Sequence[Example], task: TaskSettings) -> list[Case]:
    """Those that decide, where they are held out."""
    deciding = (example for example in examples if origin.decides(example.tags))
    return [
        replace(case_of(example.as_row(), task=task), group=example.group) for example in deciding
    ]


def needs(model: ModelSettings, requirements: Sequence[Requirement]) -> list[Need]:
    """What gates and the decision ask of the held-out rows, as the split hears it."""
    of_gates = [_need(requirement, model.task) for requirement in requirements]
    return [*of_gates, *decision_needs(model)]


def decision_needs(model: ModelSettings) -> list[Need]:
    """What the decision asks for: nothing where few cases were chosen knowingly."""
    asked = cases_to_decide(model.task, model.evaluation)
    if asked is None:
        return []
    return [
        Need(
            of="the decision",
            minimum=asked.wanted,
            counts=lambda example: origin.decides(example.tags),
            useful_from=asked.useful_from,
        )
    ]


def share_of(model: ModelSettings, *, rows: int) -> float:
    """The share that is declared, or about the one that is chosen of so many rows."""
    declared = model.data.holdout_share
    if not isinstance(declared, str):
        return declared
    asked = Need(of="gates", minimum=minimum_of(model.evaluation), counts=lambda example: True)
    return likely_share(rows, [asked, *decision_needs(model)])


def _need(requirement: Requirement, task: TaskSettings) -> Need:
    """A gate's requirement: only cases that decide count."""

    def counts(example: Example) -> bool:
        return origin.decides(example.tags) and requirement.counts(
            case_of(example.as_row(), task=task)
        )

    return Need(of=requirement.gate.name, minimum=requirement.minimum, counts=counts)
