"""f16 GGUF → Q8_0, Q5_K_M or Q4_K_M.

`llama-quantize` does it when the user has one on PATH; otherwise libgguf encodes the rows, byte
for byte like llama.cpp, and `policy` says which tensor gets which type. Memory stays at one
slice of a tensor: the source is memory-mapped and the result written slice by slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tuneloop.deployment.export.child import run_child
from tuneloop.deployment.export.disk import partial_file
from tuneloop.deployment.export.llama_cpp import find_quantiser
from tuneloop.deployment.export.policy import ModelShape, Tensor, tensor_types
from tuneloop.errors import DeploymentError, require
from tuneloop.hashing import digest_file, short
from tuneloop.progress import Progress
from tuneloop.registry.gguf_base import open_gguf

if TYPE_CHECKING:
    import numpy as np

QUANTISATIONS = ("q8_0", "q5_k_m", "q4_k_m")
# llama.cpp's llama_ftype, kept in the metadata as general.file_type.
_FILE_TYPES = {"q8_0": 7, "q5_k_m": 17, "q4_k_m": 15}
_SLICE_ELEMENTS = 4 << 20  # 16 MB of f32 at a time
_MOST_BITS = 8.5  # a weight, should every tensor fall back to Q8_0; the source has 16


def quantise_gguf(source: Path, output: Path, *, quantisation: str, progress: Progress) -> str:
    """Write `output` and return the name and version of the tool that did it.

    Raises:
        DeploymentError: when the source cannot be read, the tool fails or the disk is full.
    """
    if quantisation not in QUANTISATIONS:
        known = ", ".join(QUANTISATIONS)
        raise DeploymentError(
            f"Quantisation {quantisation!r} is not known: expected one of {known}."
        )
    if not source.is_file():
        raise DeploymentError(f"There is no GGUF file at {source}.")
    needed_bytes = int(source.stat().st_size * _MOST_BITS / 16)
    with partial_file(output, needed_bytes=needed_bytes) as partial:
        if binary := find_quantiser():
            _with_llama_quantize(binary, source, partial, quantisation, needed_bytes)
        else:
            _with_libgguf(source, partial, quantisation, progress)
    return quantiser_version()


def quantiser_version() -> str:
    """Which tool `quantise_gguf` uses here: part of what decides the bytes."""
    if binary := find_quantiser():
        return f"llama-quantize {short(digest_file(Path(binary)))}"
    return f"libgguf {version('libgguf')}"


def _with_llama_quantize(
    binary: str, source: Path, partial: Path, quantisation: str, needed_bytes: int
) -> None:
    run_child(
        [binary, str(source), str(partial), quantisation.upper()],
        doing=f"llama-quantize {quantisation.upper()}",
        writes=partial,
        needed_bytes=needed_bytes,
    )


def _with_libgguf(source: Path, partial: Path, quantisation: str, progress: Progress) -> None:
    require("libgguf", extra="export")
    reader = open_gguf(source, error=DeploymentError)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    types = tensor_types(
        [
            Tensor(
                name=tensor.name,
                shape=tuple(int(n) for n in tensor.shape),
                stored_as=tensor.tensor_type.name,
            )
            for tensor in tensors.values()
        ],
        model=model_shape(reader),
        quantisation=quantisation,
    )
    total = sum(int(tensor.n_elements) for tensor in tensors.values())
    done = 0
    with _open_writer(reader, partial, types, quantisation) as file:
        for name, type_name in types.items():
            _pad(file, reader.alignment)
            for encoded in _encoded_slices(tensors[name], type_name):
                file.write(encoded)
            done += int(tensors[name].n_elements)
            progress.update(done, total, f"{name} as {type_name}")
        _pad(file, reader.alignment)


def model_shape(reader: Any) -> ModelShape:
    """The hyper-parameters that the mixture depends on, from the metadata of a GGUF."""

    def number(key: str, *fallback: int) -> int:
        field = reader.get_field(f"{architecture}.{key}")
        if field is None:
            if not fallback:
                raise DeploymentError(f"The GGUF names no {architecture}.{key}.")
            return fallback[0]
        value = field.contents()
        # Some architectures keep one number a layer.
        return int(max(value) if isinstance(value, list) else value)

    architecture = str(reader.get_field("general.architecture").contents())
    heads = number("attention.head_count", 0)
    return ModelShape(
        architecture=architecture,
        layers=number("block_count"),
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        experts=number("expert_count", 0),
    )


def _open_writer(reader: Any, path: Path, types: dict[str, str], quantisation: str) -> BinaryIO:
    """Write everything before the tensor data, and return the open file."""
    gguf = require("gguf", extra="export")
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(path, architecture)
    writer.data_alignment = reader.alignment
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        if key == "general.quantization_version":
            continue
        sub_type = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(_FILE_TYPES[quantisation])
    shapes = {tensor.name: [int(n) for n in reversed(tensor.shape)] for tensor in reader.tensors}
    for name, type_name in types.items():
        raw = gguf.GGMLQuantizationType[type_name]
        block, block_bytes = gguf.GGML_QUANT_SIZES[raw]
        byte_count = math.prod(shapes[name]) // block * block_bytes
        writer.add_tensor_info(name, shapes[name], None, byte_count, raw_dtype=raw)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    except BaseException:
        writer.close()
        raise
    file: BinaryIO = writer.fout[0]
    return file


def _encoded_slices(tensor: Any, type_name: str) -> Iterator[bytes]:
    """The bytes of `tensor` as `type_name`, some rows at a time."""
    import gguf
    import libgguf

    if type_name == tensor.tensor_type.name:
        yield tensor.data.tobytes()
        return
    width = int(tensor.shape[0])
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    step = max(1, _SLICE_ELEMENTS // width)
    for start in range(0, len(rows), step):
        values: np.ndarray[Any, Any] = gguf.dequantize(
            rows[start : start + step], tensor.tensor_type
        )
        if type_name == "F16":
            yield values.astype("float16").tobytes()
        else:
            target = libgguf.GGMLQuantizationType[type_name]
            yield libgguf.quantize_rows(values, target).tobytes()


def _pad(file: BinaryIO, alignment: int) -> None:
    file.write(bytes(-file.tell() % alignment))
