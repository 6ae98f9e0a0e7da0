"""A bundle reaches production verified, gated and smoke-tested; going back is a route change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuneloop.deployment import admission, endpoints, release, rollouts, servers, taking_effect, up
from tuneloop.deployment.rollout_plan import Guard, RolloutPlan
from tuneloop.deployment.smoke import Probe, assess
from tuneloop.deployment.supervisor import Supervisor
from tuneloop.errors import (
    ConflictError,
    CorruptArtifactError,
    DeploymentError,
    GateError,
    UsageError,
)
from tuneloop.gateway.routes_seen import RoutesSeen
from tuneloop.modelfile import DataSettings, EndpointSettings, ModelSettings
from tuneloop.progress import Silent
from tuneloop.registry import bundle as bundles
from tuneloop.registry import routes
from tuneloop.registry.bundle import Bundle
from tuneloop.status.screen import status
from tuneloop.testing.backend import PlayedBackend, played
from tuneloop.testing.manifest import manifest_of
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

MODEL = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
PROBES = tuple(
    Probe(messages=({"role": "user", "content": str(n)},), evaluated=f"tuned {n}", base=f"base {n}")
    for n in range(12)
)


def make_bundle(
    workspace: Workspace, folder: Path, *, verdict: str = "passed", model: str = "router"
) -> Bundle:
    folder.mkdir()
    (folder / "weights").write_text(folder.name)
    content = manifest_of(
        model=model,
        base={},
        artifacts={"export": workspace.artifacts.put(folder, kind="export")},
        dataset={},
        training={},
        task={"system": "Be brief."},
        serving={"backend": "played", "sampling": {"temperature": 0.0}},
        evaluation={"verdict": verdict},
        routing={},
    )
    return bundles.register(workspace, content)


def deploy(
    workspace: Workspace,
    bundle: Bundle,
    *,
    answer: str = "tuned {}",
    starts: bool = True,
    model: ModelSettings = MODEL,
    expected: str | release.AsFound | None = release.AsFound.AS_FOUND,
    **patience: float,
) -> release.Release:
    def starting(served_name: str) -> None:
        servers.want(workspace, served_name)
        if not starts:
            raise DeploymentError("no room for it")

    def script(request: Received) -> Reply:
        assert request.body["model"] == bundle.id
        return Reply(text=answer.format(request.body["messages"][-1]["content"]))

    with (
        ScriptedUpstream(script) as upstream,
        played(PlayedBackend(base_url=upstream.base_url, starting=starting)),
    ):
        if up.is_running(workspace):  # then its running server is asked
            servers.report(workspace, bundle.id, "ready", base_url=upstream.base_url)
        return admitted(workspace, bundle, model=model, expected=expected, **patience)


def admitted(
    workspace: Workspace,
    bundle: Bundle,
    *,
    model: ModelSettings = MODEL,
    expected: str | release.AsFound | None = release.AsFound.AS_FOUND,
    **patience: float,
) -> release.Release:
    return release.deploy(
        workspace,
        model=model,
        bundle=bundle,
        probes=PROBES,
        actor="ann",
        reason="test",
        progress=Silent(),
        expected=expected,
        **patience,
    )


def serving(workspace: Workspace, bundle: Bundle, port: int) -> None:
    servers.want(workspace, bundle.id)
    servers.report(workspace, bundle.id, "ready", base_url=f"http://127.0.0.1:{port}/v1")


def route(workspace: Workspace) -> routes.RouteSnapshot:
    found = routes.read(servers.publish(workspace))
    assert found is not None
    return found


def wanted(workspace: Workspace) -> set[str]:
    return {server.bundle for server in servers.listing(workspace) if server.wanted}


@pytest.fixture
def up_runs(workspace: Workspace) -> Iterator[None]:
    """`tuneloop up` holds its lock; the tests say what became of its servers."""
    with Supervisor(workspace.folder("locks") / "up.lock"):
        yield


@pytest.fixture
def two(workspace: Workspace, tmp_path: Path) -> tuple[Bundle, Bundle]:
    """Two bundles, deployed one after the other; both servers are ready."""
    made = make_bundle(workspace, tmp_path / "old"), make_bundle(workspace, tmp_path / "new")
    for port, bundle in enumerate(made, start=8001):
        serving(workspace, bundle, port)
        deploy(workspace, bundle)
    return made


def test_deploy_then_roll_back_is_one_route_change(workspace: Workspace, tmp_path: Path) -> None:
    one, two = (make_bundle(workspace, tmp_path / name) for name in ("one", "two"))
    for port, bundle in ((8001, one), (8002, two)):
        serving(workspace, bundle, port)
        assert deploy(workspace, bundle).serving
    live = route(workspace)
    assert live.endpoints["router"].arms[0].bundle == two.id
    assert live.endpoints["router"].previous == one.id
    assert live.bundles[two.id].system == "Be brief."
    assert live.bundles[two.id].base_url.endswith(":8002/v1")

    release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    after = route(workspace)
    assert after.endpoints["router"].arms[0].bundle == one.id
    assert after.version == live.version + 1
    assert wanted(workspace) == {one.id, two.id}, "the bundle that was left stays warm for an undo"


def test_only_production_and_previous_stay_warm(workspace: Workspace, tmp_path: Path) -> None:
    made = [make_bundle(workspace, tmp_path / name) for name in ("one", "two", "three")]
    for bundle in made:
        serving(workspace, bundle, 8001)
        deploy(workspace, bundle)
    assert wanted(workspace) == {made[1].id, made[2].id}


def test_unchanged_routes_are_not_published_again(workspace: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(workspace, tmp_path / "one")
    serving(workspace, bundle, 8001)
    deploy(workspace, bundle)
    assert route(workspace).version == route(workspace).version


def test_a_restarting_server_keeps_its_route(workspace: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(workspace, tmp_path / "one")
    serving(workspace, bundle, 8001)
    deploy(workspace, bundle)
    servers.report(workspace, bundle.id, "starting")
    assert route(workspace).endpoints["router"].arms[0].bundle == bundle.id
    servers.report(workspace, bundle.id, "ready", base_url="http://127.0.0.1:9009/v1")
    assert route(workspace).bundles[bundle.id].base_url.endswith(":9009/v1")


def test_a_rollback_to_a_failing_server_changes_nothing(
    workspace: Workspace, two: tuple[Bundle, Bundle], up_runs: None
) -> None:
    old, new = two
    servers.report(workspace, old.id, "failed", detail="out of memory")
    before = route(workspace)
    with pytest.raises(DeploymentError, match="out of memory"):
        release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    found = endpoints.find(workspace, "router")
    assert found is not None and found.bundle == new.id
    assert route(workspace) == before


def test_a_forced_rollback_moves_the_traffic_once_the_server_is_ready(
    workspace: Workspace, two: tuple[Bundle, Bundle], up_runs: None
) -> None:
    old, new = two
    servers.report(workspace, old.id, "failed")
    after = release.roll_back(workspace, model="router", actor="bob", reason="bad", force=True)
    assert (after.bundle, after.previous) == (old.id, new.id)
    assert servers.routed(workspace, "router") == {new.id}, "the only one that answers"
    assert not release.in_effect(workspace, after)
    servers.report(workspace, old.id, "ready", base_url="http://127.0.0.1:8003/v1")
    assert route(workspace).endpoints["router"].arms[0].bundle == old.id
    assert route(workspace).endpoints["router"].previous == new.id
    assert release.in_effect(workspace, after)


def test_a_rollback_waits_for_a_server_that_is_starting(
    workspace: Workspace,
    two: tuple[Bundle, Bundle],
    up_runs: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = two
    servers.report(workspace, old.id, "starting")
    monkeypatch.setattr(release, "ROLLBACK_WAIT_SECONDS", 0.0)
    after = release.roll_back(workspace, model="router", actor="bob", reason="slow to start")
    assert servers.routed(workspace, "router") == {new.id}
    found = status(workspace, MODEL, gateway_url="http://127.0.0.1:1")
    assert (found.health, found.live and found.live.answering) == ("switching", (new.id,))
    assert new.short in found.next_steps[0]
    release.roll_back(workspace, model="router", actor="bob", reason="back")
    assert status(workspace, MODEL, gateway_url="http://127.0.0.1:1").health == "healthy"

    monkeypatch.setattr(release, "ROLLBACK_WAIT_SECONDS", 60.0)
    becomes_ready = threading.Timer(0.3, servers.report, (workspace, old.id, "ready"))
    becomes_ready.start()
    after = release.roll_back(workspace, model="router", actor="bob", reason="now it is ready")
    becomes_ready.join()
    assert release.in_effect(workspace, after)


def test_a_rollback_without_tuneloop_up_takes_effect_with_its_next_start(
    workspace: Workspace, two: tuple[Bundle, Bundle]
) -> None:
    old, _ = two
    servers.forget_all(workspace)
    after = release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    assert after.bundle == old.id
    assert not release.in_effect(workspace, after)
    servers.start_afresh(workspace, {old.id: "http://127.0.0.1:9001/v1"})
    assert servers.routed(workspace, "router") == {old.id}


def test_a_new_start_routes_to_no_port_of_the_last_one(
    workspace: Workspace, two: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    _, new = two
    left_over = make_bundle(workspace, tmp_path / "candidate")
    servers.want(workspace, left_over.id)
    before = route(workspace)
    servers.start_afresh(workspace, {new.id: "http://127.0.0.1:9001/v1"})
    after = route(workspace)
    assert {bundle: one.base_url for bundle, one in after.bundles.items()} == {
        new.id: "http://127.0.0.1:9001/v1"
    }
    assert after.endpoints["router"].previous is None
    assert after.version > before.version
    assert wanted(workspace) == {new.id}, "nobody needs what a killed deployment asked for"
    assert not any(server.status == "ready" for server in servers.listing(workspace))


def test_production_answers_on_until_the_new_bundle_is_ready(
    workspace: Workspace, two: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    _, new = two
    newest = make_bundle(workspace, tmp_path / "newest")
    deploy(workspace, newest)
    assert route(workspace).endpoints["router"].arms[0].bundle == new.id
    servers.report(workspace, newest.id, "ready", base_url="http://127.0.0.1:8003/v1")
    assert route(workspace).endpoints["router"].arms[0].bundle == newest.id


def test_deploying_it_again_takes_over_the_model_files_settings(
    workspace: Workspace, two: tuple[Bundle, Bundle]
) -> None:
    _, new = two
    assert route(workspace).endpoints["router"].capture.enabled
    private = MODEL.model_copy(update={"endpoint": EndpointSettings(name="desk", capture=False)})
    deploy(workspace, new, model=private)
    assert route(workspace).endpoints.keys() == {"desk"}
    assert not route(workspace).endpoints["desk"].capture.enabled


def test_only_the_expected_production_is_replaced(
    workspace: Workspace, two: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    old, new = two
    newest = make_bundle(workspace, tmp_path / "newest")
    with pytest.raises(ConflictError, match=f"Expected {old.short} .* found {new.short}"):
        deploy(workspace, newest, expected=old.id)
    with pytest.raises(ConflictError, match="Expected nothing"):
        deploy(workspace, newest, expected=None)
    assert newest.id not in wanted(workspace)
    assert deploy(workspace, newest, expected=new.id).endpoint.bundle == newest.id


def test_a_bundle_of_another_model_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    other = make_bundle(workspace, tmp_path / "other", model="summariser")
    with pytest.raises(UsageError, match="one of summariser"):
        deploy(workspace, other)


def test_a_server_that_was_wanted_for_a_failed_deployment_is_not_kept(
    workspace: Workspace, two: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    candidate = make_bundle(workspace, tmp_path / "candidate")
    with pytest.raises(DeploymentError, match="no room"):
        deploy(workspace, candidate, starts=False)
    assert wanted(workspace) == {bundle.id for bundle in two}


@pytest.mark.parametrize("verdict", ["failed", "refused", ""])
def test_a_bundle_that_missed_its_gates_is_refused(
    workspace: Workspace, tmp_path: Path, verdict: str
) -> None:
    with pytest.raises(GateError, match="may not be deployed"):
        deploy(workspace, make_bundle(workspace, tmp_path / "one", verdict=verdict))
    assert endpoints.find(workspace, "router") is None


def test_a_failed_smoke_test_leaves_production_alone(workspace: Workspace, tmp_path: Path) -> None:
    one, two = (make_bundle(workspace, tmp_path / name) for name in ("one", "two"))
    deploy(workspace, one)
    with pytest.raises(GateError, match="not the model that was evaluated"):
        deploy(workspace, two, answer="base {}")
    found = endpoints.find(workspace, "router")
    assert found is not None and found.bundle == one.id


def test_changed_files_are_never_deployed(workspace: Workspace, tmp_path: Path) -> None:
    bundle = make_bundle(workspace, tmp_path / "one")
    for blob in (workspace.root / "artifacts" / "blobs").rglob("*"):
        if blob.is_file():
            blob.chmod(0o644)
            blob.write_text("something else")
    with pytest.raises(CorruptArtifactError):
        deploy(workspace, bundle)
    assert endpoints.find(workspace, "router") is None


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([f"tuned {n}" for n in range(12)], ""),
        ([f"tuned {n}" for n in range(9)] + ["drift"] * 3, ""),
        ([f"tuned {n}" for n in range(8)] + ["drift"] * 4, "not the model that was evaluated"),
        ([f"tuned {n}" for n in range(11)] + [" "], "not answered"),
    ],
)
def test_smoke_verdicts(answers: list[str], reason: str) -> None:
    result = assess(PROBES, answers)
    assert result.passed == (not reason)
    assert reason in result.reason


def test_smoke_sees_an_adapter_without_effect() -> None:
    same = [Probe(messages=p.messages, evaluated="same", base="same") for p in PROBES]
    assert "adapter is not in effect" in assess(same, ["same"] * 12).reason
    assert not assess([], []).passed


@pytest.fixture
def gateways(workspace: Workspace) -> Iterator[tuple[RoutesSeen, RoutesSeen]]:
    """What two gateway processes note of themselves."""
    made = tuple(RoutesSeen(workspace.folder("run"), f"gateway-{n}") for n in range(2))
    for one in made:
        one.note(route(workspace).version)
    yield made[0], made[1]
    for one in made:
        one.leave()


def test_a_rollback_is_in_effect_when_every_gateway_that_lives_has_the_route(
    workspace: Workspace,
    two: tuple[Bundle, Bundle],
    up_runs: None,
    gateways: tuple[RoutesSeen, RoutesSeen],
) -> None:
    _, new = two
    moved = release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    began = time.monotonic()
    gateways[0].note(route(workspace).version)
    late = taking_effect.wait(workspace, moved, since=began, timeout_seconds=0.1)
    assert late.seconds is None
    assert "gateway-1 still answers by the old route" in str(late)
    has_it = threading.Timer(0.2, gateways[1].note, (route(workspace).version,))
    has_it.start()
    done = taking_effect.wait(workspace, moved, since=began)
    has_it.join()
    assert done.seconds is not None and done.seconds >= 0.2
    assert "measured" in str(done)
    admission.readmit(workspace, new, actor="bob", reason="it was not to blame")
    again = deploy(workspace, new, effect_timeout_seconds=0.1).effect
    assert again.seconds is None, "another route, and nobody has taken it over yet"


def test_who_was_overtaken_is_told_so_at_once(
    workspace: Workspace,
    two: tuple[Bundle, Bundle],
    up_runs: None,
    gateways: tuple[RoutesSeen, RoutesSeen],
    tmp_path: Path,
) -> None:
    """And not, after five seconds, that a model server is not ready."""
    _, new = two
    moved = release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    undone = threading.Timer(
        0.2, release.roll_back, (workspace,), {"model": "router", "actor": "ann", "reason": "no"}
    )
    undone.start()
    found = taking_effect.wait(workspace, moved, since=time.monotonic())
    undone.join()
    assert found.seconds is None
    assert f"somebody else moved router on: {new.short} is in production" in str(found)

    moved = release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    begun = rollouts.start(
        workspace,
        model="router",
        endpoint="router",
        candidate=make_bundle(workspace, tmp_path / "newest").id,
        production=moved.bundle or "",
        plan=RolloutPlan(guards=(Guard(name="errors"),), steps=(0.5,)),
        actor="ann",
    )
    found = taking_effect.wait(workspace, moved, since=time.monotonic())
    assert f"somebody began rollout {begun.id}" in str(found)


DIES = """
import os, signal, sys
from pathlib import Path
from tuneloop.gateway.routes_seen import RoutesSeen
seen = RoutesSeen(Path(sys.argv[1]), "gateway-2")
seen.note(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nobody_waits_for_a_gateway_that_was_killed(
    workspace: Workspace,
    two: tuple[Bundle, Bundle],
    up_runs: None,
    gateways: tuple[RoutesSeen, RoutesSeen],
) -> None:
    """Its process id may be another's by now, as in a container it always is."""
    run = workspace.folder("run")
    subprocess.run([sys.executable, "-c", DIES, run], check=False)
    left = run / "gateway-2.routes"
    assert int(left.read_text()) == 0
    shutil.copy(left, run / f"gateway-3-{os.getpid()}.routes")  # as they were named before
    moved = release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    for one in gateways:
        one.note(route(workspace).version)
    found = taking_effect.wait(workspace, moved, since=time.monotonic(), timeout_seconds=0.2)
    assert found.seconds is not None, str(found)
    started_again = RoutesSeen(run, "gateway-2")
    started_again.note(0)
    found = taking_effect.wait(workspace, moved, since=time.monotonic(), timeout_seconds=0.2)
    assert "gateway-2 still answers by the old route" in str(found)
    started_again.leave()
    found = taking_effect.wait(workspace, moved, since=time.monotonic(), timeout_seconds=0.2)
    assert found.seconds is not None, str(found)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sleeps, fails."""
    monkeypatch.setattr(taking_effect, "time", SimpleNamespace(monotonic=time.monotonic))


def test_what_is_not_served_is_not_waited_for(
    workspace: Workspace, two: tuple[Bundle, Bundle], no_wait: None
) -> None:
    moved = release.roll_back(workspace, model="router", actor="bob", reason="wrong")
    found = taking_effect.wait(workspace, moved, since=time.monotonic())
    assert found.seconds is None and "tuneloop up" in str(found)


def test_a_bundle_whose_server_fails_is_not_waited_for(
    workspace: Workspace, two: tuple[Bundle, Bundle], up_runs: None, no_wait: None
) -> None:
    old, _ = two
    servers.report(workspace, old.id, "failed")
    moved = release.roll_back(workspace, model="router", actor="bob", reason="bad", force=True)
    found = taking_effect.wait(workspace, moved, since=time.monotonic())
    assert "once its model server is ready" in str(found)
