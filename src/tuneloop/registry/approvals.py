"""Approvals: who said yes or no to a bundle, when, and what they had seen.

What the model file requires is a rule; what people did are events. Whether a bundle may go on is
computed from the two each time, so that an approval of an older report, or of somebody who made the
candidate, does not count however it got here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import sqlalchemy as sa

from tuneloop.errors import GateError, UsageError
from tuneloop.hashing import short
from tuneloop.modelfile import ApprovalRule, ModelSettings, Role
from tuneloop.registry import audit, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.standing import (
    KINDS,
    NO_VERDICT,
    Entry,
    Event,
    Kind,
    Seen,
    Standing,
    one_of,
    rejections_in,
    standing_of,
)
from tuneloop.registry.weakness import sentences, stored
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.workspace import Workspace


def seen(workspace: Workspace, bundle: Bundle) -> Seen:
    """What there is to see of a bundle: its latest evaluation, else the one it was made with."""
    table = tables.evaluations
    query = (
        sa.select(table)
        .where(table.c.subject == bundle.id, table.c.status == "finished")
        .order_by(table.c.created_at.desc(), table.c.id)
        .limit(1)
    )
    with workspace.records.begin() as tx:
        again = tx.execute(query).first()
    if again is not None:
        return Seen(
            evaluation=again.id,
            report=str(again.artifact),
            gates=again.gates,
            verdict=str(again.verdict),
            comparison=again.figures["comparisons"].get("production", {}),
            weakened=tuple(sentences(stored(again.figures.get("weakened")))),
        )
    made_with = bundle.manifest.evaluation
    return Seen(
        evaluation=made_with.id,
        report=bundle.manifest.artifacts.evaluation,
        gates=made_with.gates,
        verdict=made_with.verdict,
        comparison=made_with.comparisons.get("production", {}),
        weakened=tuple(sentences(stored(made_with.weakened))),
    )


def granted(workspace: Workspace, model: ModelSettings, bundle: Bundle, kind: Kind) -> Standing:
    """Whether a bundle has the approval of a kind that the model file requires.

    What somebody rejected is rejected under every id that it has.
    """
    rule, entries = _rule(model, kind), history(workspace, bundle=bundle.id)
    elsewhere = _elsewhere(workspace, bundle)
    if rule is None:
        return standing_of(kind, None, entries, elsewhere=elsewhere)
    return standing_of(
        kind,
        rule,
        entries,
        seen_digest=seen(workspace, bundle).digest,
        authors=authors(workspace, bundle),
        elsewhere=elsewhere,
    )


def require(workspace: Workspace, model: ModelSettings, bundle: Bundle) -> None:
    """Refuse a bundle that may not go into production yet.

    Raises:
        GateError: an approval is missing, or somebody rejected it; says who can give it.
    """
    for kind in KINDS:
        standing = granted(workspace, model, bundle, kind)
        if not standing.granted:
            raise GateError(
                f"Bundle {bundle.short} may not be deployed, its {kind} approval is missing: "
                f"{standing.reason}.",
                remedy=_remedy(workspace, bundle, standing),
            )


def request(
    workspace: Workspace, model: ModelSettings, bundle: Bundle, kind: Kind, *, actor: str
) -> Standing:
    """Ask for an approval, once for what there is to see now; gives where it stands."""
    standing = granted(workspace, model, bundle, kind)
    if standing.granted:
        return standing
    entry = _entry(workspace, bundle, kind, "requested", person=actor, reason=standing.reason)
    asked = {
        (earlier.kind, earlier.seen_digest)
        for earlier in history(workspace, bundle=bundle.id)
        if earlier.event == "requested"
    }
    if (kind, entry.seen_digest) not in asked:
        _write(workspace, entry, actor=actor)
    return standing


def decide(
    workspace: Workspace,
    model: ModelSettings,
    bundle: Bundle,
    kind: Kind,
    event: Literal["approved", "rejected"],
    *,
    actor: str,
    reason: str,
    saw: Seen | None = None,
) -> Standing:
    """Record a person's decision and give where the bundle stands with it.

    `saw` is what they looked at, by default what there is to see now.

    Raises:
        NotAllowedError: their role does not count here.
        UsageError: they made the candidate themselves, or nobody is declared who could approve it;
            or it is rejected without a reason.
    """
    rule = _rule(model, kind)
    roles = people.allow(
        workspace, actor, "approve", model=model.name, roles=rule.roles if rule else None
    )
    if event == "rejected" and not reason.strip():
        raise UsageError("Why is it rejected?", remedy="Say it with --reason.")
    if event == "approved" and rule is not None:
        _refuse_void(workspace, bundle, rule, roles, actor)
    entry = _entry(
        workspace, bundle, kind, event, person=actor, reason=reason, roles=roles, saw=saw
    )
    _write(workspace, entry, actor=actor)
    return granted(workspace, model, bundle, kind)


def withdraw(
    workspace: Workspace,
    model: ModelSettings,
    bundle: Bundle,
    kind: Kind,
    *,
    actor: str,
    reason: str,
    of: str | None = None,
) -> Standing:
    """Take a decision back: one's own, or as an administrator that `of` somebody else.

    Raises:
        NotAllowedError: it is somebody else's.
        UsageError: there is no decision to take back.
    """
    person = of or actor
    if person != actor:
        people.allow(workspace, actor, "approve", model=model.name, roles=("admin",))
    mine = [
        decision
        for decision in history(workspace, bundle=bundle.id)
        if (decision.kind, decision.person) == (kind, person) and decision.event not in NO_VERDICT
    ]
    if not mine or mine[-1].event == "withdrawn":
        others = [it for it in rejections_in(_elsewhere(workspace, bundle)) if it.person == person]
        raise UsageError(
            f"{person} has decided nothing about bundle {bundle.short} that could be withdrawn.",
            remedy=f"It behaves as a bundle that was rejected: {withdrawal(others[0])}"
            if others
            else "See the decisions with: tuneloop approvals list",
        )
    roles = mine[-1].roles
    entry = _entry(workspace, bundle, kind, "withdrawn", person=person, reason=reason, roles=roles)
    _write(workspace, entry, actor=actor)
    return granted(workspace, model, bundle, kind)


def readmit(workspace: Workspace, bundle: Bundle, *, actor: str, reason: str) -> Entry:
    """Take back what live traffic or a rollback said about what a bundle does: it may be tried
    again. A rejection is for whoever said it to withdraw, a missed gate for another evaluation.

    Raises:
        NotAllowedError: people are declared, and `actor` may not deploy.
        UsageError: it is without a reason.
    """
    roles = people.allow(workspace, actor, "deploy", model=bundle.model)
    if not reason.strip():
        raise UsageError("Why is it readmitted?", remedy="Say it with --reason.")
    entry = _entry(
        workspace, bundle, "deploy", "readmitted", person=actor, reason=reason, roles=roles
    )
    _write(workspace, entry, actor=actor)
    return entry


def authors(workspace: Workspace, bundle: Bundle) -> frozenset[str]:
    """Who made a bundle the candidate."""
    table = tables.alias_events
    query = sa.select(table.c.actor).where(
        table.c.model == bundle.model, table.c.name == "candidate", table.c.to_bundle == bundle.id
    )
    with workspace.records.begin() as tx:
        return frozenset(tx.execute(query).scalars())


def history(
    workspace: Workspace, *, model: str | None = None, bundle: str | None = None
) -> list[Entry]:
    """Requests and decisions, the oldest first."""
    table = tables.approvals
    query = sa.select(table).order_by(table.c.id)
    if model is not None:
        query = query.where(table.c.model == model)
    if bundle is not None:
        query = query.where(table.c.bundle == bundle)
    with workspace.records.begin() as tx:
        return [record_of(Entry, row) for row in tx.execute(query)]


def _rule(model: ModelSettings, kind: Kind) -> ApprovalRule | None:
    return model.approvals.evaluation if kind == "evaluation" else model.approvals.deploy


def _refuse_void(
    workspace: Workspace,
    bundle: Bundle,
    rule: ApprovalRule,
    roles: frozenset[Role],
    actor: str,
) -> None:
    """An approval that would not count is no approval."""
    if not roles:
        raise UsageError(
            f"The model file wants an approval by {one_of(rule)}, and nobody is declared.",
            remedy="Declare who is who, an administrator first: tuneloop people add NAME --role "
            f"admin, then: tuneloop people add NAME --role {rule.roles[0]}",
        )
    if rule.not_author and actor in authors(workspace, bundle):
        raise UsageError(
            f"{actor} made bundle {bundle.short} the candidate, and the model file wants the "
            "approval of somebody else.",
            remedy=f"Ask another {one_of(rule)}, or allow it with `not_author: false`.",
        )


def _elsewhere(workspace: Workspace, bundle: Bundle) -> list[Entry]:
    """Requests and decisions about the bundles that behave as this one."""
    others = {other.id for other in bundles.alike(workspace, bundle)}
    if not others:
        return []
    return [entry for entry in history(workspace, model=bundle.model) if entry.bundle in others]


def withdrawal(entry: Entry) -> str:
    """What takes a rejection back."""
    return f"tuneloop approvals withdraw {short(entry.bundle)} --kind {entry.kind}"


def _remedy(workspace: Workspace, bundle: Bundle, standing: Standing) -> str:
    if standing.rejected_by:
        said = [*history(workspace, bundle=bundle.id), *_elsewhere(workspace, bundle)]
        first = next(entry for entry in rejections_in(said) if entry.kind == standing.kind)
        return (
            "Production is unchanged. Make a better candidate; or whoever rejected it withdraws "
            f"that: {withdrawal(first)}"
        )
    return (
        f"Production is unchanged. Read the report (tuneloop bundle show {bundle.short}), then: "
        f"tuneloop approve {bundle.short} --kind {standing.kind}"
    )


def _entry(
    workspace: Workspace,
    bundle: Bundle,
    kind: Kind,
    event: Event,
    *,
    person: str,
    reason: str,
    roles: Iterable[Role] = (),
    saw: Seen | None = None,
) -> Entry:
    """An event of now, about what there is to see now unless `saw` says otherwise."""
    what = saw or seen(workspace, bundle)
    return Entry(
        model=bundle.model,
        bundle=bundle.id,
        kind=kind,
        event=event,
        person=person,
        roles=tuple(sorted(roles)),
        reason=reason,
        seen=what.as_json(),
        seen_digest=what.digest,
        at=workspace.now(),
    )


def _write(workspace: Workspace, entry: Entry, *, actor: str) -> None:
    values = {**vars(entry), "roles": list(entry.roles)}
    told = {key: value for key, value in values.items() if key not in ("model", "event", "at")}
    with workspace.records.begin() as tx:
        tx.execute(sa.insert(tables.approvals).values(values))
        audit.record(
            tx,
            model=entry.model,
            actor=actor,
            action=f"approval.{entry.event}",
            detail=told,
            now=entry.at,
        )
