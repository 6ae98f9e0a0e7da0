"""A row of the records store becomes a record by the names of its columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tuneloop.datasets.versions import DatasetVersion
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.deployment.rollouts import Rollout, RolloutEvent
from tuneloop.deployment.servers import ModelServer
from tuneloop.evaluation.record import Evaluation
from tuneloop.monitoring.alerts import Alert, AlertEvent
from tuneloop.registry.aliases import Alias, Move
from tuneloop.registry.audit import AuditEvent
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.keys import ApiKey
from tuneloop.registry.people import Person
from tuneloop.registry.routes import Key
from tuneloop.registry.standing import Entry
from tuneloop.retraining.cycles import Cycle
from tuneloop.review.outcome import Judgement
from tuneloop.review.queue import ReviewItem
from tuneloop.storage import tables
from tuneloop.storage.records import record_of
from tuneloop.training.stage import TrainingRun
from tuneloop.workspace import Workspace

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Small:
    """Fewer fields than columns, one of them called otherwise, one that no column has."""

    owner: str
    opens: tuple[str, ...]
    created_at: datetime
    remark: str = "none"


def row_of_a_key(workspace: Workspace) -> sa.Row[Any]:
    keys = tables.api_keys
    with workspace.records.begin() as tx:
        tx.execute(
            sa.insert(keys).values(
                name="k",
                digest="d" * 64,
                owner="desk",
                endpoints=["router", "shop"],
                feedback_for_all=False,
                created_at=AT,
            )
        )
        return tx.execute(sa.select(keys)).one()


def test_fields_have_the_values_of_their_columns_and_lists_are_tuples(workspace: Workspace) -> None:
    row = row_of_a_key(workspace)
    assert record_of(ApiKey, row) == ApiKey(
        name="k",
        owner="desk",
        endpoints=("router", "shop"),
        feedback_for_all=False,
        requests_per_minute=None,
        concurrent_requests=None,
        created_at=AT,
        revoked_at=None,
    )
    assert record_of(Small, row, opens=("all",)) == Small(
        owner="desk", opens=("all",), created_at=AT
    )


def test_a_field_without_a_column_is_no_silent_default(workspace: Workspace) -> None:
    with pytest.raises(KeyError, match="opens"):
        record_of(Small, row_of_a_key(workspace))


@pytest.mark.parametrize(
    ("record", "table", "made"),
    [
        (Alert, tables.alerts, ()),
        (AlertEvent, tables.alert_events, ()),
        (Alias, tables.aliases, ()),
        (ApiKey, tables.api_keys, ()),
        (AuditEvent, tables.audit_events, ()),
        (Bundle, tables.bundles, ()),
        (Cycle, tables.cycles, ()),
        (DatasetVersion, tables.dataset_versions, ("report",)),
        (Endpoint, tables.endpoints, ("bundle", "previous")),
        (Entry, tables.approvals, ()),
        (Evaluation, tables.evaluations, ()),
        (Judgement, tables.judgements, ()),
        (ModelServer, tables.model_servers, ()),
        (Move, tables.alias_events, ()),
        (Person, tables.people, ()),
        (ReviewItem, tables.review_items, ()),
        (Rollout, tables.rollouts, ("plan",)),
        (RolloutEvent, tables.rollout_events, ()),
        (TrainingRun, tables.training_runs, ()),
    ],
)
def test_every_field_of_a_record_has_a_column(
    record: Any, table: sa.Table, made: tuple[str, ...]
) -> None:
    """Whoever renames one of the two is told here, and not by the command that reads it."""
    assert {field.name for field in fields(record)} <= {*made, *table.c.keys()}


def test_what_a_gateway_may_know_of_a_key_is_made_the_same_way(workspace: Workspace) -> None:
    assert record_of(Key, row_of_a_key(workspace)) == Key(
        digest="d" * 64, owner="desk", endpoints=("router", "shop")
    )
