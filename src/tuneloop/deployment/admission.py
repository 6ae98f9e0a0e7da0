"""What keeps a bundle out of production: the one rule that every way in asks.

Refusals are about what a bundle does, not about its id (`registry.behaviour`): the same weights,
asked the same way, stay out under whatever name they come back. Four things keep a behaviour out:
its newest evaluation did not pass, somebody rejected it, production went back from it, or its
rollout was taken back. Each is undone by somebody who says so, and by nothing else: a newer
evaluation, a withdrawal, a readmission.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Literal

import sqlalchemy as sa

from tuneloop.deployment import rollouts
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import GateError, UsageError
from tuneloop.hashing import short
from tuneloop.registry import aliases, approvals
from tuneloop.registry import bundle as bundles
from tuneloop.registry.aliases import Move
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.standing import Entry, rejections_in
from tuneloop.storage import tables
from tuneloop.workspace import Workspace

How = Literal["not passed", "rejected", "rolled back", "taken back"]
LIVE: tuple[How, ...] = ("rolled back", "taken back")
"""What was said of it while clients were answered by it; a person may readmit it."""
_SAID = {"failed": "missed a gate", "refused": "could not pass its gates"}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One thing that keeps a behaviour out of production."""

    how: How
    """rolled back: production went back from it; taken back: its rollout was."""
    bundle: str
    """Id of the bundle that it happened to."""
    brief: str
    """What and who, to follow the bundle's name: "was rolled back by ann"."""
    detail: str
    """When and why."""
    remedy: str
    """What undoes it."""
    at: datetime

    def about(self, bundle: str) -> str:
        """All of it, to follow the name of a bundle that behaves so."""
        reason = f"{self.brief} {self.detail}".strip()
        if self.bundle == bundle:
            return reason
        return f"behaves as {short(self.bundle)}, which {reason}"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What an evaluation said of a bundle."""

    bundle: str
    evaluation: str
    verdict: str
    """passed, failed, refused; empty: it was not judged."""
    made_with: bool
    """Whether it is the one in the bundle's manifest."""
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Past:
    """What happened to the bundles of one model."""

    behaviours: Mapping[str, str]
    """Bundle id → behaviour, of all of them, the newest first."""
    judged: Sequence[Judged] = ()
    decisions: Sequence[Entry] = ()
    """What people said, the oldest first."""
    moves: Sequence[Move] = ()
    """The newest first."""
    rollouts: Sequence[Rollout] = ()
    """The newest first."""
    ended_for_another_reason: Collection[str] = ()
    """Ids of rollouts that the controller aborted, because something else refuses the candidate."""

    def alike(self, bundle: str) -> frozenset[str]:
        """Ids of the bundles that behave as this one, itself among them."""
        return self._groups.get(self.behaviour(bundle), frozenset({bundle}))

    def behaviour(self, bundle: str) -> str:
        """Of a bundle; one that is gone behaves like no other."""
        return self.behaviours.get(bundle, bundle)

    @cached_property
    def _groups(self) -> Mapping[str, frozenset[str]]:
        """Behaviour → the bundles that behave so."""
        by_behaviour = sorted(self.behaviours.items(), key=itemgetter(1))
        grouped = groupby(by_behaviour, key=itemgetter(1))
        return {of: frozenset(bundle for bundle, _ in group) for of, group in grouped}


def admission(bundle: str, past: Past) -> tuple[Refusal, ...]:
    """What keeps a bundle out of production, the gravest first; empty: nothing does."""
    alike = past.alike(bundle)
    return (*_verdict(alike, past), *_rejections(alike, past), *_live(alike, past))


def namesake(bundle: str, past: Past) -> str:
    """The bundle that one behaves as and what is held against that; empty: there is none.

    Of several the one that something is held against, else the oldest.
    """
    others = past.alike(bundle) - {bundle}
    if not others:
        return ""
    refused = next((one for one in admission(bundle, past) if one.bundle in others), None)
    if refused is not None:
        return f"{short(refused.bundle)} ({refused.brief})"
    return short([other for other in past.behaviours if other in others][-1])


def _verdict(alike: Collection[str], past: Past) -> Iterator[Refusal]:
    """The newest evaluation counts, whichever of the bundles it was of."""
    judged = sorted((one for one in past.judged if one.bundle in alike), key=lambda one: one.at)
    if not judged or judged[-1].verdict == "passed":
        return
    newest = judged[-1]
    if newest.made_with:
        detail, show = "", f"tuneloop bundle show {short(newest.bundle)}"
    else:
        detail = f"in its newest evaluation, {newest.evaluation}"
        show = f"tuneloop evaluation show {newest.evaluation}"
    yield Refusal(
        how="not passed",
        bundle=newest.bundle,
        brief=_SAID.get(newest.verdict, "was not judged by any gates"),
        detail=detail,
        remedy=f"See why with: {show}",
        at=newest.at,
    )


def _rejections(alike: Collection[str], past: Past) -> Iterator[Refusal]:
    for entry in rejections_in([said for said in past.decisions if said.bundle in alike]):
        yield Refusal(
            how="rejected",
            bundle=entry.bundle,
            brief=f"was rejected by {entry.person}",
            detail=f"({entry.reason})",
            remedy="Make a better candidate; or whoever rejected it withdraws that: "
            f"{approvals.withdrawal(entry)}",
            at=entry.at,
        )


_Word = tuple[datetime, "Refusal | None"]
"""When something was said of a behaviour, and what; None: that it may be tried."""


def _live(alike: Collection[str], past: Past) -> Iterator[Refusal]:
    """The last word of what happened to it before clients, and of who let it try again."""
    words: list[_Word] = [
        *((rollout.created_at, None) for rollout in past.rollouts if rollout.candidate in alike),
        *_moves(alike, past),
        *_taken_back(alike, past),
        *((d.at, None) for d in past.decisions if d.event == "readmitted" and d.bundle in alike),
    ]
    in_order = sorted(words, key=lambda word: word[0])
    if in_order and (last := in_order[-1][1]) is not None:
        yield last


def _taken_back(alike: Collection[str], past: Past) -> Iterator[_Word]:
    for rollout in reversed(past.rollouts):
        ended, bad = rollout.finished_at, rollout.status in ("rolled_back", "aborted")
        if rollout.candidate not in alike or not bad or ended is None:
            continue
        if rollout.id not in past.ended_for_another_reason:
            refusal = Refusal(
                how="taken back",
                bundle=rollout.candidate,
                brief=f"was taken back by rollout {rollout.id}",
                detail=f"({rollout.detail})",
                remedy=_readmission(rollout.candidate),
                at=ended,
            )
            yield ended, refusal


def _moves(alike: Collection[str], past: Past) -> Iterator[_Word]:
    """When it came into production, and when production went back from it.

    To go back is to go to what was there before. A newer bundle is no judgement on the one before,
    an undone rollback none on what it had brought back, and a drill none on either.
    """
    been: set[str] = set()
    undo: tuple[str, str] | None = None
    for move in reversed(past.moves):
        if move.name != "production" or move.drill or move.to_bundle is None:
            continue
        left = move.from_bundle or ""
        before, after = past.behaviour(left), past.behaviour(move.to_bundle)
        back = after in been and before != after and (before, after) != undo
        undo = (after, before) if back else None
        been.add(after)
        if move.to_bundle in alike and before != after:
            yield move.at, None
        elif back and left in alike:
            refusal = Refusal(
                how="rolled back",
                bundle=left,
                brief=f"was rolled back by {move.actor}",
                detail=f"at {move.at:%Y-%m-%d %H:%M} UTC ({move.reason})",
                remedy=_readmission(left),
                at=move.at,
            )
            yield move.at, refusal


def _readmission(bundle: str) -> str:
    return (
        "Make a better candidate; or take that back, which is kept in the audit log: "
        f"tuneloop readmit {short(bundle)} -m WHY"
    )


def past_of(workspace: Workspace, model: str) -> Past:
    """What happened to a model's bundles until now."""
    known = bundles.listing(workspace, model=model)
    return Past(
        behaviours={bundle.id: bundle.behaviour for bundle in known},
        judged=_judged(workspace, model, known),
        decisions=approvals.history(workspace, model=model),
        moves=aliases.history(workspace, model),
        rollouts=rollouts.listing(workspace, model),
        ended_for_another_reason=rollouts.aborted_by(workspace, model, rollouts.CONTROLLER),
    )


def refusals(workspace: Workspace, bundle: Bundle) -> tuple[Refusal, ...]:
    """What keeps a bundle out of production now."""
    return admission(bundle.id, past_of(workspace, bundle.model))


def require(workspace: Workspace, bundle: Bundle) -> None:
    """Refuse what was refused before, under whatever id.

    Raises:
        GateError: its newest evaluation did not pass, somebody rejected it, or clients met it and
            it was taken back; says who did that, and what undoes it.
    """
    for refusal in refusals(workspace, bundle):
        raise GateError(
            f"Bundle {bundle.short} may not be deployed: it {refusal.about(bundle.id)}.",
            remedy=f"Production is unchanged. {refusal.remedy}",
        )


def require_way_back(workspace: Workspace, bundle: Bundle, *, drill: bool = False) -> None:
    """Refuse to go back to what somebody rejected.

    To go back must not wait for an evaluation, and may be to undo a rollback. A `drill` undoes
    none: it shows no client what was taken from them.

    Raises:
        GateError: it was rejected, or taken back before a drill; says by whom, and what undoes it.
    """
    hows: tuple[How, ...] = ("rejected", *LIVE) if drill else ("rejected",)
    for refusal in refusals(workspace, bundle):
        if refusal.how in hows:
            raise GateError(
                f"Bundle {bundle.short} may not be gone back to: it {refusal.about(bundle.id)}.",
                remedy=f"Production is unchanged. {refusal.remedy}",
            )


def readmit(
    workspace: Workspace, bundle: Bundle, *, actor: str, reason: str
) -> tuple[Refusal, ...]:
    """Let what was taken back before clients be tried again; gives what is undone by that.

    Raises:
        NotAllowedError: people are declared, and `actor` may not deploy.
        UsageError: nothing of that kind keeps it out, or it is without a reason.
    """
    found = refusals(workspace, bundle)
    undone = tuple(refusal for refusal in found if refusal.how in LIVE)
    if not undone:
        raise UsageError(
            f"Bundle {bundle.short} was neither rolled back nor taken back by a rollout: there is "
            "nothing to readmit.",
            remedy=found[0].remedy if found else f"Deploy it: tuneloop deploy {bundle.short}",
        )
    approvals.readmit(workspace, bundle, actor=actor, reason=reason)
    return undone


def _judged(workspace: Workspace, model: str, known: Sequence[Bundle]) -> list[Judged]:
    """Every finished evaluation of a bundle: the one that it was made with, and those since."""
    table = tables.evaluations
    query = sa.select(table).where(table.c.model == model, table.c.status == "finished")
    with workspace.records.begin() as tx:
        rows = {row.id: row for row in tx.execute(query.order_by(table.c.created_at))}
    judged = []
    for bundle in reversed(known):
        made_with = bundle.manifest.evaluation
        row = rows.get(made_with.id)
        judged.append(
            Judged(
                bundle=bundle.id,
                evaluation=made_with.id,
                verdict=made_with.verdict,
                made_with=True,
                at=bundle.created_at if row is None else row.finished_at or row.created_at,
            )
        )
    ids = {bundle.id for bundle in known}
    return judged + [
        Judged(
            bundle=row.subject,
            evaluation=row.id,
            verdict=row.verdict or "",
            made_with=False,
            at=row.finished_at or row.created_at,
        )
        for row in rows.values()
        if row.subject in ids
    ]
