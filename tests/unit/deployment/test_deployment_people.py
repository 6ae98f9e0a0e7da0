"""Who may move production, and what needs an approval first; a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneloop.deployment import controller, endpoints, release, rollouts
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.deployment.smoke import Probe
from tuneloop.errors import GateError, NotAllowedError
from tuneloop.modelfile import ApprovalRule, ApprovalSettings, DataSettings, ModelSettings
from tuneloop.progress import Silent
from tuneloop.registry import approvals, audit, people
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.testing.backend import PlayedBackend, played
from tuneloop.testing.manifest import manifest_of
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

MODEL = ModelSettings(
    name="router",
    base="b",
    data=DataSettings(sources=("a",)),
    approvals=ApprovalSettings(deploy=ApprovalRule()),
)
PROBES = tuple(
    Probe(messages=({"role": "user", "content": str(n)},), evaluated=f"tuned {n}", base="base")
    for n in range(12)
)
PLAN = RolloutPlan(guards=(Guard(name="errors"),), steps=(0.5,))


@pytest.fixture
def staffed(workspace: Workspace) -> Workspace:
    people.add(workspace, "ada", ["admin"], actor="ada")
    people.add(workspace, "ines", ["expert"], actor="ada")
    people.add(workspace, "erik", ["engineer"], actor="ada")
    people.add(workspace, "cleo", ["curator"], actor="ada")
    return workspace


def make_bundle(workspace: Workspace, folder: Path) -> Bundle:
    folder.mkdir()
    (folder / "weights").write_text(folder.name)
    digest = workspace.artifacts.put(folder, kind="export")
    content = manifest_of(
        model="router",
        base={},
        artifacts={"export": digest, "evaluation": digest},
        dataset={},
        training={},
        task={"system": ""},
        serving={"backend": "played", "sampling": {"temperature": 0.0}},
        evaluation={"id": folder.name, "verdict": "passed", "gates": "g", "comparisons": {}},
        routing={},
    )
    return bundles.register(workspace, content)


def say(workspace: Workspace, bundle: Bundle, event: str, who: str = "ines") -> None:
    approvals.decide(
        workspace,
        MODEL,
        bundle,
        "deploy",
        event,  # type: ignore[arg-type]
        actor=who,
        reason="I looked",
    )


def deploy(
    workspace: Workspace,
    bundle: Bundle,
    actor: str = "erik",
    while_asked: Callable[[], None] = lambda: None,
) -> release.Release:
    def script(request: Received) -> Reply:
        return Reply(text=f"tuned {request.body['messages'][-1]['content']}")

    with (
        ScriptedUpstream(script) as upstream,
        played(PlayedBackend(base_url=upstream.base_url, starting=lambda _: while_asked())),
    ):
        return release.deploy(
            workspace,
            model=MODEL,
            bundle=bundle,
            probes=PROBES,
            actor=actor,
            reason="better",
            progress=Silent(),
        )


def live(workspace: Workspace) -> str | None:
    found = endpoints.find(workspace, "router")
    return found.bundle if found else None


def test_an_unapproved_bundle_is_refused_and_production_stays(
    staffed: Workspace, tmp_path: Path
) -> None:
    one, two = (make_bundle(staffed, tmp_path / name) for name in ("one", "two"))
    say(staffed, one, "approved")
    assert deploy(staffed, one).endpoint.bundle == one.id
    with pytest.raises(GateError, match="needs 1 more approval by expert"):
        deploy(staffed, two)
    assert live(staffed) == one.id, "the approval of another bundle is none"


def test_a_rejection_while_it_is_being_loaded_counts(staffed: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(staffed, tmp_path / "one")
    say(staffed, bundle, "approved")
    with pytest.raises(GateError, match=r"was rejected by ines \(I looked\)"):
        deploy(staffed, bundle, while_asked=lambda: say(staffed, bundle, "rejected"))
    assert live(staffed) is None


def test_an_expert_approves_and_goes_back_but_does_not_deploy(
    staffed: Workspace, tmp_path: Path
) -> None:
    one, two = (make_bundle(staffed, tmp_path / name) for name in ("one", "two"))
    for bundle in (one, two):
        say(staffed, bundle, "approved")
        deploy(staffed, bundle)
    with pytest.raises(NotAllowedError, match="ines may not deploy of router"):
        deploy(staffed, one, actor="ines")
    assert live(staffed) == two.id
    assert audit.listing(staffed, "router")[0].action == "people.refused"
    with pytest.raises(NotAllowedError, match="cleo may not roll back"):
        release.roll_back(staffed, model="router", actor="cleo", reason="I do not like it")
    assert live(staffed) == two.id
    release.roll_back(staffed, model="router", actor="ines", reason="wrong answers")
    assert live(staffed) == one.id, "going back waits for no approval"


@pytest.fixture
def under_way(staffed: Workspace, tmp_path: Path) -> Bundle:
    """The candidate of a rollout."""
    one, two = (make_bundle(staffed, tmp_path / name) for name in ("one", "two"))
    say(staffed, one, "approved")
    deploy(staffed, one)
    rollouts.start(
        staffed,
        model="router",
        endpoint="router",
        candidate=two.id,
        production=one.id,
        plan=PLAN,
        actor="erik",
    )
    return two


def test_an_expert_may_stop_a_rollout_and_an_engineer_may_go_on(
    staffed: Workspace, under_way: Bundle
) -> None:
    def steer(command: controller.Steer, actor: str) -> rollouts.Rollout:
        return controller.steer(staffed, "router", command, actor=actor, reason="r")

    assert steer("pause", "ines").status == "paused"
    with pytest.raises(NotAllowedError, match="ines may not deploy"):
        steer("resume", "ines")
    assert steer("resume", "erik").status == "running"
    with pytest.raises(NotAllowedError, match="ines may not deploy"):
        steer("promote", "ines")
    assert steer("abort", "ines").status == "aborted"


def test_what_is_rejected_gets_no_more_traffic(staffed: Workspace, under_way: Bundle) -> None:
    say(staffed, under_way, "rejected")
    with pytest.raises(GateError, match="its candidate was rejected by ines"):
        controller.steer(staffed, "router", "promote", actor="erik", reason="go")
    rollout = rollouts.active(staffed, "router")
    assert rollout is not None
    ended = controller.advance(staffed, rollout)
    assert (ended.status, ended.detail) == ("aborted", "it was rejected by ines (I looked)")
    assert live(staffed) != under_way.id
