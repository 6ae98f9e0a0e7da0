"""Erasure (H4): delete what is kept of a person, and say what was trained on it.

Everything that changes is deleted: captured traffic, the spool, review items, what monitors quote.
What never changes cannot be: dataset versions, reports and weights are listed, with everything that
they reached, and what to do about them. Rows that had been approved are marked by keyed hashes, so
that no later dataset version holds them even where they come back in a file.

The order lets a run that was killed be repeated: the interactions, by which all the rest is found,
go last.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from tuneloop.candidates.preparing import CORRECTIONS_FILE, SAMPLES_FILE
from tuneloop.datasets import source_watch, sources, versions
from tuneloop.datasets.example import Example
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import UsageError
from tuneloop.evaluation import stage as evaluation
from tuneloop.gateway.routing import conversation_of
from tuneloop.lineage.erasure_record import (
    ApprovedRow,
    Erasure,
    ReachedVersion,
    accounted,
    remains,
    to_do,
)
from tuneloop.lineage.erasure_suites import reached_suites
from tuneloop.monitoring import quotations
from tuneloop.online_evaluation import declared_judge as judges
from tuneloop.progress import Progress, Silent
from tuneloop.registry import audit, people, tombstones
from tuneloop.registry.lineage import reach
from tuneloop.storage import erasure as captured
from tuneloop.storage import tables
from tuneloop.storage.erasure import By, Captured
from tuneloop.storage.ingest import moving
from tuneloop.task.rows import FormError, recognise_case
from tuneloop.workspace import Workspace


def erase(
    workspace: Workspace,
    by: By,
    value: str,
    *,
    actor: str,
    dry_run: bool = False,
    progress: Progress = Silent(),
) -> Erasure:
    """Erase a user, a conversation (as it is stored, or as the client named its session), or one
    interaction, in every model of the workspace.

    Raises:
        NotAllowedError: people are declared, and `actor` is no administrator.
        UsageError: the value is empty.
        BusyError: captured traffic is being moved.
        StoreError: a store cannot be read or written; run it again.
    """
    if not value:
        raise UsageError(f"Which {by}?", remedy=f"Say it: tuneloop erase --{by} ID")
    people.allow(workspace, actor, "erase personal data")
    progress.step("Looking for what is kept")
    captured.settle(workspace.folder("spool"), workspace.traffic)
    names = {value}
    if by == "conversation":
        names.add(conversation_of("session", value.encode("utf-8", "surrogatepass")))
    captured_ids = captured.find(workspace.traffic, by, names)
    # An interaction may have gone by retention, and its review item is still there.
    interactions = names if by == "interaction" else set(captured_ids.interactions)
    quoting = quotations.erase(workspace, interactions, dry_run=True)
    items = _items(workspace, interactions)
    progress.step("Looking for dataset versions that hold it")
    keys = {key for item in items if (key := _input_key(item)) is not None}
    datasets, keys_in_versions = _reached(workspace, {item.id for item in items}, keys, progress)
    keys |= keys_in_versions
    items += _items_alike(workspace, keys, without={item.id for item in items})
    reached = reach(workspace, [version.digest for version in datasets])
    suites = reached_suites(workspace, interactions)
    done = Erasure(
        id=f"{workspace.now():%Y%m%d}-{uuid.uuid4().hex[:6]}",
        by=by,
        dry_run=dry_run,
        interactions=len(captured_ids.interactions),
        shadows=len(captured_ids.shadows),
        feedback=len(captured_ids.feedback),
        embeddings=len(captured_ids.embeddings),
        quotations=quoting,
        review_items=len(items),
        approved_rows=tuple(
            ApprovedRow(item=item.id, model=item.model, kind=item.kind)
            for item in items
            if item.status == "approved"
        ),
        datasets=datasets,
        reached=reached,
        remains=remains(datasets, reached, suites),
        to_do=to_do(datasets, reached, suites),
        suites=suites,
    )
    if not dry_run:
        progress.step("Deleting")
        _delete(workspace, captured_ids, interactions, items, keys, done, actor=actor)
    return done


def _delete(
    workspace: Workspace,
    captured_ids: Captured,
    interactions: Collection[str],
    items: list[sa.Row[Any]],
    keys: Collection[str],
    done: Erasure,
    *,
    actor: str,
) -> None:
    now, ids = workspace.now(), {item.id for item in items}
    with moving(workspace.folder("spool")):
        # Without feedback nothing can be put into the review queue again.
        captured.remove(workspace.traffic, "feedback", captured_ids.feedback)
        with workspace.records.begin() as tx:
            tombstones.plant(tx, keys, erasure=done.id, now=now)
            _delete_items(tx, ids)
            audit.record(
                tx,
                model="",
                actor=actor,
                action="personal_data.erase",
                detail=accounted(done),
                now=now,
            )
        for name in (CORRECTIONS_FILE, SAMPLES_FILE):
            (workspace.folder("work/corrections") / name).unlink(missing_ok=True)
        # An answer may quote a person, and what a judge said of it too; whoever misses one asks
        # again. So may a copy of a remote file, which is fetched again.
        for folder in (
            evaluation.ANSWERS_FOLDER,
            judges.ANSWERS_FOLDER,
            sources.CACHE,
            source_watch.FOLDER,
        ):
            shutil.rmtree(workspace.root / folder, ignore_errors=True)
        quotations.erase(workspace, interactions)
        workspace.records.free("review_items", "judgements", "alert_events")
        captured.remove(workspace.traffic, "shadows", captured_ids.shadows)
        captured.remove(workspace.traffic, "embeddings", captured_ids.embeddings)
        captured.remove(workspace.traffic, "interactions", captured_ids.interactions)


def _items(workspace: Workspace, interactions: Collection[str]) -> list[sa.Row[Any]]:
    """Review items made of these interactions."""
    wanted = set(interactions)
    with workspace.records.begin() as tx:
        rows = tx.execute(sa.select(tables.review_items)).all()
    return [row for row in rows if row.interaction in wanted]


def _items_alike(
    workspace: Workspace, keys: Collection[str], *, without: Collection[str]
) -> list[sa.Row[Any]]:
    """Items that were made of dataset rows which came from what is erased."""
    with workspace.records.begin() as tx:
        rows = tx.execute(
            sa.select(tables.review_items).where(tables.review_items.c.interaction.is_(None))
        ).all()
    return [row for row in rows if row.id not in without and _input_key(row) in keys]


def _delete_items(tx: sa.Connection, ids: Collection[str]) -> None:
    for identity in sorted(ids):
        tx.execute(sa.delete(tables.judgements).where(tables.judgements.c.item == identity))
        tx.execute(sa.delete(tables.review_items).where(tables.review_items.c.id == identity))


def _input_key(item: sa.Row[Any]) -> str | None:
    """The key that the item's prompt would have as a row; None where it cannot be a row."""
    try:
        messages = recognise_case({"messages": list(item.messages)}).messages
    except FormError:
        return None
    return Example(messages=messages, completion="", source="", line=0).input_key


def _reached(
    workspace: Workspace, items: Collection[str], keys: Collection[str], progress: Progress
) -> tuple[tuple[ReachedVersion, ...], set[str]]:
    """Dataset versions with rows of these items or inputs, and the input keys of those rows."""
    if not items and not keys:
        return (), set()
    table = tables.dataset_versions
    with workspace.records.begin() as tx:
        models = tx.execute(sa.select(table.c.model).distinct()).scalars().all()
    every = [version for model in models for version in versions.list_versions(workspace, model)]
    reached, reached_keys = [], set()
    for number, version in enumerate(every):
        progress.update(number, len(every), version.label)
        rows = _rows(workspace, version)
        affected = [
            (where, row)
            for where, row in rows
            if row.tags.get("review") in items or row.input_key in keys
        ]
        reached_keys |= {row.input_key for _, row in affected}
        counts = {side: sum(where == side for where, _ in affected) for side, _ in rows}
        if affected:
            reached.append(
                ReachedVersion(
                    digest=version.digest,
                    model=version.model,
                    label=version.label,
                    train=counts.get("train", 0),
                    held_out=counts.get("eval", 0),
                    left_out=counts.get("left out", 0),
                )
            )
    return tuple(reached), reached_keys


def _rows(workspace: Workspace, version: DatasetVersion) -> list[tuple[str, Example]]:
    """Every row of a version with where it is: train, eval, left out."""
    left_out = versions.read_left_out(workspace, version)
    return [
        *(("train", row) for row in versions.read_examples(workspace, version, "train")),
        *(("eval", row) for row in versions.read_examples(workspace, version, "eval")),
        *(("left out", Example.from_row(row["row"])) for row in left_out if row["row"]),
    ]
