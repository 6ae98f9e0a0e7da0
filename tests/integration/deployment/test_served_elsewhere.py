"""The whole loop on a server of somebody else: the guide's commands, and a real llama.cpp.

tuneloop starts no model server for these bundles. Their owner does, after `tuneloop run` has said
what to load and under which name; one bundle is served at one address, the next one at another.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import yaml
from openai import APIStatusError, OpenAI

from tiny_desk import ROOT, as_json, command, make_desk, tuneloop
from tuneloop.deployment.backends.openai_compatible import ExternalServer
from tuneloop.deployment.export.convert import convert_to_gguf
from tuneloop.deployment.processes import free_port
from tuneloop.progress import Silent
from tuneloop.testing.tiny_model import make_tiny_model

pytestmark = pytest.mark.timeout(600)

GUIDE = ROOT / "docs" / "how-to" / "serve-elsewhere.md"
KEY = "of-the-owner"
CALLED = re.compile(r"Load (\S+) at (\S+) as (\S+): waiting")
OWNERS_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, name, params.port = sys.argv[1], sys.argv[2], int(sys.argv[3])
params.model_alias, params.api_keys = {name}, ["of-the-owner"]
params.n_ctx, params.n_parallel, params.use_jinja = 2048, 1, True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.flash_attn_type = type(params.flash_attn_type).LLAMA_FLASH_ATTN_TYPE_DISABLED
server = xllamacpp.Server(params)
sys.stdin.buffer.read()
"""


def guide(place: int) -> str:
    """A shell block of the guide."""
    return re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)[place]


class Owner:
    """Runs model servers of its own, as processes that tuneloop knows nothing of."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def load(self, file: str, name: str, base_url: str) -> None:
        """Serve a file under a name."""
        port = int(base_url.rsplit(":", 1)[1].split("/")[0])
        self.unload(base_url)
        self._running[port] = self._open.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", OWNERS_SERVER, file, name, str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        there = ExternalServer(base_url=base_url, served_name=name, api_key_env="MODEL_SERVER_KEY")
        deadline = time.monotonic() + 60
        while not there.is_healthy():
            assert time.monotonic() < deadline, there.problem()
            time.sleep(0.1)

    def unload(self, base_url: str) -> None:
        """Stop what is served at an address."""
        port = int(base_url.rsplit(":", 1)[1].split("/")[0])
        process = self._running.pop(port, None)
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
        self._open.close()


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    monkeypatch.setenv("MODEL_SERVER_KEY", KEY)
    made = Owner()
    yield made
    made.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Path]:
    """The support desk with the guide's section; its address is one that is free here."""
    file = make_desk(tmp_path)
    settings = yaml.safe_load(file.read_text())
    section = re.search(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert section is not None
    settings["endpoint"] |= yaml.safe_load(section[1])["endpoint"]
    settings["endpoint"]["server"]["base_url"] = f"http://127.0.0.1:{free_port()}/v1"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    yield tmp_path
    subprocess.run(command("down"), cwd=tmp_path, check=False, capture_output=True)


def sh(folder: Path, block: str) -> str:
    """What a block of the guide prints, typed in `folder`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", block],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def loaded_when_called(folder: Path, owner: Owner, *arguments: str) -> str:
    """`tuneloop run`, whose owner does what it says as soon as it says it."""
    process = subprocess.Popen(
        command("run", *arguments),
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if called := CALLED.search(line):
                owner.load(called[1], called[3], called[2])

    listening = threading.Thread(target=listen)
    listening.start()
    assert process.stdout is not None
    output = process.stdout.read()
    listening.join(300)
    assert process.wait(10) == 0, "".join(said)
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    return output + "".join(said)


def answered_by(folder: Path, message: str) -> tuple[str, str]:
    """Bundle and text of an answer through the gateway."""
    url = as_json(folder, "status")["gateway_url"]
    with OpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="support-router", messages=[{"role": "user", "content": message}]
        )
    return raw.headers["x-tuneloop-bundle"], raw.parse().choices[0].message.content or ""


def until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_run_evaluate_deploy_answer_and_roll_back_on_a_server_of_its_owner(
    desk: Path, owner: Owner
) -> None:
    base_url = yaml.safe_load((desk / "tuneloop.yaml").read_text())["endpoint"]["server"][
        "base_url"
    ]
    no_patience = {"TUNELOOP_SET_ENDPOINT__SERVER__WAIT_MINUTES": "0"}

    # Nobody has loaded it: what to load is said, and what was made is kept.
    refused = tuneloop(desk, "run", code=1, **no_patience)
    called = CALLED.search(refused.stderr)
    assert called is not None and f"{base_url} does not answer" in refused.stderr
    file, _, name = called.groups()

    # The owner loads the wrong weights under the right name: it lists them, and is found out.
    make_tiny_model(desk / "another")
    convert_to_gguf(desk / "another", desk / "another.gguf", name="x", progress=Silent())
    owner.load(str(desk / "another.gguf"), name, base_url)
    refused = tuneloop(desk, "run", code=1)
    assert "does not answer as the exported file" in " ".join(refused.stderr.split())

    owner.load(file, name, base_url)
    said = sh(desk, guide(0))
    assert "answers are those of the exported file" in said and "is in production" in said
    assert "Merging" not in said, "the export is not repeated"
    said = sh(desk, guide(1))
    assert f"by openai at {base_url} as {name}" in " ".join(said.split())
    assert "its answers alone" in said and "cannot be asked there: tokenise" in said
    served = as_json(desk, "bundle", "show", "production")["manifest"]["serving"]
    assert served["address"] == {
        "base_url": base_url,
        "model": name,
        "api_key_env": "MODEL_SERVER_KEY",
    }
    assert served["proof"]["agreed"] == served["proof"]["compared"] == 8
    assert KEY not in str(served) + (desk / ".tuneloop" / "routes.json").read_text()
    first = as_json(desk, "status")["live"]["bundle"]
    mine = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert not any(
        "tuneloop.deployment.backends.llamacpp_child" in line and str(desk) in " ".join(line)
        for line in mine
    ), "tuneloop starts none"
    bundle, text = answered_by(desk, "My Tarn is beeping!")
    assert bundle == first and text

    # It goes away and comes back: that is seen and said, and no route is lost.
    owner.unload(base_url)
    until(lambda: as_json(desk, "status")["health"] != "healthy")
    with pytest.raises(APIStatusError) as away:
        answered_by(desk, "My Tarn is beeping!")
    assert away.value.status_code >= 502
    owner.load(file, name, base_url)
    until(lambda: as_json(desk, "status")["health"] == "healthy")
    assert answered_by(desk, "My Tarn is beeping!") == (first, text)

    # A name that has had other weights is refused before anything is asked.
    shared = ("--set", f"endpoint.server.model={name}", "--set", "training.seed=7")
    refused = tuneloop(desk, "run", *shared, code=1)
    assert "serves another file" in " ".join(refused.stderr.split())

    # The next one is served elsewhere, under another name; a rollback is a change of route.
    other_url = f"http://127.0.0.1:{free_port()}/v1"
    elsewhere = ("--set", f"endpoint.server.base_url={other_url}", "--set", "training.seed=7")
    said = loaded_when_called(desk, owner, *elsewhere)
    assert "is in production" in said
    second = as_json(desk, "status")["live"]["bundle"]
    assert second != first
    until(lambda: answered_by(desk, "My Perch is dripping!")[0] == second)
    sh(desk, guide(2))
    assert answered_by(desk, "My Tarn is beeping!") == (first, text)
