"""Which tensor gets which type when llama.cpp writes Q8_0, Q5_K_M or Q4_K_M.

A re-statement of the rules in llama.cpp's `src/llama-quant.cpp` (November 2026:
`tensor_allows_quantization`, `llama_tensor_get_type_impl`, `tensor_type_fallback`), limited to
these three mixtures. Pure: names and shapes in, types out. The types of whole files were
compared with what `llama-quantize` writes for three models (tests/unit/export).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

BLOCK_WIDTHS = {"Q8_0": 32, "Q5_0": 32, "Q5_1": 32, "Q4_K": 256, "Q5_K": 256, "Q6_K": 256}
_MAIN_TYPE = {"q8_0": "Q8_0", "q5_k_m": "Q5_K", "q4_k_m": "Q4_K"}
_NARROW_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_TOKEN_EMBEDDINGS = ("token_embd.weight", "per_layer_token_embd.weight")
_OUTPUT = "output.weight"

# Small or position-like tensors that llama.cpp leaves as they are.
_KEPT_NAMES = ("position_embd.weight", "token_types.weight")
_KEPT_PARTS = (
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
)
_KEPT_PATTERN = re.compile(r"time_mix_([wvag][012]|decay_w[12])\.weight")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The hyper-parameters that the mixture depends on, as in the GGUF metadata."""

    architecture: str  # general.architecture
    layers: int  # block_count
    heads: int  # attention.head_count
    kv_heads: int  # attention.head_count_kv
    experts: int = 0  # expert_count; 0 for a dense model

    @property
    def is_seventy_billion(self) -> bool:
        """llama.cpp's LLM_TYPE_70B: 80 layers, and shared key-value heads for Llama."""
        if self.layers != 80:
            return False
        if self.architecture == "llama":
            return self.heads != self.kv_heads
        return self.architecture in ("qwen2", "deci")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor to be quantised."""

    name: str
    shape: tuple[int, ...]  # GGUF order: the row width comes first
    stored_as: str  # the type it has now, e.g. F16 or F32


def tensor_types(
    tensors: Iterable[Tensor], *, model: ModelShape, quantisation: str
) -> dict[str, str]:
    """The type of every tensor after quantisation, in the order in which llama.cpp writes them.

    Raises:
        KeyError: for a quantisation other than q8_0, q5_k_m and q4_k_m.
    """
    ordered = sorted(tensors, key=_file_order)
    main_type = _MAIN_TYPE[quantisation]
    tied = all(tensor.name != _OUTPUT for tensor in ordered)
    value_total = sum(_is_value(tensor.name) for tensor in ordered)
    value_seen = down_seen = 0
    types: dict[str, str] = {}
    for tensor in ordered:
        name = tensor.name
        if not allows_quantisation(tensor):
            types[name] = tensor.stored_as
        elif name == _OUTPUT or (tied and name in _TOKEN_EMBEDDINGS):
            chosen = _output_type(tensor, main_type, model)
            types[name] = _fitting(chosen, tensor)
        else:
            chosen = _block_type(name, main_type, model, (value_seen, value_total), down_seen)
            types[name] = _fitting(chosen, tensor)
            value_seen += _is_value(name)
            down_seen += _is_down(name)
    return types


def allows_quantisation(tensor: Tensor) -> bool:
    """Whether llama.cpp quantises this tensor at all: weights of two dimensions or more."""
    name = tensor.name
    dimensions = len(tensor.shape)
    while dimensions > 1 and tensor.shape[dimensions - 1] == 1:  # as ggml_n_dims counts
        dimensions -= 1
    return (
        dimensions >= 2
        and name.endswith("weight")
        and name not in _KEPT_NAMES
        and not any(part in name for part in _KEPT_PARTS)
        and _KEPT_PATTERN.search(name) is None
    )


def _file_order(tensor: Tensor) -> tuple[int, str]:
    """Tensors outside the layers first, then layer by layer, each alphabetically."""
    return _layer_of(tensor.name), tensor.name


def _layer_of(name: str) -> int:
    match = re.match(r"blk\.(\d+)\.", name)
    return int(match[1]) if match else -1


def _is_value(name: str) -> bool:
    return any(part in name for part in ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"))


def _is_down(name: str) -> bool:
    return "ffn_down" in name


def _output_type(tensor: Tensor, main_type: str, model: ModelShape) -> str:
    if model.architecture == "falcon" or tensor.shape[0] % BLOCK_WIDTHS[main_type] != 0:
        return "Q8_0"
    return "Q8_0" if main_type == "Q8_0" else "Q6_K"


def _block_type(
    name: str, main_type: str, model: ModelShape, value_place: tuple[int, int], down_seen: int
) -> str:
    """The type before the width is looked at; `value_place` is (index, total) of attn_v."""
    medium = main_type in ("Q4_K", "Q5_K")
    if _is_value(name):
        chosen = "Q6_K" if medium and _deserves_more_bits(*value_place) else main_type
        if model.is_seventy_billion and chosen == "Q4_K":
            chosen = "Q5_K"  # eight heads share it: few bytes, much accuracy
        return "Q8_0" if model.experts == 8 else chosen
    if "attn_k.weight" in name:
        return "Q8_0" if model.experts == 8 else main_type
    if _is_down(name) and medium:
        layer = _layer_of(name) if model.experts > 1 else down_seen
        return _down_type(layer, main_type, model)
    if "attn_output.weight" in name and model.experts == 8 and main_type == "Q4_K":
        return main_type if model.architecture == "falcon" else "Q5_K"
    return main_type


def _down_type(layer: int, main_type: str, model: ModelShape) -> str:
    more = _deserves_more_bits(layer, model.layers)
    if model.architecture == "falcon" and main_type == "Q4_K":
        if layer < model.layers // 16:
            return "Q6_K"
        return "Q5_K" if more else "Q4_K"
    return "Q6_K" if more else main_type


def _deserves_more_bits(index: int, total: int) -> bool:
    """The first and the last eighth, and every third between (llama.cpp: use_more_bits)."""
    eighth = total // 8
    return index < eighth or index >= 7 * total // 8 or (index - eighth) % 3 == 2


def _fitting(chosen: str, tensor: Tensor) -> str:
    """A type whose blocks fit the row width; F16 where none does."""
    width = tensor.shape[0]
    if width % BLOCK_WIDTHS[chosen] == 0:
        return chosen
    fallback = _NARROW_FALLBACK.get(chosen, "F16")
    return fallback if fallback != "F16" and width % BLOCK_WIDTHS[fallback] == 0 else "F16"
