"""llama.cpp's real server with a real, tiny model; alone, supervised, and behind the gateway."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from tuneloop.deployment.backends import llamacpp
from tuneloop.deployment.backends.base import ServerHandle, local_url
from tuneloop.deployment.backends.llamacpp import LlamaServer, LlamaSettings, model_server
from tuneloop.deployment.backends.llamacpp_observation import http_poster
from tuneloop.deployment.export.convert import convert_to_gguf
from tuneloop.deployment.export.quantize import quantise_gguf
from tuneloop.deployment.gateways import GatewayPlace, Gateways
from tuneloop.deployment.supervisor import RestartTiming, Supervisor
from tuneloop.errors import DeploymentError
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.gateway import server as gateway
from tuneloop.progress import Silent
from tuneloop.prose.repetition import loop_in
from tuneloop.registry import routes
from tuneloop.registry.routes import Arm, Endpoint, RouteSnapshot, Target
from tuneloop.testing.tiny_model import make_tiny_model

SETTINGS = LlamaSettings(context_tokens=256, parallel=2, threads=1, startup_timeout_seconds=30)
PROMPTS = ("Where is my parcel?", "I want my money back.", "Hello!")
ANSWER_TOKENS = 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, as Hugging Face files in `hf` and as `tiny.gguf`."""
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(folder / "hf")
    convert_to_gguf(folder / "hf", folder / "tiny.gguf", name="tiny", progress=Silent())
    return folder


@pytest.fixture(scope="module")
def gguf(tiny: Path) -> Path:
    return tiny / "tiny.gguf"


@pytest.fixture
def served(gguf: Path, tmp_path: Path) -> Iterator[ServerHandle]:
    with LlamaServer(gguf, served_name="b-1", settings=SETTINGS, log=tmp_path / "log") as handle:
        yield handle


def _ask(base_url: str, text: str, **options: Any) -> str:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=30) as client:
        answer = client.chat.completions.create(
            **{"model": "b-1", "max_tokens": ANSWER_TOKENS, "temperature": 0} | options,
            messages=[{"role": "user", "content": text}],
        )
    return answer.choices[0].message.content or ""


def test_an_evaluation_hears_in_pieces_what_it_would_hear_whole(served: ServerHandle) -> None:
    """An answer that loops is ended there, and the server is free for the next one at once."""

    def target(*, cut_loops: bool, most: int) -> OpenAITarget:
        return OpenAITarget(
            base_url=served.base_url,
            model=served.served_name,
            identity="i",
            sampling=Sampling(max_tokens=most),
            cut_loops=cut_loops,
        )

    for text in PROMPTS:
        prompt = ({"role": "user", "content": text},)
        for most in (4, 160):
            whole = target(cut_loops=False, most=most).complete(prompt)
            heard = target(cut_loops=True, most=most).complete(prompt)
            assert whole.error is None and heard.error is None
            if heard.loops:
                assert whole.text.startswith(heard.text) and loop_in(whole.text)
            else:
                assert replace(heard, latency_ms=0) == replace(whole, latency_ms=0)


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_greedy_answers_equal_those_of_the_hugging_face_model(
    tiny: Path, served: ServerHandle
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny / "hf")
    model = AutoModelForCausalLM.from_pretrained(tiny / "hf", dtype=torch.float32).eval()
    for prompt in PROMPTS:
        encoded = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.no_grad():
            output = model.generate(**encoded, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        new_tokens = output[0, encoded["input_ids"].shape[1] :]
        expected = tokenizer.decode(new_tokens, skip_special_tokens=True)
        # Random weights may stop in the middle of a character, which only Hugging Face shows.
        assert _ask(served.base_url, prompt).rstrip("\ufffd") == expected.rstrip("\ufffd")


@pytest.fixture
def quantised(gguf: Path, tmp_path: Path) -> Iterator[ServerHandle]:
    quantise_gguf(gguf, tmp_path / "q8_0.gguf", quantisation="q8_0", progress=Silent())
    with LlamaServer(tmp_path / "q8_0.gguf", served_name="b-1", settings=SETTINGS) as handle:
        yield handle


def test_what_the_cache_holds_changes_no_probability(quantised: ServerHandle) -> None:
    """The CPU's flash attention would: it rounds long pieces of a prompt otherwise than short."""
    post = http_poster(quantised.base_url)
    shared = post("/tokenize", {"content": "You sort messages to the support desk. " * 6})["tokens"]
    ends = [post("/tokenize", {"content": text})["tokens"] for text in PROMPTS]

    def first_token(prompt: list[int], *, remember: bool) -> dict[int, float]:
        body = {"prompt": prompt, "n_predict": 1, "temperature": 0, "n_probs": 10}
        answer = post("/completion", {**body, "cache_prompt": remember})
        (step,) = answer["completion_probabilities"]
        return {top["id"]: top["logprob"] for top in step["top_logprobs"]}

    read_whole = [first_token(shared + end, remember=False) for end in ends]
    first_token(shared, remember=True)
    assert [first_token(shared + end, remember=True) for end in ends] == read_whole


def test_every_slot_has_the_context_that_was_asked_for(served: ServerHandle) -> None:
    assert _ask(served.base_url, "a " * 150)
    with pytest.raises(openai.BadRequestError, match="context size"):
        _ask(served.base_url, "a " * 300)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(_ask(served.base_url, "a " * 150)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3  # both slots full at once and one waiting: nobody is refused
    assert len(set(answers)) == 1


def test_a_stop_in_mid_request_ends_the_process(gguf: Path, tmp_path: Path) -> None:
    server = LlamaServer(gguf, served_name="b-1", settings=SETTINGS, log=tmp_path / "log")
    handle = server.start()
    pid = server.pid
    assert pid is not None
    port = int(handle.base_url.split(":")[2].split("/")[0])
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "stream": True, "n": 1})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/chat/completions", body)
    connection.getresponse().read(1)
    began = time.monotonic()
    server.stop()
    connection.close()
    assert time.monotonic() - began < SETTINGS.stop_grace_seconds + 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not server.is_healthy()
    server.stop()


def test_a_damaged_model_is_one_clear_error(gguf: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf.read_bytes()[:-5000])
    with pytest.raises(DeploymentError, match="corrupted or incomplete") as failed:
        LlamaServer(damaged, served_name="b-1", settings=SETTINGS, log=tmp_path / "log").start()
    assert str(tmp_path / "log") in failed.value.remedy


_SERVE = """
import sys, time
from pathlib import Path
from tuneloop.deployment.backends.llamacpp import LlamaServer, LlamaSettings
settings = LlamaSettings(context_tokens=64, parallel=1, threads=1)
server = LlamaServer(Path(sys.argv[1]), served_name="b", settings=settings, log=Path(sys.argv[2]))
print(server.start().base_url, server.pid, flush=True)
time.sleep(60)
"""


def test_a_server_dies_with_a_killed_parent(gguf: Path, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(gguf), str(tmp_path / "log")], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    url, pid = parent.stdout.readline().decode().split()
    port = int(url.split(":")[2].split("/")[0])
    assert llamacpp.is_ready(port)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _wait(lambda: not llamacpp.is_ready(port))
    _wait(lambda: not Path(f"/proc/{pid}/cmdline").exists())


def test_the_loop_survives_a_kill_of_every_process(gguf: Path, tmp_path: Path) -> None:
    """Gateway and model server under the supervisor: kill both, and clients are served again."""
    timing = RestartTiming(first_seconds=0.05)
    with ExitStack() as listening, Supervisor(tmp_path / "lock", timing=timing) as supervised:
        gateway_port, model_port = supervised.port("gateway"), supervised.port("b-1")
        place = GatewayPlace(
            routes=tmp_path / "routes.json",
            spool=tmp_path / "spool",
            run=tmp_path / "run",
            logs=tmp_path,
        )
        listener = listening.enter_context(gateway.listen("127.0.0.1", gateway_port))
        desired = [
            *Gateways(place, listener, count=1).wanted,
            model_server(
                name="b-1",
                model=gguf,
                served_name="b-1",
                port=model_port,
                log=tmp_path / "model.log",
                settings=SETTINGS,
            ),
        ]
        snapshot = RouteSnapshot(
            version=1,
            endpoints={"desk": Endpoint(arms=(Arm(bundle="b-1"),))},
            bundles={"b-1": Target(base_url=local_url(model_port), served_name="b-1")},
        )
        routes.publish(snapshot, tmp_path / "routes.json")

        def all_ready() -> bool:
            return all(process.status == "ready" for process in supervised.reconcile(desired))

        def ask() -> str:
            return _ask(f"http://127.0.0.1:{gateway_port}/v1", PROMPTS[0], model="desk")

        _wait(all_ready)
        before = ask()
        assert before == _ask(local_url(model_port), PROMPTS[0])
        for process in supervised.status():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        _wait(lambda: all(process.crashes == 1 for process in supervised.reconcile(desired)))
        _wait(all_ready)
        assert ask() == before
