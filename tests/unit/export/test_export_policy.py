"""The mixture is llama.cpp's, tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuneloop.deployment.export.policy import ModelShape, Tensor, tensor_types

REFERENCE = Path(__file__).parents[4] / "shared/data/gguf_reference/quantization_types.json"
SMOLLM2 = {"layers": 30, "hidden": 576, "inner": 1536, "vocabulary": 49152, "heads": (9, 3)}
WIDE = {"layers": 12, "hidden": 512, "inner": 1536, "vocabulary": 1000}
MODELS = {
    "smollm2": {**SMOLLM2, "tied": True},
    "wide_tied": {**WIDE, "heads": (8, 4), "tied": True},
    "wide_untied": {**WIDE, "heads": (8, 2), "tied": False},
}


def llama_tensors(
    *, layers: int, hidden: int, inner: int, vocabulary: int, heads: tuple[int, int], tied: bool
) -> Iterator[Tensor]:
    """Names and shapes of a Llama model in GGUF order of dimensions."""
    width = hidden // heads[0]
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (hidden, vocabulary)}
    shapes["output_norm.weight"] = (hidden,)
    if not tied:
        shapes["output.weight"] = (hidden, vocabulary)
    for layer in range(layers):
        for name, shape in {
            "attn_norm": (hidden,),
            "attn_q": (hidden, heads[0] * width),
            "attn_k": (hidden, heads[1] * width),
            "attn_v": (hidden, heads[1] * width),
            "attn_output": (heads[0] * width, hidden),
            "ffn_norm": (hidden,),
            "ffn_gate": (hidden, inner),
            "ffn_up": (hidden, inner),
            "ffn_down": (inner, hidden),
        }.items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
    for name, shape in shapes.items():
        yield Tensor(name=name, shape=shape, stored_as="F32" if len(shape) == 1 else "F16")


def types_of(model: str, quantisation: str, **changes: object) -> dict[str, str]:
    sizes = {**MODELS[model], **changes}
    heads, kv_heads = sizes["heads"]  # type: ignore[misc]
    shape = ModelShape(
        architecture="llama", layers=int(sizes["layers"]), heads=heads, kv_heads=kv_heads
    )  # type: ignore[call-overload]
    return tensor_types(llama_tensors(**sizes), model=shape, quantisation=quantisation)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("quantisation", ["q8_0", "q5_k_m", "q4_k_m"])
def test_equals_what_llama_quantize_wrote(model: str, quantisation: str) -> None:
    if not REFERENCE.is_file():
        pytest.skip(f"the reference tables are not at {REFERENCE}")
    tables = json.loads(REFERENCE.read_text("utf-8"))
    table = tables[f"{model}-{quantisation.upper()}"]
    expected = {name: entry[0] for name, entry in table.items()}
    found = types_of(model, quantisation)
    assert found == expected
    assert list(found) == list(expected), "the order in the file differs"


# The first and the last eighth of 30 layers, and every third between.
MORE_BITS_OF_30 = [*range(3), 5, 8, 11, 14, 17, 20, 23, *range(26, 30)]


@pytest.mark.parametrize(
    ("quantisation", "main", "narrow"), [("q4_k_m", "Q4_K", "Q5_0"), ("q5_k_m", "Q5_K", "Q5_1")]
)
def test_smollm2_falls_back_where_rows_are_no_multiple_of_256(
    quantisation: str, main: str, narrow: str
) -> None:
    found = types_of("smollm2", quantisation)
    for layer in range(30):
        more = layer in MORE_BITS_OF_30
        block = {name: found[f"blk.{layer}.{name}.weight"] for name in BLOCK_NAMES}
        assert block == {
            "attn_q": narrow,
            "attn_k": narrow,
            "attn_v": "Q8_0" if more else narrow,
            "attn_output": narrow,
            "ffn_gate": narrow,
            "ffn_up": narrow,
            "ffn_down": "Q6_K" if more else main,  # its rows are 1536 wide
        }, layer
    assert found["token_embd.weight"] == "Q8_0"
    assert found["output_norm.weight"] == "F32"


BLOCK_NAMES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def test_q8_0_is_q8_0_in_every_matrix() -> None:
    found = types_of("smollm2", "q8_0")
    assert {name for name, kind in found.items() if kind != "Q8_0"} == {
        name for name in found if name.endswith("_norm.weight")
    }


def test_untied_output_gets_more_bits_than_the_embeddings() -> None:
    found = types_of("wide_untied", "q4_k_m")
    assert (found["output.weight"], found["token_embd.weight"]) == ("Q6_K", "Q4_K")
    assert types_of("wide_tied", "q4_k_m")["token_embd.weight"] == "Q6_K"


def test_values_of_a_70b_model_and_of_eight_experts() -> None:
    value = Tensor(name="blk.20.attn_v.weight", shape=(8192, 1024), stored_as="F16")
    others = [
        Tensor(name=f"blk.{i}.attn_v.weight", shape=(8192, 1024), stored_as="F16")
        for i in range(80)
        if i != 20
    ]
    big = ModelShape(architecture="llama", layers=80, heads=64, kv_heads=8)
    found = tensor_types([value, *others], model=big, quantisation="q4_k_m")
    assert set(found.values()) == {"Q5_K", "Q6_K"}
    mixture = ModelShape(architecture="llama", layers=32, heads=32, kv_heads=8, experts=8)
    assert tensor_types([value], model=mixture, quantisation="q4_k_m") == {value.name: "Q8_0"}


def test_rows_that_no_block_fits_stay_f16() -> None:
    odd = Tensor(name="blk.0.ffn_up.weight", shape=(100, 64), stored_as="F32")
    small = ModelShape(architecture="llama", layers=1, heads=2, kv_heads=2)
    for quantisation in ("q8_0", "q4_k_m"):
        assert tensor_types([odd], model=small, quantisation=quantisation) == {odd.name: "F16"}


@pytest.mark.parametrize(
    "name",
    ["blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight", "blk.0.attn_q_norm.weight",
     "position_embd.weight", "blk.0.time_mix_w1.weight", "blk.0.attn_q.bias"],
)  # fmt: skip
def test_small_tensors_are_kept(name: str) -> None:
    kept = Tensor(name=name, shape=(256, 256), stored_as="F32")
    small = ModelShape(architecture="llama", layers=1, heads=2, kv_heads=2)
    assert tensor_types([kept], model=small, quantisation="q4_k_m") == {name: "F32"}
