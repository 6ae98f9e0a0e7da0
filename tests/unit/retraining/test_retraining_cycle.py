"""A cycle repeats nothing, misses nothing new, and never acts on what is no longer so.

Export, evaluation and smoke test are played; records, aliases and the switch are real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from tuneloop import review
from tuneloop.candidates import candidate as candidates
from tuneloop.candidates import contents, exporting, held_out, planning, preparing, training
from tuneloop.deployment import admission, endpoints, rollouts
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.errors import ConflictError, DeploymentError, GateError, StoreError
from tuneloop.modelfile import (
    AlertSettings,
    ApprovalRule,
    ApprovalSettings,
    DataSettings,
    EvaluationSettings,
    ModelFile,
    ModelSettings,
    RolloutSettings,
)
from tuneloop.monitoring.notifications import outbox
from tuneloop.monitoring.notifications.delivery import deliver_due
from tuneloop.project import Project
from tuneloop.registry import aliases, approvals, audit, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import cycle
from tuneloop.retraining.cycle import go_on, run_cycle
from tuneloop.retraining.cycle_end import WORKER, CycleResult, may_go_on
from tuneloop.retraining.cycles import UNDER_WAY, Cycle, ask, find
from tuneloop.setup import check as checking
from tuneloop.status.screen import status
from tuneloop.storage import tables
from tuneloop.testing.manifest import manifest_of
from tuneloop.training import stage as runs
from tuneloop.workspace import Workspace


class Killed(BaseException):
    """What a kill looks like from inside: nothing gets to clean up."""


class Played:
    """A project whose stages take no time; `did` lists what was done."""

    def __init__(self, workspace: Workspace, folder: Path, clock: Any) -> None:
        settings = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
        file = ModelFile(path=folder / "tuneloop.yaml", settings=settings, origins={})
        self.project = Project(workspace=workspace, model_file=file, actor="ann")
        self.clock = clock
        self.did: list[str] = []
        self.rows = "rows-1"
        self.gates = "gates-1"
        self.verdict = "passed"
        self.difference = 0.1
        """Of the candidate to production."""
        self.smoke = True
        self.interrupt: dict[str, Callable[[], None]] = {}
        """Step → what happens before it; `evaluated`, `rolled out`: after it."""

    def roll_out_automatically(self) -> None:
        self.change(rollout=RolloutSettings(automatic=True))

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def model(self) -> ModelSettings:
        return self.project.model

    def change(self, **settings: Any) -> None:
        """Write other settings into the model file."""
        changed = self.model.model_copy(update=settings)
        file = replace(self.project.model_file, settings=changed)
        self.project = replace(self.project, model_file=file)

    def do(self, step: str) -> None:
        self.clock.advance(minutes=1)
        self.interrupt.pop(step, lambda: None)()
        self.did.append(step)

    def run_again(self, **options: Any) -> CycleResult:
        """Run a cycle; `did` is what this one did."""
        self.did.clear()
        return run_cycle(self.project, **{"reason": "started by hand", **options})

    def prepare(self) -> Any:
        self.do("prepare")
        return SimpleNamespace(digest=self.rows)

    def train(self, dataset: Any) -> Any:
        self.do("train")
        return SimpleNamespace(id=f"run of {dataset.digest}")

    def live(self) -> str | None:
        found = endpoints.find(self.workspace, "router")
        return found.bundle if found else None

    def put_into_production(self, bundle: Bundle, reason: str = "by hand") -> None:
        endpoints.point(
            self.workspace,
            model=self.model,
            bundle=bundle.id,
            expected=self.live(),
            actor="ann",
            reason=reason,
        )

    def roll_back_because(self, reason: str) -> None:
        endpoints.roll_back(self.workspace, model="router", actor="ann", reason=reason)

    def register(self, run: str) -> Bundle:
        """A bundle as an evaluation of now would leave it."""
        self.clock.advance(minutes=1)
        production = self.live()
        compared = {"verdict": "better" if self.difference > 0 else "worse", "reason": "on 60"}
        compared |= {"difference": self.difference}  # type: ignore[dict-item]
        folder = self.workspace.folder("played")
        (folder / "file").write_text(run)
        content = manifest_of(
            model="router",
            base={},
            artifacts={"export": self.workspace.artifacts.put(folder, kind="export")},
            dataset={},
            training={"run": run},
            task=contents.task_part(self.project),
            serving={"settings": contents.serving_settings(self.project)},
            evaluation={
                "id": str(len(bundles.listing(self.workspace))),
                "verdict": self.verdict,
                "reason": "accuracy is 0.5",
                "gates": self.gates,
                "settings": contents.evaluation_settings(self.project),
                "comparisons": {"production": compared} if production else {},
                "production": production,
            },
            routing={},
        )
        return bundles.register(self.workspace, content)


@pytest.fixture
def loop(
    workspace: Workspace, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Played:
    played = Played(workspace, tmp_path, clock)

    def plan_for(*_: object) -> Any:
        return SimpleNamespace(gate_lock=SimpleNamespace(digest=played.gates))

    def make(*_: object) -> dict[str, Any]:
        played.do("export")
        return {"artifact": "of the export"}

    def reopen(_: Project, made: dict[str, Any]) -> Any:
        assert made["artifact"] == "of the export"
        return SimpleNamespace()

    def evaluate_export(_: Project, __: Any, run: Any, ___: Any, *, afresh: bool) -> Any:
        played.do("evaluate")
        bundle = played.register(run.id)
        played.interrupt.pop("evaluated", lambda: None)()
        return SimpleNamespace(bundle=bundle)

    def deploy(_: Project, bundle: Bundle, *, reason: str, expected: str | None) -> Any:
        played.do("deploy")
        if not played.smoke:
            raise GateError("the smoke test fails")
        endpoint = endpoints.point(
            workspace,
            model=played.model,
            bundle=bundle.id,
            expected=expected,
            actor="ann",
            reason=reason,
        )
        return SimpleNamespace(endpoint=endpoint)

    def check(*_: object) -> None:
        played.interrupt.pop("checked", lambda: None)()

    monkeypatch.setattr(checking, "require", lambda *_, **__: True)
    monkeypatch.setattr(review, "collect_corrections", lambda _: 0)
    monkeypatch.setattr(preparing, "prepare", lambda _, *, looked: played.prepare())
    # Only where the cycle asks: status reads the stored versions.
    stored = SimpleNamespace(load=lambda _, __, reference: SimpleNamespace(digest=reference))
    monkeypatch.setattr(cycle, "versions", stored)
    monkeypatch.setattr(training, "train", lambda _, dataset, **__: played.train(dataset))
    monkeypatch.setattr(runs, "run_of", lambda _, __, reference: SimpleNamespace(id=reference))
    monkeypatch.setattr(held_out, "check", check)
    monkeypatch.setattr(planning, "plan_for", plan_for)
    monkeypatch.setattr(candidates, "evaluate_export", evaluate_export)

    def roll_out(_: Project, bundle: Bundle) -> Any:
        played.do("rollout")
        live = played.live()
        assert live is not None
        begun = rollouts.start(
            workspace,
            model="router",
            endpoint="router",
            candidate=bundle.id,
            production=live,
            plan=RolloutPlan(guards=(Guard(name="errors"),), shadow=None, steps=(0.5,)),
            actor="ann",
        )
        played.interrupt.pop("rolled out", lambda: None)()
        return begun

    monkeypatch.setattr(candidates, "roll_out", roll_out)
    monkeypatch.setattr(candidates, "deploy", deploy)
    monkeypatch.setattr(exporting, "make", make)
    monkeypatch.setattr(exporting, "reopen", reopen)
    return played


def killed() -> None:
    raise Killed


ALL = ["prepare", "train", "export", "evaluate", "deploy"]


def cycles(loop: Played) -> list[Any]:
    with loop.workspace.records.begin() as tx:
        return list(tx.execute(sa.select(tables.cycles).order_by(tables.cycles.c.created_at)))


def test_the_same_again_is_nothing_new_unless_forced(loop: Played) -> None:
    assert loop.run_again().deployed and loop.did == ALL
    again = loop.run_again()
    assert again.outcome.startswith("Nothing new") and not again.deployed and not again.refused
    assert loop.did == ["prepare", "train"]
    assert loop.run_again(force=True).deployed and loop.did == ALL


def test_what_cannot_pass_is_not_trained(loop: Played) -> None:
    """Told before the training, with what helps; `run` ends as it does for a refused candidate."""

    def refuse() -> None:
        raise GateError("accuracy counts 32 cases and needs 50.", remedy="Add about 80 rows.")

    loop.interrupt["checked"] = refuse
    result = loop.run_again()
    assert loop.did == ["prepare"]
    assert result.refused and result.status == "stopped" and result.bundle is None
    assert result.outcome == "accuracy counts 32 cases and needs 50. Add about 80 rows."
    assert loop.run_again().deployed, "with more rows it goes on"


def test_other_gates_are_something_new(loop: Played) -> None:
    """A suite file may change while the model file says the same."""
    loop.run_again()
    loop.gates = "gates-2"
    assert loop.run_again().deployed and "evaluate" in loop.did


@pytest.mark.parametrize("why", ["a gate", "production"])
def test_a_refused_candidate_is_not_made_again(loop: Played, why: str) -> None:
    loop.run_again()
    live, loop.rows = loop.live(), "rows-2"
    if why == "a gate":
        loop.verdict = "failed"
    else:
        loop.difference = -0.2
    first = loop.run_again()
    assert first.refused and "is not deployed" in first.outcome
    assert "Look at its answers: tuneloop evaluation show 1" in first.outcome
    made = len(bundles.listing(loop.workspace))
    loop.verdict, loop.difference = "passed", 0.1  # to be made again would be to be deployed
    again = loop.run_again()
    assert loop.did == ["prepare", "train"] and len(bundles.listing(loop.workspace)) == made
    assert again.refused and again.bundle == first.bundle and loop.live() == live
    assert f"Nothing new: candidate {first.bundle}" in again.outcome
    assert "was refused because" in again.outcome and "stays in production" in again.outcome
    assert loop.run_again(force=True).deployed


def test_a_candidate_that_lost_to_what_is_gone_gets_another_chance(loop: Played) -> None:
    loop.run_again()
    loop.rows, loop.difference = "rows-2", -0.2
    loop.run_again()
    loop.put_into_production(loop.register("another run"))
    loop.difference = 0.1
    assert loop.run_again().deployed
    assert loop.did == ["prepare", "train", "export", "evaluate", "deploy"]


def test_a_rollback_is_not_undone_by_the_next_cycle(loop: Played) -> None:
    loop.run_again()
    first, loop.rows = loop.live(), "rows-2"
    second = loop.run_again()
    loop.roll_back_because("it swears")
    again = loop.run_again()
    assert loop.live() == first and loop.did == ["prepare", "train"]
    assert again.bundle == second.bundle and not again.deployed and not again.refused
    assert "was rolled back by ann" in again.outcome and "it swears" in again.outcome
    loop.rows = "rows-3"
    assert loop.run_again().deployed, "new rows are something new"


def test_what_changes_no_answer_and_no_gate_makes_no_candidate(loop: Played) -> None:
    loop.run_again()
    loop.change(evaluation=EvaluationSettings(concurrency=2))
    assert loop.run_again().outcome.startswith("Nothing new") and loop.did == ["prepare", "train"]
    loop.rows = "rows-2"
    loop.run_again()
    loop.roll_back_because("it swears")
    loop.change(evaluation=EvaluationSettings(concurrency=3))
    again = loop.run_again()
    assert "was rolled back by ann" in again.outcome and loop.did == ["prepare", "train"]
    assert len(bundles.listing(loop.workspace)) == 2


def rolled_back(loop: Played) -> str:
    loop.roll_back_because("it swears")
    return "was rolled back by ann"


def rolled_back_and_rejected(loop: Played) -> str:
    loop.roll_back_because("it swears")
    (bundle, _) = bundles.listing(loop.workspace)
    how = {"actor": "bob", "reason": "it swears"}
    approvals.decide(loop.workspace, loop.model, bundle, "deploy", "rejected", **how)
    admission.readmit(loop.workspace, bundle, actor="ann", reason="let bob decide")
    return f"bob rejected {bundle.short}, which behaves the same"


def taken_back_by_its_rollout(loop: Played) -> str:
    (bundle, first) = bundles.listing(loop.workspace)
    loop.put_into_production(first)
    admission.readmit(loop.workspace, bundle, actor="ann", reason="let the traffic decide")
    plan = RolloutPlan(guards=(Guard(name="errors"),), shadow=None, steps=(0.5,))
    names = {"model": "router", "endpoint": "router", "actor": "ann"}
    loop.clock.advance(minutes=1)
    begun = rollouts.start(
        loop.workspace, candidate=bundle.id, production=first.id, plan=plan, **names
    )
    how = {"actor": "controller", "reason": "format got worse"}
    loop.clock.advance(minutes=1)
    rollouts.move(loop.workspace, begun, "roll_back", status="rolled_back", **how)
    return f"was taken back by rollout {begun.id} (format got worse)"


@pytest.mark.parametrize(
    "refuse", [rolled_back, rolled_back_and_rejected, taken_back_by_its_rollout]
)
@pytest.mark.parametrize("forced", [False, True])
def test_the_same_weights_do_not_come_back_under_another_id(
    loop: Played, refuse: Callable[[Played], str], forced: bool
) -> None:
    loop.run_again()
    first, loop.rows = loop.live(), "rows-2"
    loop.run_again()
    refused = bundles.listing(loop.workspace)[0]
    why = refuse(loop)
    loop.gates = "gates-2"  # another bundle, then
    again = loop.run_again(force=forced)
    assert again.refused and loop.live() == first and "deploy" not in loop.did
    assert again.bundle is not None and again.bundle != refused.short
    assert refused.short in again.outcome and why in again.outcome
    assert not loop.run_again().deployed and loop.live() == first, "nor with the next run"


def test_what_was_rolled_back_is_tried_again_once_somebody_readmits_it(loop: Played) -> None:
    loop.run_again()
    loop.rows = "rows-2"
    loop.run_again()
    second = bundles.listing(loop.workspace)[0]
    loop.roll_back_because("it swears")
    assert f"tuneloop readmit {second.short}" in loop.run_again().outcome
    loop.clock.advance(minutes=1)
    admission.readmit(loop.workspace, second, actor="ann", reason="the prompt was to blame")
    assert loop.run_again().deployed and loop.live() == second.id


def test_a_cycle_that_waits_ends_where_its_candidate_is_refused_meanwhile(loop: Played) -> None:
    waiting = waiting_for_approval(loop)
    (bundle,) = bundles.listing(loop.workspace)
    assert not may_go_on(loop.project, waiting)
    with loop.workspace.records.begin() as tx:
        tx.execute(
            sa.insert(tables.evaluations).values(
                id="again",
                model="router",
                subject=bundle.id,
                gates="g",
                suites="s",
                status="finished",
                verdict="failed",
                figures={"comparisons": {}},
                created_at=loop.workspace.now(),
            )
        )
    assert may_go_on(loop.project, waiting)
    go_on(loop.project, waiting.id)
    after = find(loop.workspace, "router", waiting.id)
    assert (after.status, loop.live()) == ("stopped", None)
    assert "missed a gate in its newest evaluation, again" in after.outcome
    name_candidate(loop, bundle)
    found = status(loop.workspace, loop.model, gateway_url=None)
    assert str(found.candidate_standing).startswith("refused: missed a gate in its newest")


def test_status_says_what_a_candidate_behaves_as(loop: Played) -> None:
    loop.run_again()
    loop.rows = "rows-2"
    second = loop.run_again()
    loop.roll_back_because("it swears")
    loop.gates = "gates-2"
    loop.run_again()
    name_candidate(loop, bundles.listing(loop.workspace)[0])
    found = status(loop.workspace, loop.model, gateway_url=None)
    said = f"taken back: behaves as {second.bundle}, which was rolled back by ann"
    assert str(found.candidate_standing).startswith(said)
    assert "tuneloop readmit candidate -m WHY" in advised(loop)
    assert "tuneloop deploy" not in advised(loop)


def test_a_failed_smoke_test_does_not_make_the_candidate_again(loop: Played) -> None:
    loop.smoke = False
    assert loop.run_again().refused
    made = len(bundles.listing(loop.workspace))
    loop.smoke = True
    assert loop.run_again().deployed
    assert loop.did == ["prepare", "train", "deploy"]
    assert len(bundles.listing(loop.workspace)) == made


@pytest.mark.parametrize(
    ("at", "left"),
    [
        ("train", ["prepare", "train", "export", "evaluate", "deploy"]),
        ("export", ["prepare", "export", "evaluate", "deploy"]),
        ("evaluate", ["prepare", "evaluate", "deploy"]),
        ("deploy", ["prepare", "deploy"]),
    ],
)
@pytest.mark.parametrize("how", [Killed, DeploymentError])
def test_what_was_interrupted_goes_on_where_it_was(
    loop: Played, at: str, left: list[str], how: type[BaseException]
) -> None:
    def stop() -> None:
        raise how("stopped")

    loop.interrupt[at] = stop
    with pytest.raises(how):
        loop.run_again(reason="corrections of May")
    done = loop.run_again()
    assert loop.did == left and done.deployed
    (cycle,) = cycles(loop)
    assert (cycle.status, cycle.reason) == ("finished", "corrections of May")
    actions = [event.action for event in audit.listing(loop.workspace, "router")]
    assert actions.count("cycle.resume") == 1


def test_a_cycle_that_is_taken_up_has_the_newest_reason(loop: Played) -> None:
    loop.interrupt["evaluate"] = killed
    with pytest.raises(Killed):
        loop.run_again(reason="corrections of May")
    loop.run_again(reason="corrections of June")
    assert cycles(loop)[0].reason == "corrections of June"


def test_what_was_interrupted_takes_in_rows_that_are_new_since(loop: Played) -> None:
    loop.interrupt["evaluate"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    loop.rows = "rows-2"
    loop.run_again()
    assert loop.did == ALL
    live = loop.live()
    assert live is not None
    assert bundles.find(loop.workspace, live).manifest.training.run == "run of rows-2"


def test_a_comparison_with_what_is_no_longer_in_production_is_made_again(
    loop: Played,
) -> None:
    loop.run_again()
    loop.rows = "rows-2"
    loop.interrupt["deploy"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    other = loop.register("another run")
    loop.put_into_production(other)
    done = loop.run_again()
    assert done.deployed and loop.did == ["prepare", "evaluate", "deploy"]
    live = loop.live()
    assert live is not None
    assert bundles.find(loop.workspace, live).manifest.evaluation.production == other.id


def test_gates_that_changed_meanwhile_are_asked(loop: Played) -> None:
    loop.interrupt["deploy"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    loop.gates, loop.verdict = "gates-2", "failed"
    assert loop.run_again().refused and loop.live() is None
    assert loop.did == ["prepare", "evaluate"]


def test_production_that_moves_during_the_evaluation(loop: Played) -> None:
    loop.run_again()
    loop.rows = "rows-2"
    other = loop.register("another run")
    loop.interrupt["evaluated"] = lambda: loop.put_into_production(other)
    assert loop.run_again().deployed
    assert loop.did == ["prepare", "train", "export", "evaluate", "evaluate", "deploy"]


def test_production_that_moves_during_the_deployment(loop: Played) -> None:
    loop.run_again()
    loop.rows = "rows-2"
    other = loop.register("another run")
    loop.interrupt["deploy"] = lambda: loop.put_into_production(other)
    with pytest.raises(ConflictError, match="in production of router"):
        loop.run_again()
    assert loop.live() == other.id
    assert loop.run_again().deployed
    assert loop.did == ["prepare", "evaluate", "deploy"]


def test_a_kill_after_the_switch_still_ends_as_a_deployment(loop: Played) -> None:
    loop.interrupt["deploy"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    (bundle,) = bundles.listing(loop.workspace)
    loop.put_into_production(bundle)
    done = loop.run_again()
    assert done.deployed and "is in production" in done.outcome and loop.live() == bundle.id


def test_what_was_rolled_back_before_the_cycle_ended_stays_out(loop: Played) -> None:
    loop.run_again()
    first, loop.rows = loop.live(), "rows-2"
    loop.interrupt["deploy"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    loop.put_into_production(bundles.listing(loop.workspace)[0])
    loop.roll_back_because("it swears")
    assert "was rolled back" in loop.run_again().outcome and loop.live() == first


@pytest.mark.parametrize("end", ["rolled_back", "aborted"])
def test_a_candidate_is_rolled_out_and_its_rollout_has_the_last_word(
    loop: Played, end: rollouts.RolloutStatus
) -> None:
    loop.roll_out_automatically()
    assert loop.run_again().deployed  # with nothing to compare it with
    live, loop.rows = loop.live(), "rows-2"
    begun = loop.run_again()
    assert not begun.deployed and not begun.refused and "is being rolled out" in begun.outcome
    assert loop.did == ["prepare", "train", "export", "evaluate", "rollout"]
    assert loop.live() == live
    meanwhile = loop.run_again()
    assert loop.did == [] and "is being rolled out" in meanwhile.outcome
    assert (meanwhile.status, meanwhile.id) == ("waiting", begun.id)
    under_way = rollouts.active(loop.workspace, "router")
    assert under_way is not None
    rollouts.move(
        loop.workspace,
        under_way,
        status=end,
        event="roll_back",
        actor="controller",
        reason="format got worse",
    )
    after = loop.run_again()
    assert loop.did == ["prepare", "train"] and loop.live() == live
    assert f"was taken back by rollout {under_way.id} (format got worse)" in after.outcome


def test_a_rollout_that_could_not_begin_is_begun_by_the_next_run(loop: Played) -> None:
    loop.roll_out_automatically()
    loop.run_again()
    loop.rows = "rows-2"

    def nothing_is_served() -> None:
        raise DeploymentError("Nothing is being served.")

    loop.interrupt["rollout"] = nothing_is_served
    with pytest.raises(DeploymentError):
        loop.run_again()
    assert "is being rolled out" in loop.run_again().outcome
    assert loop.did == ["prepare", "rollout"]


def waiting_for_approval(loop: Played) -> Cycle:
    """A cycle that ann asked for and that wants bob's approval."""
    rule = ApprovalRule(roles=("expert",), not_author=False)
    loop.change(approvals=ApprovalSettings(deploy=rule))
    people.add(loop.workspace, "bob", ["admin", "expert"], actor="bob")
    asked = ask(loop.project, reason="drift", actor="ann")
    go_on(loop.project, asked.id)
    return find(loop.workspace, "router", asked.id)


def decide(loop: Played, event: Any) -> None:
    (bundle,) = bundles.listing(loop.workspace)
    approvals.decide(
        loop.workspace, loop.model, bundle, "deploy", event, actor="bob", reason="I read it"
    )


def test_a_cycle_waits_for_an_approval_and_goes_on_from_there(loop: Played) -> None:
    waiting = waiting_for_approval(loop)
    assert waiting.status == "waiting" and "tuneloop approve" in waiting.outcome
    assert not may_go_on(loop.project, waiting) and loop.live() is None
    done = list(loop.did)
    go_on(loop.project, waiting.id)
    assert loop.did == done, "nothing is done before it is granted"
    decide(loop, "approved")
    assert may_go_on(loop.project, waiting)
    go_on(loop.project, waiting.id)
    after = find(loop.workspace, "router", waiting.id)
    assert after.status == "finished" and loop.live() == bundles.listing(loop.workspace)[0].id
    assert [step for step in loop.did if step != "prepare"] == [
        "train",
        "export",
        "evaluate",
        "deploy",
    ]


def test_a_rejected_candidate_ends_its_cycle(loop: Played) -> None:
    waiting = waiting_for_approval(loop)
    decide(loop, "rejected")
    go_on(loop.project, waiting.id)
    after = find(loop.workspace, "router", waiting.id)
    assert (after.status, loop.live()) == ("stopped", None)
    assert "bob rejected it" in after.outcome


def test_what_nobody_asked_for_is_not_deployed_below_the_highest_level(loop: Played) -> None:
    asked = ask(loop.project, reason="drift", actor=WORKER)
    go_on(loop.project, asked.id)
    after = find(loop.workspace, "router", asked.id)
    assert (after.status, loop.live()) == ("finished", None)
    assert "a person decides: tuneloop deploy" in after.outcome


def test_what_may_pass_leaves_a_worker_s_cycle_open(loop: Played) -> None:
    def fails(error: Exception) -> Callable[[], None]:
        def fail() -> None:
            raise error

        return fail

    asked = ask(loop.project, reason="drift", actor="ann")
    loop.interrupt["train"] = fails(StoreError("The bucket is away."))
    with pytest.raises(StoreError):
        go_on(loop.project, asked.id)
    assert find(loop.workspace, "router").status == "running"
    loop.interrupt["train"] = fails(DeploymentError("It does not start."))
    go_on(loop.project, asked.id)
    assert find(loop.workspace, "router").status == "failed"


def test_a_rollout_that_ended_ends_its_cycle(loop: Played) -> None:
    loop.roll_out_automatically()
    loop.run_again()
    loop.rows = "rows-2"
    begun = loop.run_again()
    waiting = find(loop.workspace, "router", begun.id)
    assert waiting.status == "waiting" and not may_go_on(loop.project, waiting)
    under_way = rollouts.active(loop.workspace, "router")
    assert under_way is not None
    rollouts.move(
        loop.workspace,
        under_way,
        status="finished",
        event="finish",
        actor="controller",
        reason="all is well",
    )
    loop.did.clear()
    assert may_go_on(loop.project, waiting)
    go_on(loop.project, begun.id)
    after = find(loop.workspace, "router", begun.id)
    assert after.status == "finished" and "got to its end" in after.outcome and loop.did == []


def test_a_cycle_killed_as_its_rollout_began_waits_for_that_rollout(loop: Played) -> None:
    loop.roll_out_automatically()
    loop.run_again()
    loop.rows = "rows-2"

    loop.interrupt["rolled out"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    assert "rollout" not in find(loop.workspace, "router").steps
    again = loop.run_again()
    assert again.status == "waiting" and len(rollouts.listing(loop.workspace, "router")) == 1
    assert find(loop.workspace, "router").steps["rollout"]["rollout"] == (
        rollouts.listing(loop.workspace, "router")[0].id
    )


def test_a_first_bundle_that_was_just_deployed_is_not_rolled_out(loop: Played) -> None:
    loop.roll_out_automatically()

    def deployed_and_killed() -> None:
        loop.put_into_production(bundles.listing(loop.workspace)[0])
        raise Killed

    loop.interrupt["deploy"] = deployed_and_killed
    with pytest.raises(Killed):
        loop.run_again()
    assert "deploy" not in find(loop.workspace, "router").steps
    again = loop.run_again()
    assert again.deployed and rollouts.listing(loop.workspace, "router") == []


def advised(loop: Played) -> str:
    """What `tuneloop status` says while the gateway runs and no worker does."""
    found = status(loop.workspace, loop.model, gateway_url="http://127.0.0.1:1/v1")
    assert found.next_steps == tuple(map(str, found.advice))
    return "\n".join(found.next_steps)


def name_candidate(loop: Played, bundle: Bundle) -> None:
    with loop.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model="router",
            name="candidate",
            bundle=bundle.id,
            expected=aliases.read(tx, "router").get("candidate"),
            actor="ann",
            reason="evaluated",
            now=loop.workspace.now(),
        )


def test_status_says_look_and_approve_and_not_retrain(loop: Played) -> None:
    waiting_for_approval(loop)
    name_candidate(loop, bundles.listing(loop.workspace)[0])
    said = advised(loop)
    short_id = bundles.listing(loop.workspace)[0].short
    assert f"Look at candidate {short_id}" in said
    assert "1 more approval by expert): tuneloop approve candidate" in said
    assert "tuneloop run" not in said
    decide(loop, "approved")
    assert "go on with it: tuneloop run" in advised(loop)
    loop.put_into_production(bundles.listing(loop.workspace)[0])
    found = status(loop.workspace, loop.model, gateway_url=None)
    assert found.cycle is not None and "is in production, deployed by hand" in found.cycle


def test_status_does_not_advise_what_was_rejected(loop: Played) -> None:
    waiting_for_approval(loop)
    name_candidate(loop, bundles.listing(loop.workspace)[0])
    decide(loop, "rejected")
    found = status(loop.workspace, loop.model, gateway_url=None)
    assert found.candidate_standing is not None
    assert found.candidate_standing.startswith("rejected: bob rejected it")
    assert "approve" not in advised(loop) and "deploy candidate" not in advised(loop)


def test_status_says_what_a_refused_candidate_missed(loop: Played) -> None:
    loop.run_again()
    loop.rows, loop.verdict = "rows-2", "failed"
    loop.run_again()
    name_candidate(loop, bundles.listing(loop.workspace)[0])
    said = advised(loop)
    assert "refused: it missed a gate: accuracy is 0.5" in said
    assert "Read its report: tuneloop evaluation show 1" in said


def test_status_says_how_a_failed_or_killed_cycle_goes_on(loop: Played) -> None:
    def fail() -> None:
        raise DeploymentError("The disk is full.")

    loop.interrupt["export"] = fail
    with pytest.raises(DeploymentError):
        loop.run_again()
    assert "failed: The disk is full. Mend the cause, then go on" in advised(loop)
    loop.interrupt["export"] = killed
    with pytest.raises(Killed):
        loop.run_again()
    assert "was interrupted: go on where it was: tuneloop run" in advised(loop)
    with loop.project.telling(UNDER_WAY):
        assert "is running. See how it goes" in advised(loop)
    loop.run_again()
    assert "interrupted" not in advised(loop)


def test_status_says_what_a_paused_or_ended_rollout_wants(loop: Played) -> None:
    loop.roll_out_automatically()
    loop.run_again()
    loop.rows = "rows-2"
    loop.run_again()
    under_way = rollouts.active(loop.workspace, "router")
    assert under_way is not None
    name_candidate(loop, bundles.find(loop.workspace, under_way.candidate))
    pausing = {"actor": "ann", "reason": "holidays"}
    paused = rollouts.move(loop.workspace, under_way, "pause", status="paused", **pausing)
    assert f"Rollout {paused.id} is paused (holidays): go on with it" in advised(loop)
    ending = {"actor": "controller", "reason": "format got worse"}
    rollouts.move(loop.workspace, paused, "roll_back", status="rolled_back", **ending)
    said = advised(loop)
    assert f"Rollout {paused.id} took candidate" in said and "format got worse" in said
    assert "deploy candidate" not in said


def told(loop: Played) -> list[str]:
    """What the channels are told of that they were not told before."""
    settings = AlertSettings.model_validate({"notify": ["json://127.0.0.1:1"], "group_minutes": 0})
    before = {one.id for one in outbox.listing(loop.workspace, "router")}
    deliver_due(loop.workspace, {"router": settings}, send=lambda *_: None)
    new = [one for one in outbox.listing(loop.workspace, "router") if one.id not in before]
    return [one.about for one in reversed(new)]


def test_the_channels_hear_of_a_cycle_what_people_must_know(loop: Played) -> None:
    waiting = waiting_for_approval(loop)
    short = bundles.listing(loop.workspace)[0].short
    assert told(loop) == [f"bundle {short} waits for its deploy approval"]
    go_on(loop.project, waiting.id)
    assert told(loop) == [], "waiting is told once"
    decide(loop, "approved")
    go_on(loop.project, waiting.id)
    assert told(loop) == [f"bob approved bundle {short} (deploy)", f"{short} is in production"]


def test_the_channels_hear_once_of_a_refusal(loop: Played) -> None:
    loop.verdict = "failed"
    loop.run_again()
    short = bundles.listing(loop.workspace)[0].short
    assert told(loop) == [f"candidate {short} was refused"]
    loop.run_again()
    assert told(loop) == [], "the same candidate again is no news"


def test_a_person_s_refusal_is_told_as_theirs_alone(loop: Played) -> None:
    waiting = waiting_for_approval(loop)
    told(loop)
    decide(loop, "rejected")
    go_on(loop.project, waiting.id)
    short = bundles.listing(loop.workspace)[0].short
    assert told(loop) == [f"bob rejected bundle {short} (deploy)"]


def test_the_channels_hear_what_a_person_has_to_decide_and_of_what_failed(
    loop: Played,
) -> None:
    asked = ask(loop.project, reason="drift", actor=WORKER)
    go_on(loop.project, asked.id)
    short = bundles.listing(loop.workspace)[0].short
    assert told(loop) == [f"candidate {short} waits for a person's decision"]

    def fail() -> None:
        raise DeploymentError("the disk is full")

    loop.rows = "rows-2"
    loop.interrupt["train"] = fail
    with pytest.raises(DeploymentError):
        loop.run_again()
    [failed] = told(loop)
    assert failed.startswith("cycle ") and failed.endswith(" failed")
