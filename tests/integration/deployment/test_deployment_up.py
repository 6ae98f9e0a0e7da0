"""`tuneloop up` serves production whatever is wrong with everything else."""

from __future__ import annotations

import dataclasses
import json
import resource
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
import yaml

from tiny_desk import as_json, command, tuneloop
from tuneloop import modelfile
from tuneloop.deployment import endpoints, servers, up
from tuneloop.deployment.backends.base import answers
from tuneloop.deployment.export.convert import convert_to_gguf
from tuneloop.deployment.processes import free_port
from tuneloop.errors import StoreError
from tuneloop.progress import Silent
from tuneloop.registry import bundle as bundles
from tuneloop.registry import routes
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.artifacts import Artifacts
from tuneloop.storage.records import Records
from tuneloop.testing.manifest import manifest_of
from tuneloop.testing.tiny_model import make_tiny_model
from tuneloop.workspace import FOLDER, Workspace


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(folder / "hf")
    convert_to_gguf(folder / "hf", folder / "tiny.gguf", name="tiny", progress=Silent())
    return folder / "tiny.gguf"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a model file whose workspace is empty."""
    write_model_file(tmp_path)
    (tmp_path / "rows.jsonl").touch()
    yield tmp_path
    subprocess.run(command("down"), cwd=tmp_path, check=False, capture_output=True)


def write_model_file(folder: Path, **endpoint: object) -> None:
    settings = {
        "name": "router",
        "base": "base",
        "data": {"sources": ["rows.jsonl"]},
        "endpoint": {"port": free_port(), **endpoint},
    }
    (folder / "tuneloop.yaml").write_text(yaml.safe_dump(settings))


def register(workspace: Workspace, gguf: Path, name: str) -> Bundle:
    """A bundle that can be served and that shares only its weights with the others."""
    folder = workspace.folder(f"work/{name}")
    (folder / "model.gguf").write_bytes(gguf.read_bytes())
    (folder / "note").write_text(name)
    serving = {"context_tokens": 128, "parallel_requests": 1, "threads": 1, "sampling": {}}
    content = manifest_of(
        model="router",
        base={},
        artifacts={"export": workspace.artifacts.put(folder, kind="export")},
        dataset={},
        training={"name": name},
        task={"system": ""},
        serving=serving | {"file": "model.gguf"},
        evaluation={"verdict": "passed"},
        routing={},
    )
    return bundles.register(workspace, content)


def deploy(workspace: Workspace, folder: Path, *deployed: Bundle) -> None:
    """Point the endpoint at one bundle after the other."""
    model = modelfile.load(folder / "tuneloop.yaml").settings
    for before, bundle in zip((None, *deployed), deployed, strict=False):
        endpoints.point(
            workspace,
            model=model,
            bundle=bundle.id,
            expected=before.id if before else None,
            actor="ann",
            reason="test",
        )


def spoil(workspace: Workspace, bundle: Bundle) -> None:
    """Change a byte of what only this bundle has."""
    files = workspace.artifacts.describe(bundle.manifest.artifacts.export).files
    digest = next(file.digest for file in files if file.path == "note")
    blob = workspace.root / "artifacts" / "blobs" / digest[:2] / digest
    blob.chmod(0o644)
    blob.write_text("something else")


def test_production_is_served_beside_a_corrupt_previous_and_a_leftover(
    desk: Path, gguf: Path
) -> None:
    workspace = Workspace.open(desk / FOLDER)
    old, live, candidate = (register(workspace, gguf, name) for name in ("old", "live", "left"))
    deploy(workspace, desk, old, live)
    spoil(workspace, old)
    spoil(workspace, candidate)
    servers.want(workspace, candidate.id)  # what a killed deployment leaves behind
    said = tuneloop(desk, "up", "--detach").stdout
    assert "Serving at" in said
    assert f"model server of {old.short}" in said and "is corrupt" in " ".join(said.split())
    found = {server.bundle: server for server in servers.listing(workspace)}
    assert (found[live.id].status, found[old.id].status) == ("ready", "failed")
    assert not found[candidate.id].wanted

    refused = tuneloop(desk, "rollback", code=1)
    assert "Production is unchanged" in refused.stderr
    assert not as_json(desk, "rollback", "--force")["in_effect"]
    assert servers.routed(workspace, "router") == {live.id}
    assert as_json(desk, "rollback")["in_effect"], "the way back is open"
    assert as_json(desk, "down")["stopped"]

    deploy(workspace, desk, live, old)
    refused = tuneloop(desk, "up", "--detach", code=1)
    assert "in production, does not start" in " ".join(refused.stderr.split())
    workspace.records.close()


def test_up_takes_over_what_the_model_file_says_of_the_endpoint(desk: Path, gguf: Path) -> None:
    workspace = Workspace.open(desk / FOLDER)
    deploy(workspace, desk, register(workspace, gguf, "live"))
    write_model_file(desk, name="front", capture=False)
    tuneloop(desk, "up", "--detach")
    published = routes.read(workspace.root / servers.ROUTES_FILE)
    assert published is not None
    assert published.endpoints.keys() == {"front"}
    assert not published.endpoints["front"].capture.enabled
    workspace.records.close()


class CountedArtifacts(Artifacts):
    """Counts how often an artifact was read whole."""

    reads = 0

    def get(self, digest: str) -> Path:
        self.reads += 1
        return super().get(digest)


class UnsteadyRecords(Records):
    """A database that can be switched off."""

    down = False

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        if self.down:
            raise StoreError("The database is down.")
        with super().begin() as tx:
            yield tx


def test_an_unusable_bundle_is_remembered_and_a_lost_database_survived(
    desk: Path, gguf: Path
) -> None:
    opened = Workspace.open(desk / FOLDER)
    root = opened.root
    records = UnsteadyRecords(f"sqlite:///{root / 'records.sqlite'}")
    artifacts = CountedArtifacts(str(root / "artifacts"), cache=root / "cache" / "artifacts")
    workspace = dataclasses.replace(opened, records=records, artifacts=artifacts)
    bundle = register(workspace, gguf, "live")
    deploy(workspace, desk, bundle)
    spoil(workspace, bundle)
    seen: list[servers.ServerStatus] = []

    def stopping() -> bool:
        """Asked before every step of the loop."""
        records.down = False
        seen.extend(server.status for server in servers.listing(workspace))
        records.down = 6 <= len(seen) < 12
        return len(seen) == 20

    up.serve(
        workspace,
        host="127.0.0.1",
        port=free_port(),
        count=1,
        stopping=stopping,
        restarting=lambda: False,
    )
    assert seen[-1] == "failed"
    assert artifacts.reads < 4, "every look reads gigabytes and keeps the loop from its work"
    records.close()
    opened.records.close()


def test_several_gateways_share_the_port_their_counts_and_a_restart(desk: Path, gguf: Path) -> None:
    write_model_file(desk, processes=2)
    workspace = Workspace.open(desk / FOLDER)
    deploy(workspace, desk, register(workspace, gguf, "live"))
    workspace.records.close()
    tuneloop(desk, "up", "--detach")
    url = str(as_json(desk, "status")["gateway_url"])

    def served() -> int:
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith("tuneloop_served_total{")]
        return int(found[0].rsplit(" ", 1)[1]) if found else 0

    before = gateways(url)
    assert len(before) == 2
    for _ in range(6):
        ask(url)
    wait_for(lambda: served() == 6)
    assert "no previous bundle" in tuneloop(desk, "drill", code=2).stderr
    tuneloop(desk, "restart")
    asked = 6
    while gateways(url) & before or len(gateways(url)) != 2:
        ask(url)
        asked += 1
    wait_for(lambda: served() == asked)


def ask(url: str) -> str | None:
    """The bundle that answers a new connection."""
    body = json.dumps({"model": "router", "messages": [{"role": "user", "content": "a"}]})
    request = urllib.request.Request(
        f"{url}/chat/completions",
        data=body.encode(),
        headers={"content-type": "application/json", "connection": "close"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
        return answer.headers["x-tuneloop-bundle"]


def gateways(url: str) -> set[int]:
    """Process ids of the gateways at a URL."""
    port = url.split(":")[2].split("/")[0]
    running = psutil.process_iter(["pid", "cmdline"])
    words = {p.info["pid"]: p.info["cmdline"] or [] for p in running}
    return {
        pid for pid, line in words.items() if "tuneloop.gateway.server" in line and port in line
    }


def test_a_full_disk_raises_an_alert_and_what_is_too_old_goes(desk: Path, gguf: Path) -> None:
    """A limit on the sizes of the gateway's files stands for the full disk."""
    write_model_file(desk, retention_days=90)
    workspace = Workspace.open(desk / FOLDER)
    bundle = register(workspace, gguf, "live")
    deploy(workspace, desk, bundle)
    for days in (91, 1):
        row = {"id": f"{days}", "time": workspace.now() - timedelta(days=days), "status": 200}
        row |= {"endpoint": "router", "bundle": bundle.id, "messages": "[]", "latency_ms": 1.0}
        workspace.traffic.append("interactions", [row])
    tuneloop(desk, "up", "--detach")
    assert as_json(desk, "status")["alerts"] == []
    url = str(as_json(desk, "status")["gateway_url"])
    (pid,) = gateways(url)
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, -1))
    for _ in range(3):
        ask(url)
    wait_for(lambda: "not captured since" in " ".join(as_json(desk, "status")["alerts"]))
    (alert,) = as_json(desk, "alert", "list")
    assert alert["monitor"] == "capture_drops"
    assert "disk_full: " in alert["message"] and "MB free" in alert["message"]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)

    wait_for(lambda: [one["id"] for one in as_json(desk, "traffic", "list")] == ["1"])
    assert as_json(desk, "down")["stopped"]
    workspace.records.close()
    for name in ("up", "gateway-0", "worker"):
        lines = (workspace.root / "logs" / f"{name}.log").read_text().splitlines()
        assert lines and all({"time", "level", "message"} <= json.loads(x).keys() for x in lines)


def test_a_gateway_killed_while_the_records_are_locked_is_back_at_once(
    desk: Path, gguf: Path
) -> None:
    workspace = Workspace.open(desk / FOLDER)
    deploy(workspace, desk, register(workspace, gguf, "live"))
    tuneloop(desk, "up", "--detach")
    url = str(as_json(desk, "status")["gateway_url"])
    with closing(sqlite3.connect(workspace.root / "records.sqlite")) as locker:
        locker.execute("BEGIN IMMEDIATE")
        time.sleep(1)  # who reads the records waits for them now, for 15 s
        (pid,) = gateways(url)
        psutil.Process(pid).kill()
        wait_for(lambda: gateways(url) - {pid} != set(), seconds=8)
        wait_for(lambda: answers(f"{url.removesuffix('/v1')}/healthz"), seconds=20)
        locker.rollback()
    ask(url)
    workspace.records.close()


def test_a_drill_goes_there_and_back_and_fails_no_request(desk: Path, gguf: Path) -> None:
    write_model_file(desk, processes=2)
    workspace = Workspace.open(desk / FOLDER)
    old, new = register(workspace, gguf, "old"), register(workspace, gguf, "new")
    deploy(workspace, desk, old, new)
    tuneloop(desk, "up", "--detach")
    report = as_json(desk, "drill", "--repeats", "1", "--connections", "4")
    assert report["failed_requests"] == 0
    assert len(report["every_rollback_seconds"]) == 2
    assert 0 <= report["rollback_seconds"]["p50"] <= report["rollback_seconds"]["p99"]
    endpoint = endpoints.find(workspace, "router")
    workspace.records.close()
    assert endpoint is not None
    assert (endpoint.bundle, endpoint.previous) == (new.id, old.id)
    assert as_json(desk, "traffic", "list") == []
    assert len(as_json(desk, "history", "--drills")) == len(as_json(desk, "history")) + 2


def test_a_rollback_says_when_it_took_effect_and_from_then_on_it_has(
    desk: Path, gguf: Path
) -> None:
    write_model_file(desk, processes=2)
    workspace = Workspace.open(desk / FOLDER)
    old, new = register(workspace, gguf, "old"), register(workspace, gguf, "new")
    deploy(workspace, desk, old, new)
    workspace.records.close()
    tuneloop(desk, "up", "--detach")
    url = str(as_json(desk, "status")["gateway_url"])
    assert {ask(url) for _ in range(10)} == {new.id}
    gone_back = as_json(desk, "rollback")
    assert gone_back["bundle"] == old.id and 0 < gone_back["took_effect_seconds"] < 5
    assert {ask(url) for _ in range(40)} == {old.id}, "the very next request, on any process"
    said = tuneloop(desk, "rollback").stdout
    assert "is in production now" in said and "took effect after" in said
    assert {ask(url) for _ in range(40)} == {new.id}


def wait_for(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
