"""Looks up in the stores which automation level a model has really reached."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from tuneloop.modelfile import ApprovalRule, ModelSettings
from tuneloop.monitoring import stage as monitoring
from tuneloop.registry import aliases, people
from tuneloop.registry import bundle as bundles
from tuneloop.retraining import levels, trigger_inputs
from tuneloop.retraining.levels import Reached, Requirement
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

MEASURED_DAYS = 7
"""Monitors run on schedule when they measured on all but one of so many days."""
DECIDED_DAYS = 2
"""Triggers run on schedule when the last decision is not older."""
EVALUATED_DAYS = 35
"""A monthly evaluation, with some days of grace."""
REHEARSED_DAYS = 100
"""A quarterly rehearsal of the rollback, with some days of grace."""


def reached(workspace: Workspace, model: ModelSettings) -> Reached:
    """The level that is reached and what the next one needs; of later ones nothing is looked up.

    Raises:
        StoreError: a store cannot be read.
    """
    checked: list[Requirement] = []
    for requirements in (_of_production, _of_evaluation, _of_retraining, _of_deployment):
        checked += requirements(workspace, model)
        if not all(requirement.met for requirement in checked):
            break
    return levels.reached(checked, declared=model.automation.level)


def _of_production(workspace: Workspace, model: ModelSettings) -> list[Requirement]:
    there = aliases.in_production(workspace, model.name) is not None
    state = "there" if there else "none, make one with: tuneloop run"
    return [Requirement(level=1, what="a bundle in production", met=there, found=state)]


def _of_evaluation(workspace: Workspace, model: ModelSettings) -> list[Requirement]:
    bundle = bundles.find(workspace, "production", model=model.name)
    benchmark = trigger_inputs.benchmark(workspace, model, bundle)
    table = tables.evaluations
    newest = sa.select(sa.func.max(table.c.finished_at)).where(
        table.c.model == model.name, table.c.status == "finished"
    )
    with workspace.records.begin() as tx:
        last = tx.execute(newest).scalar()
    recent = last is not None and workspace.now() - last <= timedelta(days=EVALUATED_DAYS)
    return [
        Requirement(level=2, what="a golden suite", met=benchmark.stable, found=benchmark.reason),
        Requirement(
            level=2,
            what=f"an evaluation in the last {EVALUATED_DAYS} days",
            met=recent,
            found="none" if last is None else f"the last one on {last:%Y-%m-%d}",
        ),
    ]


def _of_retraining(workspace: Workspace, model: ModelSettings) -> list[Requirement]:
    now = workspace.now()
    measured = monitoring.history(
        workspace, model=model.name, since=now - timedelta(days=MEASURED_DAYS)
    )
    days = len({measurement.time.date() for measurement in measured})
    table = tables.retraining_decisions
    newest = sa.select(sa.func.max(table.c.at)).where(table.c.model == model.name)
    with workspace.records.begin() as tx:
        decided = tx.execute(newest).scalar()
    judges = people.bus_factor(workspace, model.name).judges
    return [
        Requirement(
            level=3,
            what="monitors run on schedule",
            met=days >= MEASURED_DAYS - 1,
            found=f"measured on {days} of the last {MEASURED_DAYS} days",
        ),
        Requirement(
            level=3,
            what="triggers run on schedule",
            met=decided is not None and now - decided <= timedelta(days=DECIDED_DAYS),
            found="never" if decided is None else f"the last decision on {decided:%Y-%m-%d}",
        ),
        Requirement(
            level=3,
            what="two reviewers",
            met=len(judges) >= 2,
            found=f"{judges[0]} only" if len(judges) == 1 else f"{len(judges) or 'nobody'}",
        ),
        _rule("evaluation", model.approvals.evaluation, level=3),
    ]


def _of_deployment(workspace: Workspace, model: ModelSettings) -> list[Requirement]:
    drills = [move.at for move in aliases.history(workspace, model.name) if move.drill]
    last = max(drills, default=None)
    recent = last is not None and workspace.now() - last <= timedelta(days=REHEARSED_DAYS)
    return [
        _rule("deploy", model.approvals.deploy, level=4),
        Requirement(
            level=4,
            what="rollouts step by step",
            met=model.rollout.automatic,
            found="declared" if model.rollout.automatic else "rollout.automatic is false",
        ),
        Requirement(
            level=4,
            what=f"a rehearsed rollback in the last {REHEARSED_DAYS} days",
            met=recent,
            found="never, do it with: tuneloop drill"
            if last is None
            else f"the last one on {last:%Y-%m-%d}",
        ),
    ]


def _rule(kind: str, rule: ApprovalRule | None, *, level: int) -> Requirement:
    return Requirement(
        level=level,
        what=f"whose approval it takes (approvals.{kind})",
        met=rule is not None,
        found="not declared" if rule is None else f"{rule.count} of {', '.join(rule.roles)}",
    )
