"""A month of traffic, monitors and decisions day by day: what alerts, and what retrains.

The clock is played, and so is the cycle; traffic, measurements, alerts, corrections, reviews,
cycle records and decisions are real.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitoring_data import LetterEmbedder
from tuneloop import review
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.monitoring import alerts, stage
from tuneloop.progress import Silent
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import automation, decisions, levels
from tuneloop.retraining.cycle_record import CycleRecord
from tuneloop.retraining.triggers import RetrainDecision
from tuneloop.storage import tables
from tuneloop.storage.spool import new_id
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

DAYS = 28
DRIFTS_FROM = 14
REVIEWED_ON = (7, 13, 25)
"""Days on which the people come round to the review queue."""
TRIGGERING = ("edit_rate", "novelty")
"""Monitors that the rules look at here; the quiet month runs them all."""
SUBJECTS = ("battery", "hub", "thermostat", "valve", "invoice", "parcel", "password", "screen")
FAMILIAR = tuple(
    f"{opening} {subject} {problem}"
    for opening in ("hello, my", "please help, the", "the")
    for subject in SUBJECTS
    for problem in ("is broken again", "did not arrive", "shows the wrong number", "is cold")
)
NEW = tuple(text.replace("battery", "Skerry") for text in FAMILIAR if "battery" in text) + tuple(
    f"what does the solar export tariff pay {when}"
    for when in ("in winter", "this week", "to my neighbour", "after the change")
)
ANSWER, RIGHT = '{"intent": "fault"}', '{"intent": "billing"}'


class Desk:
    """A support desk whose month is played."""

    def __init__(self, workspace: Workspace, clock: Any, folder: Path, *, level: int = 3) -> None:
        settings = ModelSettings.model_validate(
            {
                "name": "desk",
                "base": "b",
                "data": DataSettings(sources=("a.jsonl",)),
                "automation": {"level": level},
            }
        )
        file = ModelFile(path=folder / "tuneloop.yaml", settings=settings, origins={})
        self.project = Project(workspace=workspace, model_file=file, actor="bob")
        self.workspace, self.clock, self.folder = workspace, clock, folder
        self.random = random.Random(20)
        self.production = self.release(FAMILIAR)
        self.cycles: list[int] = []
        """Days on which the worker began one."""
        self.decisions: list[RetrainDecision] = []

    def release(self, texts: Sequence[str]) -> Bundle:
        """Put a bundle into production that was trained on these prompts and all corrections."""
        corrections = len(review.approved_rows(self.workspace, "desk"))
        rows = [{"messages": [{"role": "user", "content": text}]} for text in texts]
        folder = self.folder / f"dataset-{corrections}"
        folder.mkdir()
        for name, part in (("eval.jsonl", rows[::10]), ("train.jsonl", rows)):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part))
        digest = self.workspace.artifacts.put(folder, kind="dataset")
        made = bundles.register(
            self.workspace,
            manifest_of(
                model="desk",
                base={},
                artifacts={},
                dataset={"digest": digest, "corrections": corrections},
                training={},
                task={"output_schema": {"type": "object"}, "output_pattern": None},
                serving={},
                evaluation={"latency_p95_ms": 100.0},
                routing={},
            ),
        )
        with self.workspace.records.begin() as tx:
            aliases.move(
                tx,
                model="desk",
                name="production",
                bundle=made.id,
                expected=aliases.read(tx, "desk").get("production"),
                actor="test",
                reason="release",
                now=self.clock.time,
            )
        return made

    def serve(self, prompts: Sequence[str], *, edit_rate: Callable[[str], float]) -> None:
        """Let a day of traffic pass, with the corrections that people make of it."""
        chats, edits = [], []
        for number, prompt in enumerate(prompts):
            at = self.clock.time + timedelta(hours=2 * number / len(prompts))
            identity = new_id(int(at.timestamp()) * 10**9)
            chat = {
                "id": identity,
                "time": at,
                "endpoint": "desk",
                "bundle": self.production.id,
                "operation": "chat",
                "status": 200,
                "messages": json.dumps([{"role": "user", "content": prompt}]),
                "request": "{}",
                "response": ANSWER,
                "latency_ms": self.random.lognormvariate(4.3, 0.2),
                "conversation": identity,
                "tags": "{}",
            }
            chats.append(chat)
            if self.random.random() < edit_rate(prompt):
                edit = {"id": f"f{identity}", "interaction": identity, "kind": "edit"}
                edits.append(edit | {"time": at, "endpoint": "desk", "value": json.dumps(RIGHT)})
        self.workspace.traffic.append("interactions", chats)
        self.workspace.traffic.append("feedback", edits)
        self.clock.advance(days=1)

    def review_all(self) -> None:
        for item in review.listing(self.workspace, "desk"):
            review.decide(
                self.workspace, model="desk", item=item.id, decision="approved", reviewer="ann"
            )

    def evening(self, day: int, *, only: tuple[str, ...] | None = TRIGGERING) -> RetrainDecision:
        """What the worker does every day: measure, decide, and begin a cycle if it may."""
        stage.run_monitors(
            self.workspace,
            model_file=self.project.model_file,
            bundle=self.production,
            endpoint="desk",
            only=only,
            embedder=LetterEmbedder(),
            progress=Silent(),
        )
        decision = decisions.decide(self.project)
        self.decisions.append(decision)
        if levels.starts_cycle(decision, self.project.model):
            self.cycles.append(day)
        return decision

    def opened(self) -> int:
        """Alerts that were opened in all."""
        events = tables.alert_events
        with self.workspace.records.begin() as tx:
            return int(
                tx.execute(
                    sa.select(sa.func.count()).where(events.c.event == "opened")
                ).scalar_one()
            )


@pytest.fixture
def desk(workspace: Workspace, clock: Any, tmp_path: Path) -> Desk:
    return Desk(workspace, clock, tmp_path)


@pytest.mark.timeout(300)
def test_a_quiet_month_alerts_nobody_and_retrains_nothing(desk: Desk) -> None:
    for day in range(DAYS):
        desk.serve(desk.random.choices(FAMILIAR, k=40), edit_rate=lambda _: 0.01)
        if day in REVIEWED_ON:
            review.collect_corrections(desk.project)
            desk.review_all()
        decision = desk.evening(day, only=None)
        assert decision.action == "do_not", (day, decision.reason)
    assert desk.opened() == 0
    assert desk.cycles == []
    assert {one.because for one in desk.decisions} == {"quiet"}
    assert len(decisions.listing(desk.workspace, "desk")) == DAYS


@pytest.mark.timeout(300)
def test_an_edit_rate_at_the_limit_of_little_traffic_never_retrains(desk: Desk) -> None:
    for day in range(DAYS):
        desk.serve(desk.random.choices(FAMILIAR, k=5), edit_rate=lambda _: 0.15)
        desk.evening(day, only=("edit_rate",))
    assert {one.action for one in desk.decisions} == {"do_not"}
    assert not any(one.fired for one in desk.decisions)
    noisy = [one for one in desk.decisions if one.because == "noise"]
    assert noisy
    assert all("not evidence yet" in one.reason or "not lasting" in one.reason for one in noisy)
    # A rate at its limit crosses it again and again, by chance: alerts stand on evidence.
    assert desk.opened() <= 1


@pytest.mark.timeout(300)
def test_a_real_drift_retrains_once_cools_down_and_is_quiet_when_learned(desk: Desk) -> None:
    for day in range(DAYS):
        serve_with_drift(desk, day, learned=False)
        if day in REVIEWED_ON:
            review.collect_corrections(desk.project)
            desk.review_all()
        decision = desk.evening(day)
        if desk.cycles == [day]:
            cycle = CycleRecord.start(desk.project, decision.reason)
            assert decisions.decide(desk.project).because == "under_way"
            desk.clock.advance(hours=3)
            cycle.close("stopped", "a person must judge the candidate")
    begun = REVIEWED_ON[-1]
    assert desk.cycles == [begun]
    before, began, after = (
        desk.decisions[:begun],
        desk.decisions[begun],
        desk.decisions[begun + 1 :],
    )
    assert {one.action for one in before[: DRIFTS_FROM + 1]} == {"do_not"}
    asked = [day for day, one in enumerate(before) if one.action == "ask"]
    assert asked == list(range(asked[0], begun))
    assert "items wait for review" in before[-1].reason
    assert {"edit_rate", "vocabulary", "corrections"} <= set(began.fired)
    assert "skerry" in began.reason
    assert [one.because for one in after] == ["cooldown"] * (DAYS - 1 - begun)
    assert "without a stable benchmark chases noise" in after[-1].reason
    assert after[-1].earliest == desk.decisions[begun].at + timedelta(hours=3, days=30)
    assert {one.monitor for one in open_alerts(desk)} == {"edit_rate", "novelty"}
    assert desk.opened() == 2

    desk.production = desk.release([*FAMILIAR, *NEW])
    for day in range(DAYS, DAYS + 3):
        serve_with_drift(desk, day, learned=True)
        assert desk.evening(day).because == "quiet"
    assert desk.cycles == [begun]
    assert open_alerts(desk) == []


def serve_with_drift(desk: Desk, day: int, *, learned: bool) -> None:
    """Half of the requests are new ones from some day on, and wrongly answered till learned."""
    new = 20 if day >= DRIFTS_FROM else 0
    prompts = desk.random.choices(FAMILIAR, k=40 - new) + desk.random.choices(NEW, k=new)
    desk.serve(prompts, edit_rate=lambda prompt: 0.8 if prompt in NEW and not learned else 0.01)


def open_alerts(desk: Desk) -> list[alerts.Alert]:
    return alerts.listing(desk.workspace, "desk")


def test_the_level_that_is_reached_says_what_the_next_one_needs(desk: Desk) -> None:
    found = automation.reached(desk.workspace, desk.project.model)
    assert (found.level, found.declared) == (1, 3)
    assert found.next_needs == (
        "a golden suite: no golden suite in evaluation.suites",
        "an evaluation in the last 35 days: none",
    )
