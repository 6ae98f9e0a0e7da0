"""A server that somebody else runs: found by its listing, proven by its answers, routed to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tuneloop import modelfile
from tuneloop.candidates import contents, proving
from tuneloop.deployment import asking, servers
from tuneloop.deployment.backends import table
from tuneloop.deployment.backends.base import (
    Capability,
    ServerHandle,
    address_in,
    get,
    proof_of,
    proof_sentence,
)
from tuneloop.deployment.backends.openai_compatible import OPENAI_COMPATIBLE, ExternalServer, listed
from tuneloop.deployment.elsewhere import Elsewhere
from tuneloop.errors import DeploymentError, ModelFileError, UsageError
from tuneloop.evaluation.targets import Answer
from tuneloop.modelfile import DataSettings, EndpointSettings, ModelSettings
from tuneloop.progress import Silent
from tuneloop.registry.manifest import Manifest, Serving
from tuneloop.registry.routes import Target
from tuneloop.setup import names
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

DIGEST = "0123456789abcdef" * 4
ENDPOINT = EndpointSettings.model_validate(
    {
        "backend": "openai",
        "server": {
            "base_url": "https://models.example.com/v1/",
            "model": "router-{file}",
            "api_key_env": "MY_KEY",
        },
    }
)


def test_a_server_is_only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedUpstream(models=["m"]) as upstream:
        server = ExternalServer(base_url=upstream.base_url + "/", served_name="m")
        with server as handle:
            assert (handle.base_url, handle.served_name) == (upstream.base_url, "m")
        keyed = ExternalServer(base_url=upstream.base_url, served_name="m", api_key_env="MY_KEY")
        monkeypatch.delenv("MY_KEY", raising=False)
        with pytest.raises(DeploymentError, match="MY_KEY"):
            keyed.start()
        monkeypatch.setenv("MY_KEY", "secret")
        assert keyed.start().api_key_env == "MY_KEY"
    with pytest.raises(DeploymentError, match="does not answer") as failed:
        keyed.start()
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("key", ["sk-SECRET\n", "sk-SECRET\u2014", "sk-SECRET\r\nx-other: 1"])
def test_a_key_that_cannot_be_sent_is_told_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """As one that was read from a file, with its line end."""
    monkeypatch.setenv("MY_KEY", key)
    server = ExternalServer(base_url="http://127.0.0.1:1/v1", served_name="m", api_key_env="MY_KEY")
    with pytest.raises(DeploymentError, match=r"\$MY_KEY.*cannot be sent") as caught:
        server.problem()
    assert "SECRET" not in f"{caught.value.message} {caught.value.remedy}"


def test_a_server_without_the_model_is_not_ready_and_says_what_it_has() -> None:
    with ScriptedUpstream(models=["base", "router-old"]) as upstream:
        server = ExternalServer(base_url=upstream.base_url, served_name="router-new")
        assert not server.is_healthy()
        with pytest.raises(DeploymentError, match=r"no model 'router-new' \(.*base, router-old\)"):
            server.start()


def test_every_file_has_a_name_of_its_own_and_the_key_is_written_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    conditions = OPENAI_COMPATIBLE.conditions(ENDPOINT, digest=DIGEST)
    address = address_in(conditions)
    assert address is not None
    assert address.served_name == "router-0123456789ab"
    assert address.base_url == "https://models.example.com/v1"
    assert "secret" not in str(conditions)
    target = servers.target("b", Manifest(serving=Serving.of(conditions | SAMPLING)), "x")
    assert (target.base_url, target.served_name) == (address.base_url, "router-0123456789ab")
    assert target.api_key_env == "MY_KEY"


SAMPLING: dict[str, Any] = {"sampling": {"temperature": 0.0}}


def test_what_a_bundle_of_a_server_of_ours_says_has_not_changed() -> None:
    """Its identity is the digest of this; `openai` says more and changes nothing here."""
    model = ModelSettings(name="router", base="b", data=DataSettings(sources=("a",)))
    loop: Any = type("Project", (), {"model": model})
    assert contents.serving_settings(loop) == {
        "serve": "q8_0",
        "sampling": {"temperature": 0.0, "max_tokens": 256},
        "context_tokens": 2048,
        "parallel_requests": 4,
        "threads": None,
    }
    elsewhere = model.model_copy(update={"endpoint": ENDPOINT})
    loop.model = elsewhere
    said = contents.serving_settings(loop)
    assert said["server"]["model"] == "router-{file}" and "threads" not in said


def test_the_proof_is_said_where_it_is_weaker() -> None:
    served = OPENAI_COMPATIBLE.conditions(ENDPOINT, digest=DIGEST)
    proof = proving.SameAnswers(compared=8, agreed=7).as_json()
    said = proof_sentence(Serving.of({**served, "proof": proof}))
    assert "its answers alone, 7 of 8" in said and "router-0123456789ab" in said
    assert proof_sentence(Serving(backend="llama.cpp")) == ""
    unproven = Serving.of(served)
    assert proof_of(unproven) == {"by": "nothing"} and "nothing says" in proof_sentence(unproven)


@pytest.mark.parametrize(("agreed", "shown"), [(8, True), (4, True), (3, False), (0, False)])
def test_a_server_that_answers_as_another_model_does_is_told(agreed: int, shown: bool) -> None:
    expected = [Answer(text=f"tuned {n}") for n in range(8)]
    answered = [Answer(text=f"tuned {n}\n" if n < agreed else "base") for n in range(8)]
    assert proving.same_answers(expected, answered).shown == shown


def test_two_failures_are_not_the_same_answer() -> None:
    failed = [Answer(error="http_500: no")] * 4
    assert proving.same_answers(failed, failed).agreed == 0
    assert not proving.same_answers([], []).shown


def test_a_server_elsewhere_is_ready_once_it_lists_the_model_and_fails_when_it_goes() -> None:
    models = ["base"]
    with ScriptedUpstream(Reply(), models=models) as upstream:
        watched = Elsewhere()
        watched.watch({"b": ExternalServer(base_url=upstream.base_url, served_name="m")})
        assert watched.found == {"b": ("starting", "")}, "nobody has looked yet"
        watched.look()
        assert watched.found["b"][0] == "failed" and "no model 'm'" in watched.found["b"][1]
        models.append("m")
        watched.look()
        assert watched.found == {"b": ("ready", "")}
    watched.look()
    assert watched.found["b"][0] == "failed"
    watched.watch({})
    assert watched.found == {}


def test_one_odd_server_does_not_end_the_watch_over_the_others() -> None:
    class Odd(ExternalServer):
        def start(self) -> ServerHandle:
            raise LookupError("a secret")

    with ScriptedUpstream(Reply(), models=["m"]) as upstream:
        watched = Elsewhere()
        odd = Odd(base_url=upstream.base_url, served_name="m")
        good = ExternalServer(base_url=upstream.base_url, served_name="m")
        watched.watch({"odd": odd, "good": good})
        watched.look()
    assert watched.found["good"] == ("ready", "")
    assert watched.found["odd"] == ("failed", "Looking at it failed: LookupError.")


def test_a_listing_that_is_endlessly_nested_lists_nothing() -> None:
    assert listed(b"[" * 200_000) == []


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "seconds", "says"),
    [
        ([HEAD[i : i + 1] for i in range(len(HEAD))], 0.1, "no whole answer in 0.5 s"),
        ([HEAD, *[b"x"] * 60], 0.1, "no whole answer in 0.5 s"),
        ([HEAD, *[b"x" * 500_000] * 18], 0.0, "more than 1,000,000 bytes"),
    ],
)
def test_a_look_ends_whatever_dribbles_or_pours(
    pieces: list[bytes], seconds: float, says: str
) -> None:
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            for piece in pieces:
                connection.sendall(piece)
                if ended.wait(seconds):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            with pytest.raises((OSError, HTTPException), match=says):
                get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds=0.5)
            assert thread.is_alive() or not seconds, "it would have gone on"
        finally:
            ended.set()


def test_a_backend_is_found_by_name_and_a_mistyped_one_is_told() -> None:
    assert table.find("openai") is table.BACKENDS["openai"]
    assert table.backend_of(Serving()).name == "llama.cpp", "bundles from before it was said"
    with pytest.raises(UsageError) as failed:
        table.find("opnai")
    assert "Did you mean 'openai'?" in failed.value.remedy
    reader = table.reader_of("gguf")
    assert {Capability.TOKENISE, Capability.LOG_PROBABILITIES} <= reader.offers
    with pytest.raises(DeploymentError, match="not started here"):
        table.managed(table.find("openai"))


_THIRD_PARTY = """
from tuneloop.testing.backend import PlayedBackend
BACKEND = PlayedBackend(base_url="http://127.0.0.1:1/v1", name="theirs")
"""


def test_a_package_of_somebody_else_brings_a_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_server.py").write_text(_THIRD_PARTY)
    metadata = tmp_path / "their_server-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-server\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[tuneloop.backends]\ntheirs = their_server:BACKEND\nbroken = no_such_module:BACKEND\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert table.names()[-2:] == ["theirs", "broken"]
    assert table.find("theirs").version() == "played"
    with pytest.raises(DeploymentError, match="no_such_module"):
        table.find("broken")


def test_a_model_file_that_asks_a_backend_for_what_it_has_not_is_told(tmp_path: Path) -> None:
    def said(endpoint: str) -> list[str]:
        path = tmp_path / "tuneloop.yaml"
        path.write_text(f"name: m\nbase: b\ndata: {{sources: [a.jsonl]}}\nendpoint: {endpoint}\n")
        found = names.problems(modelfile.load(path, environment={}))
        return [f"{one.key}: {one.message} {one.remedy}" for one in found if "endpoint" in one.key]

    server = "{base_url: 'http://127.0.0.1:1/v1', model: 'm-{file}'}"
    assert said("{backend: openai, server: " + server + "}") == []
    (mistyped,) = said("{backend: llama.ccp}")
    assert mistyped.startswith("endpoint.backend:") and "Did you mean 'llama.cpp'?" in mistyped
    (nowhere,) = said("{backend: openai}")
    assert "needs to know where the server is" in nowhere
    (unheard,) = said("{backend: openai, dry: true, server: " + server + "}")
    assert unheard.startswith("endpoint.dry: openai samples as") and "Remove" in unheard
    (in_vain,) = said("{server: " + server + "}")
    assert in_vain.startswith("endpoint.server:") and "endpoint.backend: openai" in in_vain
    with pytest.raises(ModelFileError, match="expected a name such as"):
        said("{backend: openai, server: {base_url: 'http://h/v1', model: 'm-{bundle}'}}")


def test_a_smoke_test_asks_again_where_a_client_library_would() -> None:
    replies = {"busy": [429, 200], "broken": [500, 200], "away": [503, 503, 503, 200]}

    def script(request: Received) -> Reply:
        question = request.body["messages"][-1]["content"]
        return Reply(text=f"to {question}", status=replies[question].pop(0))

    with ScriptedUpstream(script) as upstream:
        target = Target(base_url=upstream.base_url, served_name="m", sampling={"max_tokens": 7})
        answers = asking.texts(
            target,
            [[{"role": "user", "content": question}] for question in list(replies)],
            progress=Silent(),
        )
        assert {one.body["max_tokens"] for one in upstream.requests} == {7}
    assert answers == ["to busy", "", ""], "no answer is an empty text"
