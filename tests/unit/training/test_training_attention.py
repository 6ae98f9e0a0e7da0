"""Attention in blocks changes the time of a step, not its mathematics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM

from training_rows import make_token_rows
from tuneloop.training.attention import attend, blocks_of, use_blocks, uses_blocks
from tuneloop.training.loss import made_to_pack, packed_loss, padded_loss
from tuneloop.training.packing import attention_mask, pack_tensors, padded_tensors, plan_packs
from tuneloop.training.rows import TokenRow

# Its new name is not in every release that we support.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")

Tensors = tuple[torch.Tensor, ...]

PREFIX_AND_ROWS = [0] * 70 + [1] * 3 + [2] * 150 + [3]
ROWS_ALONE = [1] * 65 + [2] * 64
ONE_ROW = [1] * 200


def _heads(tokens: int, dtype: torch.dtype) -> Tensors:
    """Queries, keys and values of 6 heads, two of which share their keys, and a gradient."""
    torch.manual_seed(0)
    shapes = ((6, tokens, 16), (3, tokens, 16), (3, tokens, 16), (6, tokens, 16))
    return tuple(torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes)


def _with_gradients(attention: Any, tensors: Tensors) -> Tensors:
    *inputs, gradient = tensors
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    out = attention(*leaves)
    out.backward(gradient)
    return (out.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None))


@pytest.mark.parametrize("segments", [PREFIX_AND_ROWS, ROWS_ALONE, ONE_ROW])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
def test_blocks_give_what_the_mask_gives_forwards_and_backwards(
    segments: list[int], dtype: torch.dtype, tolerance: float
) -> None:
    mask = attention_mask(torch.tensor(segments))[0]

    def masked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=0.2, enable_gqa=True
        )

    def blocked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return attend(query, key, value, blocks=blocks_of(segments), scale=0.2)

    exact = _with_gradients(masked, _heads(len(segments), torch.float64))
    found = _with_gradients(blocked, _heads(len(segments), dtype))
    assert len(found) == 4
    for one, wanted in zip(found, exact, strict=True):
        assert one.dtype == dtype
        assert float((one - wanted).norm() / wanted.norm()) < tolerance


def _model(folder: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.train()


def _loss_and_gradients(model: Any, rows: tuple[TokenRow, ...], max_tokens: int) -> Tensors:
    model.zero_grad()
    total = torch.zeros(())
    for pack in plan_packs(rows, max_tokens=max_tokens):
        loss = packed_loss(model, pack_tensors(pack))
        loss.backward()
        total += loss.detach()
    return (total, *(p.grad.clone() for p in model.parameters() if p.grad is not None))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("max_tokens", [1, 250, 4096])
def test_a_model_in_blocks_has_the_loss_and_gradients_of_the_mask(
    tiny_folder: Path, tiny_tokenizer: Any, max_tokens: int, checkpointing: bool
) -> None:
    rows = make_token_rows(9, tiny_tokenizer)
    model = _model(tiny_folder)
    wanted = _loss_and_gradients(model, rows, max_tokens)
    assert use_blocks(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    found = _loss_and_gradients(model, rows, max_tokens)
    assert len(found) == len(wanted) > 10
    for one, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, expected, rtol=2e-4, atol=2e-5)


def test_a_padded_batch_is_computed_as_before(tiny_folder: Path, tiny_tokenizer: Any) -> None:
    model = _model(tiny_folder)
    padded = padded_tensors(make_token_rows(5, tiny_tokenizer), pad_id=0)
    wanted = padded_loss(model, padded).detach()
    assert use_blocks(model)
    assert torch.equal(padded_loss(model, padded).detach(), wanted)


def test_a_model_is_packed_with_blocks_if_they_give_its_loss(
    tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    model = _model(tiny_folder)
    assert made_to_pack(model, make_token_rows(4, tiny_tokenizer), pad_id=0) is None
    assert uses_blocks(model)


def test_a_model_that_blocks_do_not_fit_is_packed_with_the_mask(
    tiny_folder: Path, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model(tiny_folder)
    plain = model.forward

    def no_blocks(**inputs: Any) -> Any:
        if "blocks" in inputs:
            raise TypeError("unexpected keyword argument 'blocks'")
        return plain(**inputs)

    monkeypatch.setattr(model, "forward", no_blocks)
    assert made_to_pack(model, make_token_rows(4, tiny_tokenizer), pad_id=0) is None
    assert not uses_blocks(model)


def test_attention_that_is_more_than_a_softmax_stays_with_torch(
    tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    """Dropout of the probabilities, which blocks do not know: the same draws as with the mask."""
    rows = make_token_rows(4, tiny_tokenizer)
    model = _model(tiny_folder)
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    torch.manual_seed(1)
    wanted = _loss_and_gradients(model, rows, 4096)[0]
    assert use_blocks(model)
    torch.manual_seed(1)
    assert torch.equal(_loss_and_gradients(model, rows, 4096)[0], wanted)


def test_the_saved_model_does_not_ask_for_blocks(tiny_folder: Path, tmp_path: Path) -> None:
    model = _model(tiny_folder)
    before = model.config.to_json_string()
    assert use_blocks(model)
    model.save_pretrained(tmp_path)
    assert model.config.to_json_string() == before
    assert "blocks" not in (tmp_path / "config.json").read_text()
