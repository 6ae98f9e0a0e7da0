"""The records store's tables: what changes.

Times are UTC, timezone-aware. JSON columns hold canonical values. Event tables are append-only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import JSON, TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A timezone-aware moment; SQLite keeps no zone, so it is put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"Expected a time with a zone, got {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _digest(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), **options)


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, UtcTime(), nullable=nullable)


dataset_versions = sa.Table(
    "dataset_versions",
    metadata,
    _digest("digest", primary_key=True),  # of the artifact
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("label", sa.String(64), nullable=False),  # date + short digest
    sa.Column("previous", sa.String(64)),  # the version whose split it kept
    sa.Column("rows_train", sa.Integer, nullable=False),
    sa.Column("rows_eval", sa.Integer, nullable=False),
    sa.Column("manifest", JSON, nullable=False),  # recipe, sources, reviewers, report
    sa.Column("validation", JSON),  # against the version before
    _time("created_at"),
)

training_runs = sa.Table(
    "training_runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    _digest("dataset", nullable=False),
    _digest("base", nullable=False),
    _digest("config", nullable=False, index=True),  # of config + dataset + base
    sa.Column("status", sa.String(16), nullable=False),  # running finished failed cancelled
    sa.Column("artifact", sa.String(64)),  # adapter or model, once finished
    sa.Column("record", JSON, nullable=False),  # T3
    _time("created_at"),
    _time("finished_at", nullable=True),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("subject", sa.String(200), nullable=False, index=True),  # what was asked
    _digest("gates", nullable=False),  # locked before the first answer
    _digest("suites", nullable=False),
    sa.Column("status", sa.String(16), nullable=False),  # running finished failed
    sa.Column("verdict", sa.String(16)),  # passed failed refused
    sa.Column("artifact", sa.String(64)),  # the report
    sa.Column("figures", JSON, nullable=False),
    _time("created_at"),
    _time("finished_at", nullable=True),
)

looks = sa.Table(
    "looks",  # what the cases of a suite were asked to decide on
    metadata,
    sa.Column("evaluation", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("suite", sa.String(200), primary_key=True),
    sa.Column("subject", sa.String(200), nullable=False),  # what answered
    sa.Column("cases", JSON, nullable=False),  # their ids
    _time("at"),
)

bundles = sa.Table(
    "bundles",
    metadata,
    _digest("id", primary_key=True),  # of the manifest
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("manifest", JSON, nullable=False),
    _time("created_at"),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(16), primary_key=True),  # production previous candidate
    _digest("bundle", nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),  # compare-and-set
    _time("moved_at"),
)

alias_events = sa.Table(
    "alias_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("name", sa.String(16), nullable=False),
    sa.Column("from_bundle", sa.String(64)),
    sa.Column("to_bundle", sa.String(64)),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("drill", sa.Boolean, nullable=False),  # a rehearsal: went there and came back
    _time("at"),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False),  # its aliases say what answers
    sa.Column("settings", JSON, nullable=False),  # host, port, capture, model file
    sa.Column("revision", sa.Integer, nullable=False),
)

model_servers = sa.Table(
    "model_servers",
    metadata,
    _digest("bundle", primary_key=True),
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Column("base_url", sa.String(200)),  # where it answers, while ready
    sa.Column("status", sa.String(16), nullable=False),  # wanted starting ready failed stopped
    sa.Column("detail", sa.Text, nullable=False),
    _time("changed_at"),
)

cycles = sa.Table(
    "cycles",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    # asked running waiting finished stopped failed cancelled
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),  # why it was started
    sa.Column("outcome", sa.Text, nullable=False),  # what came of it
    _digest("settings", nullable=False),  # of the model file it was started with
    sa.Column("steps", JSON, nullable=False),  # name → result, seconds
    _time("created_at"),
    _time("finished_at", nullable=True),
)

retraining_decisions = sa.Table(
    "retraining_decisions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),  # of the model's decisions, from 1
    sa.Column("action", sa.String(16), nullable=False),  # retrain ask do_not
    sa.Column("because", sa.String(32), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("level", sa.Integer, nullable=False),  # of automation, at that time
    sa.Column("detail", JSON, nullable=False),  # findings, what would change it, who asked
    _time("at"),
)

review_items = sa.Table(
    "review_items",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),  # correction contradiction sample
    sa.Column("interaction", sa.String(64)),
    sa.Column("messages", JSON, nullable=False),  # the prompt
    sa.Column("answer", sa.Text, nullable=False),  # what the model said
    sa.Column("proposal", sa.Text, nullable=False),  # what it should have said
    sa.Column("detail", JSON, nullable=False),  # the answers of a contradiction
    sa.Column("judges", sa.Integer, nullable=False),  # people who judge it, 1 or 2
    # open skipped second disputed approved rejected
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("final", sa.Text),  # the approved answer
    sa.Column("reviewer", sa.String(200)),  # whose judgement decided
    _time("created_at"),
    _time("decided_at", nullable=True),
)

judgements = sa.Table(
    "judgements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("item", sa.String(64), nullable=False, index=True),
    sa.Column("reviewer", sa.String(200), nullable=False),
    sa.Column("decision", sa.String(16), nullable=False),  # approved rejected skipped
    sa.Column("final", sa.Text),  # the answer that was approved
    sa.Column("seconds", sa.Float),  # time that it took
    _time("at"),
    _time("withdrawn_at", nullable=True),  # undone
)

preferences = sa.Table(
    "preferences",  # of people who saw two answers without knowing whose they were
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("evaluation", sa.String(64), nullable=False, index=True),
    sa.Column("reference", sa.String(64), nullable=False),  # production base
    sa.Column("case", sa.Text, nullable=False),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("choice", sa.String(16), nullable=False),  # candidate reference tie
    sa.Column("first", sa.String(16), nullable=False),  # whose answer was shown as A
    sa.Column("seconds", sa.Float),  # time that it took
    _time("at"),  # the last one of a person on a case counts
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("monitor", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),  # open acknowledged resolved
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("seen", sa.Integer, nullable=False),  # crossings counted
    _time("opened_at"),
    _time("last_seen_at"),
    _time("resolved_at", nullable=True),
)
# One alert of a monitor at a time, whoever opens it.
sa.Index(
    "uq_alerts_unresolved",
    alerts.c.model,
    alerts.c.monitor,
    unique=True,
    sqlite_where=alerts.c.status != "resolved",
    postgresql_where=alerts.c.status != "resolved",
)

alert_events = sa.Table(
    "alert_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("alert", sa.String(64), nullable=False, index=True),
    # opened repeated acknowledged resolved reopened
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("bundle", sa.String(64)),  # that was measured
    sa.Column("examples", JSON, nullable=False),  # a few short texts
    _time("at"),
    sa.Column("queued_at", UtcTime(), index=True),  # deliveries made of it, if it needs any
)

accepted_windows = sa.Table(
    "accepted_windows",  # of a monitor, that a person called normal: its baseline begins there
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    _digest("bundle", nullable=False),
    sa.Column("endpoint", sa.String(64), nullable=False),
    sa.Column("monitor", sa.String(64), nullable=False),
    _time("window_end"),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("low", sa.Float, nullable=False),
    sa.Column("high", sa.Float, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    _time("at"),
    sa.Column("withdrawn_by", sa.String(200)),
    _time("withdrawn_at", nullable=True),
)

notices = sa.Table(
    "notices",  # what people are told of besides alerts
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),  # test, or one of alerts.events
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("title", sa.Text, nullable=False),  # what happened
    sa.Column("body", sa.Text, nullable=False),  # why, and what to do
    sa.Column("event", sa.Integer, unique=True),  # of audit_events, where it is made of one
    _time("at"),
)

notices_read = sa.Table(
    "notices_read",  # how far the audit log has been made notices of
    metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("event", sa.Integer, nullable=False),  # of audit_events, the last one
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event", sa.Integer),  # of alert_events; or
    sa.Column("notice", sa.Integer),  # of notices
    sa.Column("channel", sa.String(200), nullable=False),  # as it is shown: no secret
    sa.Column("status", sa.String(16), nullable=False, index=True),  # waiting sent gave_up …
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("claim", sa.String(32)),  # of the attempt under way, or the last one
    _time("ready_at"),
    _time("retry_at", nullable=True),  # after a failure
    _time("claimed_until", nullable=True),  # lease of the attempt under way
    _time("finished_at", nullable=True),
    sa.UniqueConstraint("event", "channel"),
    sa.UniqueConstraint("notice", "channel"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),
    _digest("digest", nullable=False),  # of the whole key
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("endpoints", JSON, nullable=False),  # empty: all
    sa.Column("feedback_for_all", sa.Boolean, nullable=False),
    sa.Column("requests_per_minute", sa.Float),
    sa.Column("concurrent_requests", sa.Integer),
    _time("created_at"),
    _time("revoked_at", nullable=True),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("endpoint", sa.String(64), nullable=False),
    _digest("candidate", nullable=False),
    _digest("production", nullable=False),  # what it is compared with
    sa.Column("plan", JSON, nullable=False),  # steps and guards, declared before the start
    _digest("plan_digest", nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),  # shadow canary full
    sa.Column("step", sa.Integer, nullable=False),  # of the canary, from 0
    # running paused finished rolled_back aborted
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),  # the last verdict's reason
    sa.Column("revision", sa.Integer, nullable=False),  # compare-and-set
    _time("created_at"),
    _time("step_since"),
    _time("finished_at", nullable=True),
)

rollout_events = sa.Table(
    "rollout_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("rollout", sa.String(64), nullable=False, index=True),
    sa.Column("event", sa.String(16), nullable=False),  # start promote hold pause resume …
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("detail", JSON, nullable=False),  # the figures that it was decided on
    _time("at"),
)

gateway_secret = sa.Table(
    "gateway_secret",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row
    sa.Column("secret", sa.String(64), nullable=False),  # hex; proves interaction ids
)

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(64), nullable=False, index=True),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("detail", JSON, nullable=False),
    _time("at"),
    _digest("previous", nullable=False),  # of the event before it
    _digest("digest", nullable=False),  # of this event and `previous`
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row; its lock keeps writers in a queue
    sa.Column("event", sa.Integer, nullable=False),  # id of the last event, 0 before the first
    _digest("digest", nullable=False),  # of the last event
)

people = sa.Table(
    "people",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),  # as they act: see workspace.actor
    sa.Column("role", sa.String(16), primary_key=True),  # expert engineer curator admin
    sa.Column("model", sa.String(64), primary_key=True),  # empty: every model of the workspace
    _time("added_at"),
)

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String(64), nullable=False),
    _digest("bundle", nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),  # evaluation deploy
    sa.Column("event", sa.String(16), nullable=False),  # as in registry.standing: requested …
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("roles", JSON, nullable=False),  # that the person had at that moment
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("seen", JSON, nullable=False),  # report, gates, comparison that it is about
    _digest("seen_digest", nullable=False),
    _time("at"),
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    _digest("mark", primary_key=True),  # keyed hash of an erased row's input key
    sa.Column("erasure", sa.String(32), nullable=False),
    _time("at"),
)

tombstone_key = sa.Table(
    "tombstone_key",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one row
    sa.Column("key", sa.String(64), nullable=False),  # hex
)
