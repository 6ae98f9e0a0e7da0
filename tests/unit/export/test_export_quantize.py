"""A GGUF is quantised whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuneloop.deployment.export.quantize import quantise_gguf
from tuneloop.errors import DeploymentError
from tuneloop.progress import Silent
from tuneloop.registry.gguf_base import open_gguf

WIDTH = 256


@pytest.fixture(autouse=True)
def only_our_quantiser(monkeypatch: pytest.MonkeyPatch) -> None:
    """No llama-quantize of this machine."""
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


@pytest.fixture
def f16(tmp_path: Path) -> Path:
    """A GGUF with one layer, odd metadata and a matrix of three dimensions."""
    import gguf

    path = tmp_path / "model-f16.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "ä", "\u2581", ""])
    writer.add_array("tokenizer.ggml.scores", [0.5, -1.0, 0.0, 2.0])
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_file_type(1)
    random = np.random.default_rng(0)
    for name, shape in {
        "token_embd.weight": (40, WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_v.weight": (64, WIDTH),
        "blk.0.ffn_down.weight": (32, WIDTH),
        "blk.0.ffn_up_exps.weight": (2, 32, WIDTH),
    }.items():
        kind = np.float32 if len(shape) == 1 else np.float16
        writer.add_tensor(name, random.normal(size=shape).astype(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def contents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = open_gguf(path)
    fields = {key: field.contents() for key, field in reader.fields.items() if key[:5] != "GGUF."}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize(
    ("quantisation", "file_type", "main"),
    [("q8_0", 7, "Q8_0"), ("q5_k_m", 17, "Q5_K"), ("q4_k_m", 15, "Q4_K")],
)
def test_tensors_metadata_and_bytes(
    f16: Path, tmp_path: Path, quantisation: str, file_type: int, main: str
) -> None:
    import libgguf

    output = tmp_path / "out.gguf"
    quantise_gguf(f16, output, quantisation=quantisation, progress=Silent())
    fields, tensors = contents(output)
    before, sources = contents(f16)
    changed = {"general.file_type": file_type, "general.quantization_version": 2}
    assert fields == {**before, **changed}
    assert tensors["blk.0.ffn_up_exps.weight"].tensor_type.name == main
    assert tensors["blk.0.ffn_up_exps.weight"].shape.tolist() == [WIDTH, 32, 2]
    assert tensors["output_norm.weight"].data.tolist() == (
        sources["output_norm.weight"].data.tolist()
    )
    for name, tensor in tensors.items():
        if tensor.tensor_type.name != "F32":
            values = sources[name].data.astype(np.float32)
            kind = libgguf.GGMLQuantizationType[tensor.tensor_type.name]
            assert tensor.data.tobytes() == libgguf.quantize_rows(values, kind).tobytes(), name


def test_the_same_bytes_whatever_the_slice(
    f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sliced = tmp_path / "whole.gguf", tmp_path / "sliced.gguf"
    quantise_gguf(f16, whole, quantisation="q4_k_m", progress=Silent())
    monkeypatch.setattr("tuneloop.deployment.export.quantize._SLICE_ELEMENTS", 3 * WIDTH)
    quantise_gguf(f16, sliced, quantisation="q4_k_m", progress=Silent())
    assert whole.read_bytes() == sliced.read_bytes()


def test_the_users_llama_quantize_is_preferred(
    f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "llama.cpp/build/bin"
    folder.mkdir(parents=True)
    tool = folder / "llama-quantize"
    tool.write_text('#!/bin/sh\necho "$3" > "$2"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path / "llama.cpp"))
    monkeypatch.setenv("PATH", os.environ["PATH"] + ":/usr/bin:/bin")
    output = tmp_path / "out.gguf"
    used = quantise_gguf(f16, output, quantisation="q5_k_m", progress=Silent())
    assert output.read_text() == "Q5_K_M\n"
    assert used.startswith("llama-quantize ")
    tool.write_text("#!/bin/sh\necho cannot do that >&2\nexit 3\n")
    output.unlink()
    with pytest.raises(DeploymentError, match=r"Q5_K_M failed \(exit code 3\)[\s\S]*cannot do"):
        quantise_gguf(f16, output, quantisation="q5_k_m", progress=Silent())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llama.cpp", "model-f16.gguf"]


@pytest.mark.parametrize("kept_bytes", [0, 10, 300, 20_000])
def test_a_truncated_source_is_refused(f16: Path, tmp_path: Path, kept_bytes: int) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(f16.read_bytes()[:kept_bytes])
    with pytest.raises(DeploymentError, match="not a complete GGUF"):
        quantise_gguf(broken, tmp_path / "out.gguf", quantisation="q8_0", progress=Silent())
    assert not (tmp_path / "out.gguf").exists()


def test_unknown_quantisation_and_missing_source(f16: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    with pytest.raises(DeploymentError, match="'q3_k' is not known: expected one of q8_0"):
        quantise_gguf(f16, output, quantisation="q3_k", progress=Silent())
    with pytest.raises(DeploymentError, match="no GGUF file"):
        quantise_gguf(tmp_path / "none.gguf", output, quantisation="q8_0", progress=Silent())


LIMITED = """
import resource, sys
from pathlib import Path
from tuneloop.deployment.export.quantize import quantise_gguf
from tuneloop.errors import DeploymentError
from tuneloop.progress import Silent
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    quantise_gguf(Path(sys.argv[1]), Path(sys.argv[2]), quantisation="q8_0", progress=Silent())
except DeploymentError as e:
    print(e)
"""


@pytest.mark.process
@pytest.mark.parametrize("limit_bytes", [100, 5_000])
def test_a_disk_that_becomes_full_leaves_nothing(
    f16: Path, tmp_path: Path, limit_bytes: int
) -> None:
    """A limit on file sizes stands for the full disk: the write fails in the middle."""
    folder = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, f16, folder / "model-q8_0.gguf", str(limit_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "The disk became full while model-q8_0.gguf was written" in done.stdout, done.stderr
    assert "MB are needed" in done.stdout
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
