"""Embedders that a model file can choose: a local model, an endpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tuneloop.embedders import StaticEmbedder, embedder_of
from tuneloop.errors import ModelFileError, StoreError
from tuneloop.modelfile import EmbeddingEndpoint
from tuneloop.testing.tiny_model import make_tiny_model
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream

TEXTS = ["the printer is broken", "", "refund", "a longer text about the parcel that is late"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("embedder") / "tiny")


def test_static_is_the_light_default(tmp_path: Path) -> None:
    assert isinstance(embedder_of("static", folder=tmp_path), StaticEmbedder)


def test_the_default_has_no_other_library_tell_its_progress_on_the_terminal() -> None:
    """Its package has the whole process log at level INFO when it is imported."""
    code = (
        "import logging; from tuneloop.embedders import StaticEmbedder; StaticEmbedder().name; "
        "logging.getLogger('gguf.gguf_writer').info('writing')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_folder_is_a_local_model_named_by_its_bytes(model: Path) -> None:
    embedder = embedder_of("tiny", folder=model.parent)
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (4, 64)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors[[0, 2, 3]], axis=1), 1, atol=1e-5)
    assert not vectors[1].any()
    # Neither order nor neighbours in a batch matter.
    again = embedder.embed(TEXTS[::-1])[::-1]
    assert np.allclose(vectors, again, atol=1e-5)
    assert embedder.embed([]).shape == (0, 64)
    other = make_tiny_model(model.parent / "other", seed=1)
    assert embedder.name.startswith("tiny@")
    assert embedder_of("other", folder=other.parent).name.split("@")[1] not in embedder.name
    assert embedder_of(str(model), folder=Path("/")).name == embedder.name


def test_pooling_is_what_the_folder_says(model: Path) -> None:
    mean = embedder_of(str(model), folder=model.parent).embed(TEXTS)
    pooling = model / "1_Pooling"
    pooling.mkdir()
    (pooling / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    try:
        first = embedder_of(str(model), folder=model.parent).embed(TEXTS)
    finally:
        (pooling / "config.json").unlink()
        pooling.rmdir()
    assert not np.allclose(mean[0], first[0], atol=1e-3)


def test_a_folder_without_a_model_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no config.json") as caught:
        embedder_of("nothing", folder=tmp_path)
    assert '"static"' in caught.value.remedy
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(StoreError, match="cannot be loaded"):
        embedder_of(".", folder=tmp_path).embed(["text"])


def _vectors(request: Received) -> Reply:
    rows = [
        {"index": at, "embedding": [float(len(text)), 1.0, 0.0]}
        for at, text in enumerate(request.body["input"])
    ]
    return Reply(body=json.dumps({"data": rows[::-1]}).encode())


def test_an_endpoint_is_asked_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDING_KEY", "a-secret")
    with ScriptedUpstream(_vectors) as upstream:
        setting = EmbeddingEndpoint(
            base_url=upstream.base_url, model="small-2026", api_key_env="EMBEDDING_KEY"
        )
        embedder = embedder_of(setting, folder=Path())
        texts = ["x" * (1 + row % 7) for row in range(100)] + [" "]
        vectors = embedder.embed(texts)
        assert vectors.shape == (101, 3)
        assert not vectors[100].any()
        assert vectors[6, 0] == pytest.approx(7 / np.sqrt(50), abs=1e-5)
        assert embedder.embed([""]).shape == (1, 3)
        requests = list(upstream.requests)
    assert [len(one.body["input"]) for one in requests] == [64, 36, 1]
    assert requests[0].path.endswith("/embeddings")
    assert requests[0].body["model"] == "small-2026"
    assert requests[0].headers["authorization"] == "Bearer a-secret"
    assert embedder.name == f"small-2026@{upstream.base_url}"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=503), "HTTP 503"),
        (Reply(body=b"<html>"), "not what an embeddings endpoint answers"),
        (Reply(body=b'{"data": []}'), "0 vectors for 1 texts"),
    ],
)
def test_what_an_endpoint_gets_wrong_is_told(reply: Reply, says: str) -> None:
    with ScriptedUpstream(lambda _: reply) as upstream:
        setting = EmbeddingEndpoint(base_url=upstream.base_url, model="small")
        with pytest.raises(StoreError, match=says) as caught:
            embedder_of(setting, folder=Path()).embed(["text"])
    assert "monitors.embedder" in caught.value.remedy


def test_an_endpoint_that_is_not_there_is_named() -> None:
    setting = EmbeddingEndpoint(base_url="http://127.0.0.1:1/v1", model="small")
    with pytest.raises(StoreError, match=r"127.0.0.1:1/v1 .*no answer"):
        embedder_of(setting, folder=Path()).embed(["text"])


def test_a_key_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    setting = EmbeddingEndpoint(base_url="http://x/v1", model="m", api_key_env="NO_SUCH_KEY")
    with pytest.raises(ModelFileError, match="NO_SUCH_KEY"):
        embedder_of(setting, folder=Path()).embed(["text"])
