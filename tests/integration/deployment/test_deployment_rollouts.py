"""A rollout from start to end: real stores and routes, traffic played by the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tuneloop.deployment import controller, endpoints, release, rollouts, servers
from tuneloop.deployment.outcomes import plan_for
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan, ShadowStep
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import BusyError, ConflictError, UsageError
from tuneloop.gateway.routing import conversation_of, resolve
from tuneloop.modelfile import DataSettings, ModelSettings, RolloutSettings
from tuneloop.registry import bundle as bundles
from tuneloop.registry import routes
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.spool import Feedback, Interaction, Shadow, Spool, encode, iso_time, new_id
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

MODEL = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
TASK = {"system": "", "output_schema": {"type": "object"}}
PLAN = RolloutPlan(
    guards=(Guard(name="errors", above=900.0), Guard(name="format")),
    steps=(0.2, 0.5),
    minimum_samples=20,
)
Answer = Callable[[int], dict[str, Any]]
GOOD: dict[str, Any] = {"response": "{}"}


class Desk:
    """Two bundles, one in production, and customers who write when the test says so."""

    def __init__(self, workspace: Workspace, clock: Any, folder: Path) -> None:
        self.workspace = workspace
        self.clock = clock
        self.production, self.candidate = (self._bundle(folder / n) for n in ("old", "new"))
        endpoints.point(
            workspace,
            model=MODEL,
            bundle=self.production.id,
            expected=None,
            actor="ann",
            reason="first",
        )
        self._serve(self.production, 1)
        self._serve(self.candidate, 2)
        self._customers = count()
        self.answered: list[Interaction] = []

    def start(self, plan: RolloutPlan = PLAN) -> Rollout:
        begun = rollouts.start(
            self.workspace,
            model="router",
            endpoint="router",
            candidate=self.candidate.id,
            production=self.production.id,
            plan=plan,
            actor="ann",
        )
        servers.publish(self.workspace)
        return begun

    def traffic(self, customers: int, *, candidate: Answer, copies: bool = False) -> None:
        """So many new customers, each routed as the gateway would; two messages each."""
        self.clock.advance(seconds=3)
        snapshot = routes.read(servers.publish(self.workspace))
        assert snapshot is not None
        spool = Spool(self.workspace.folder("spool"))
        for _ in range(customers):
            number = next(self._customers)
            conversation = conversation_of("user", str(number).encode())
            route = resolve(snapshot, "router", conversation)
            mine = route.bundle == self.candidate.id
            for _ in range(2):
                self.clock.advance(milliseconds=100)
                answer = candidate(number) if mine else GOOD
                asked = self._interaction(route.bundle, conversation, answer)
                self.answered.append(asked)
                spool.append(encode(asked))
                if copies and route.shadow is not None:
                    copy = self._shadow(asked, candidate(number))
                    spool.append(encode(copy))
        spool.close()

    def correct(self, bundle: Bundle, *, to: str) -> None:
        """Somebody replaces every answer that the bundle gave."""
        self._say(bundle, "edit", json.dumps(to))

    def judge(self, bundle: Bundle, *, passed: bool) -> None:
        """The judge has scored every answer that the bundle gave."""
        self._say(bundle, "judgement", json.dumps({"score": float(passed), "passed": passed}))

    def _say(self, bundle: Bundle, kind: str, value: str) -> None:
        spool = Spool(self.workspace.folder("spool"))
        now = self._now_ns()
        for asked in self.answered:
            if asked.bundle == bundle.id:
                said = {"kind": kind, "value": value, "interaction": asked.id}
                spool.append(encode(Feedback(id=new_id(now), time=iso_time(now), **said)))
        spool.close()

    def advance(self, rollout: Rollout) -> Rollout:
        return controller.advance(self.workspace, rollout)

    def arms(self) -> dict[str, float]:
        snapshot = routes.read(servers.publish(self.workspace))
        assert snapshot is not None
        names = {self.production.id: "production", self.candidate.id: "candidate"}
        return {names[arm.bundle]: arm.weight for arm in snapshot.endpoints["router"].arms}

    def _bundle(self, folder: Path) -> Bundle:
        folder.mkdir()
        (folder / "weights").write_text(folder.name)
        content = manifest_of(
            model="router",
            base={},
            artifacts={"export": self.workspace.artifacts.put(folder, kind="export")},
            dataset={},
            training={"name": folder.name},
            task=TASK,
            serving={"sampling": {}},
            evaluation={"verdict": "passed"},
            routing={},
        )
        return bundles.register(self.workspace, content)

    def _serve(self, bundle: Bundle, port: int) -> None:
        servers.want(self.workspace, bundle.id)
        url = f"http://127.0.0.1:{port}/v1"
        servers.report(self.workspace, bundle.id, "ready", base_url=url)

    def _now_ns(self) -> int:
        return int(self.clock().timestamp() * 1e9)

    def _interaction(self, bundle: str, conversation: str, answer: dict[str, Any]) -> Interaction:
        fields: dict[str, Any] = {"status": 200, "latency_ms": 50.0, "completion_tokens": 9}
        now = self._now_ns()
        return Interaction(
            id=new_id(now),
            time=iso_time(now),
            endpoint="router",
            bundle=bundle,
            messages="[]",
            request="{}",
            conversation=conversation,
            **(fields | answer),
        )

    def _shadow(self, asked: Interaction, answer: dict[str, Any]) -> Shadow:
        fields: dict[str, Any] = {"status": 200, "latency_ms": 50.0, "completion_tokens": 9}
        return Shadow(
            id=new_id(self._now_ns()),
            time=asked.time,
            interaction=asked.id,
            endpoint="router",
            bundle=self.candidate.id,
            conversation=asked.conversation,
            **(fields | answer),
        )


@pytest.fixture
def desk(workspace: Workspace, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # A rollout's id draws the customers that its candidate gets; here every run draws the same.
    identities = (UUID(int=number << 104) for number in count(1))
    monkeypatch.setattr(rollouts.uuid, "uuid4", lambda: next(identities))
    return Desk(workspace, clock, tmp_path)


def good(_: int) -> dict[str, Any]:
    return GOOD


def test_a_sound_candidate_takes_over_step_by_step(desk: Desk) -> None:
    rollout = desk.start()
    assert desk.arms() == {"production": 0.8, "candidate": 0.2}
    desk.traffic(20, candidate=good)
    rollout = desk.advance(rollout)
    assert (rollout.stage.share, rollout.status) == (0.2, "running")  # too few conversations yet
    desk.traffic(160, candidate=good)
    rollout = desk.advance(rollout)
    assert rollout.stage.share == 0.5
    assert desk.arms() == {"production": 0.5, "candidate": 0.5}
    desk.traffic(80, candidate=good)
    rollout = desk.advance(rollout)
    assert rollout.status == "finished"
    endpoint = endpoints.find(desk.workspace, "router")
    assert endpoint is not None
    assert (endpoint.bundle, endpoint.previous) == (desk.candidate.id, desk.production.id)
    assert desk.arms() == {"candidate": 1.0}
    happened = [event.event for event in rollouts.events(desk.workspace, rollout.id)]
    assert happened == ["start", "promote", "promote", "finish"]


@pytest.mark.parametrize(
    ("bad", "guard"),
    [
        ({"response": "I am afraid I cannot"}, "format"),
        ({"status": 502, "error": "upstream_reset", "response": ""}, "errors"),
        ({"status": 400, "error": "upstream_error", "response": ""}, "errors"),
        ({"status": 400, "error": "context_length_exceeded", "response": ""}, "errors"),
        ({"status": 413, "error": "upstream_error", "response": ""}, "errors"),
        ({"status": 429, "error": "upstream_error", "response": ""}, "errors"),
        ({"status": 499, "error": "client_left", "response": "", "latency_ms": 30e3}, "errors"),
    ],
)
def test_a_broken_candidate_goes_back_by_itself(
    desk: Desk, bad: dict[str, Any], guard: str
) -> None:
    rollout = desk.start()
    desk.traffic(100, candidate=lambda n: bad if n % 2 else GOOD)
    rollout = desk.advance(rollout)
    assert rollout.status == "rolled_back"
    assert rollout.detail.startswith(guard)
    assert desk.arms() == {"production": 1.0}
    endpoint = endpoints.find(desk.workspace, "router")
    assert endpoint is not None
    assert endpoint.bundle == desk.production.id


def test_a_candidate_whose_server_is_gone_is_found_by_the_failovers(desk: Desk) -> None:
    rollout = desk.start()
    stood_in = {"bundle": desk.production.id, "failover_from": desk.candidate.id}

    original = desk._interaction

    def interaction(bundle: str, conversation: str, answer: dict[str, Any]) -> Interaction:
        made = original(bundle, conversation, answer)
        if bundle != desk.candidate.id:
            return made
        return Interaction(
            **{f: getattr(made, f) for f in made.__struct_fields__} | stood_in  # type: ignore[arg-type]
        )

    desk._interaction = interaction  # type: ignore[method-assign]
    desk.traffic(100, candidate=good)
    assert desk.advance(rollout).status == "rolled_back"


def test_shadow_pairs_decide_before_any_client_is_answered_by_the_candidate(desk: Desk) -> None:
    plan = RolloutPlan(
        guards=(Guard(name="format"),),
        shadow=ShadowStep(minimum_pairs=30),
        steps=(0.5,),
        minimum_samples=20,
    )
    rollout = desk.start(plan)
    assert desk.arms() == {"production": 1.0}
    desk.traffic(40, candidate=good, copies=True)
    rollout = desk.advance(rollout)
    assert rollout.stage.name == "canary"
    controller.steer(desk.workspace, "router", "abort", actor="ann", reason="again, but broken")
    rollout = desk.start(plan)
    desk.traffic(40, candidate=lambda n: {"response": "no"}, copies=True)
    rollout = desk.advance(rollout)
    assert (rollout.stage.name, rollout.status) == ("shadow", "rolled_back")


def test_a_controller_killed_between_the_last_step_and_the_switch_makes_up_for_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = desk.start(RolloutPlan(guards=PLAN.guards, steps=(0.5,), minimum_samples=20))
    desk.traffic(80, candidate=good)
    with monkeypatch.context() as killed:
        killed.setattr(controller, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            desk.advance(rollout)
    left = rollouts.active(desk.workspace, "router")
    assert left is not None
    assert left.stage.name == "full"
    assert desk.advance(left).status == "finished"
    assert desk.arms() == {"candidate": 1.0}
    with pytest.raises(ConflictError):  # the one that was thought dead cannot move it any more
        desk.advance(rollout)


def test_people_pause_resume_promote_and_end_it(desk: Desk) -> None:
    rollout = desk.start()

    def steer(command: controller.Steer) -> Rollout:
        return controller.steer(desk.workspace, "router", command, actor="ann", reason="I say so")

    assert steer("pause").status == "paused"
    with pytest.raises(UsageError, match="paused already"):
        steer("pause")
    desk.traffic(200, candidate=good)
    paused = rollouts.active(desk.workspace, "router")
    assert paused is not None
    assert desk.advance(paused).stage.share == 0.2  # nothing is decided
    resumed = steer("resume")
    desk.traffic(10, candidate=good)
    assert desk.advance(resumed).stage.share == 0.2  # what came in the pause does not count
    assert steer("promote").stage.share == 0.5
    with pytest.raises(BusyError, match=rollout.id):
        desk.start()
    ended = release.roll_back(desk.workspace, model="router", actor="ann", reason="panic")
    assert ended.bundle == desk.production.id
    assert desk.arms() == {"production": 1.0}
    assert rollouts.find(desk.workspace, "router").status == "aborted"
    with pytest.raises(UsageError, match="under way"):
        steer("resume")


def test_limits_come_from_productions_last_week(desk: Desk) -> None:
    def plan() -> RolloutPlan:
        desk.clock.advance(seconds=1)
        return plan_for(
            desk.workspace.traffic,
            RolloutSettings(),
            endpoint="router",
            bundle=desk.production.id,
            timeout_seconds=120.0,
            now=desk.clock(),
        )

    assert [guard.name for guard in plan().guards] == ["errors", "format", "aborts"]
    assert plan().guards[0].above == 120_000.0, "of the endpoint, while nothing says what is slow"
    desk.traffic(60, candidate=good)
    controller.ingest(desk.workspace.folder("spool"), desk.workspace.traffic)
    guards = {guard.name: guard for guard in plan().guards}
    assert guards["latency"].above == guards["errors"].above == 50.0
    assert (guards["length"].below, guards["length"].above) == (9.0 / 1.25, 9.0 * 1.25)


def test_a_candidate_whose_answers_people_correct_goes_back(desk: Desk) -> None:
    """Not before they had the time to: until then nobody knows what they leave as it is."""
    rollout = desk.start(
        replace(PLAN, guards=(Guard(name="errors"), Guard(name="edits")), edit_minutes=30.0)
    )
    desk.traffic(120, candidate=good)
    desk.correct(desk.candidate, to='{"a": 1}')
    desk.correct(desk.production, to=" { } ")  # the same answer, sent back
    assert desk.advance(rollout).status == "running"
    desk.clock.advance(minutes=29)
    assert desk.advance(rollout).status == "running"
    desk.clock.advance(minutes=2)
    rollout = desk.advance(rollout)
    assert rollout.status == "rolled_back" and rollout.detail.startswith("edits")


def test_a_candidate_that_the_judge_finds_bad_goes_back(desk: Desk) -> None:
    """And while the judge has not spoken, nobody is promoted."""
    rollout = desk.start(replace(PLAN, guards=(Guard(name="errors"), Guard(name="judge"))))
    desk.traffic(120, candidate=good)
    waiting = desk.advance(rollout)
    assert (waiting.status, waiting.stage) == ("running", rollout.stage)
    desk.judge(desk.production, passed=True)
    desk.judge(desk.candidate, passed=False)
    judged = desk.advance(rollout)
    assert judged.status == "rolled_back" and judged.detail.startswith("judge")


def test_a_correction_that_comes_too_late_counts_for_neither(desk: Desk) -> None:
    rollout = desk.start(replace(PLAN, guards=(Guard(name="edits"),), edit_minutes=30.0))
    desk.traffic(120, candidate=good)
    desk.clock.advance(minutes=31)
    desk.correct(desk.candidate, to='{"a": 1}')
    assert desk.advance(rollout).status == "running"
