"""A bundle reaches production verified, gated and smoke-tested; going back is a route change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tuneloop.deployment import endpoints, release, servers
from tuneloop.deployment.smoke import Probe, judge
from tuneloop.errors import CorruptArtifactError, GateError
from tuneloop.modelfile import DataSettings, ModelSettings
from tuneloop.progress import Silent
from tuneloop.registry import bundle as bundles
from tuneloop.registry import routes
from tuneloop.registry.bundle import Bundle
from tuneloop.workspace import Workspace

MODEL = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
PROBES = tuple(
    Probe(messages=({"role": "user", "content": str(n)},), evaluated=f"tuned {n}", base=f"base {n}")
    for n in range(12)
)


def make_bundle(workspace: Workspace, folder: Path, *, verdict: str = "passed") -> Bundle:
    folder.mkdir()
    (folder / "weights").write_text(folder.name)
    content = bundles.manifest(
        model="router",
        base={},
        artifacts={"export": workspace.artifacts.put(folder, kind="export")},
        dataset={},
        training={},
        task={"system": "Be brief."},
        serving={"sampling": {"temperature": 0.0}},
        evaluation={"verdict": verdict},
        routing={},
    )
    return bundles.register(workspace, content)


def deploy(workspace: Workspace, bundle: Bundle, *, answer: str = "tuned {}") -> release.Release:
    @contextmanager
    def serve(_: Bundle) -> Iterator[str]:
        yield "http://127.0.0.1:1/v1"

    def ask_at(_: str, __: Bundle) -> release.Ask:
        def ask(messages: Sequence[Mapping[str, str]]) -> str:
            return answer.format(messages[-1]["content"])

        return ask

    return release.deploy(
        workspace,
        model=MODEL,
        bundle=bundle,
        probes=PROBES,
        serve=serve,
        ask_at=ask_at,
        actor="ann",
        reason="test",
        progress=Silent(),
    )


def serving(workspace: Workspace, bundle: Bundle, port: int) -> None:
    servers.want(workspace, bundle.id)
    servers.report(workspace, bundle.id, "ready", base_url=f"http://127.0.0.1:{port}/v1")


def route(workspace: Workspace) -> routes.RouteSnapshot:
    found = routes.read(servers.publish(workspace))
    assert found is not None
    return found


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
    wanted = {server.bundle for server in servers.listing(workspace) if server.wanted}
    assert wanted == {one.id, two.id}, "the bundle that was left stays warm for an undo"


def test_only_production_and_previous_stay_warm(workspace: Workspace, tmp_path: Path) -> None:
    made = [make_bundle(workspace, tmp_path / name) for name in ("one", "two", "three")]
    for bundle in made:
        serving(workspace, bundle, 8001)
        deploy(workspace, bundle)
    wanted = {server.bundle for server in servers.listing(workspace) if server.wanted}
    assert wanted == {made[1].id, made[2].id}


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
    result = judge(PROBES, answers)
    assert result.passed == (not reason)
    assert reason in result.reason


def test_smoke_sees_an_adapter_without_effect() -> None:
    same = [Probe(messages=p.messages, evaluated="same", base="same") for p in PROBES]
    assert "adapter is not in effect" in judge(same, ["same"] * 12).reason
    assert not judge([], []).passed
