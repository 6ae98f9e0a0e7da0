"""Packs and shared prefixes change the time of a step, not its mathematics."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from training_rows import make_token_rows
from tuneloop.conversation import Message
from tuneloop.training.loss import packed_loss, padded_loss, why_not_packed
from tuneloop.training.packing import pack_tensors, padded_tensors, plan_packs, plan_padded
from tuneloop.training.rows import Row, TokenRow, chained, tokenise

# PEFT still asks transformers for a property under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

Loss = Callable[[Any, tuple[TokenRow, ...]], torch.Tensor]


@pytest.fixture
def adapted(tiny_folder: Path) -> Any:
    """The tiny model in fp32 with a LoRA whose B matrices are not zero, as after some steps."""
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.train()


def _plain(model: Any, rows: tuple[TokenRow, ...]) -> torch.Tensor:
    """The definition: one padded batch, all logits."""
    loss = padded_loss(model, padded_tensors(rows, pad_id=0))
    loss.backward()
    return loss.detach()


def _packs(model: Any, rows: tuple[TokenRow, ...], max_tokens: int) -> torch.Tensor:
    total = torch.zeros(())
    for pack in plan_packs(rows, max_tokens=max_tokens):
        loss = packed_loss(model, pack_tensors(pack))
        loss.backward()
        total += loss.detach()
    return total


def _gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def _assert_equal(model: Any, reference: Any, rows: tuple[TokenRow, ...], loss: Loss) -> None:
    expected = _plain(reference, rows)
    found = loss(model, rows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    wanted = _gradients(reference)
    assert wanted
    for name, gradient in _gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=2e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize("max_tokens", [1, 90, 250, 4096])
def test_packs_with_a_shared_prefix_give_the_plain_loss_and_gradients(
    adapted: Any, tiny_tokenizer: Any, max_tokens: int
) -> None:
    rows = make_token_rows(9, tiny_tokenizer)
    reference = copy.deepcopy(adapted)
    assert max_tokens != 4096 or plan_packs(rows, max_tokens=4096)[0].prefix_length > 20
    _assert_equal(adapted, reference, rows, lambda m, r: _packs(m, r, max_tokens))


def test_rows_without_a_common_prefix_give_the_plain_loss_and_gradients(
    adapted: Any, tiny_tokenizer: Any
) -> None:
    rows = (
        *make_token_rows(3, tiny_tokenizer, system="Answer in French."),
        *make_token_rows(3, tiny_tokenizer, system=None, seed=1),
        *make_token_rows(1, tiny_tokenizer, system="Something else entirely.", seed=2),
    )
    _assert_equal(adapted, copy.deepcopy(adapted), rows, lambda m, r: _packs(m, r, 4096))


def test_the_loss_does_not_depend_on_the_order_of_the_rows(
    adapted: Any, tiny_tokenizer: Any
) -> None:
    rows = list(make_token_rows(8, tiny_tokenizer))
    expected = _packs(adapted, tuple(rows), 200)
    random.Random(0).shuffle(rows)
    torch.testing.assert_close(_packs(adapted, tuple(rows), 200), expected)


def test_padded_batches_split_for_memory_give_the_plain_loss_and_gradients(
    adapted: Any, tiny_tokenizer: Any
) -> None:
    def split(model: Any, rows: tuple[TokenRow, ...]) -> torch.Tensor:
        total = torch.zeros(())
        for group in plan_padded(rows, max_tokens=200):
            loss = padded_loss(model, padded_tensors(group, pad_id=0))
            loss.backward()
            total += loss.detach()
        return total

    rows = make_token_rows(7, tiny_tokenizer)
    _assert_equal(adapted, copy.deepcopy(adapted), rows, split)


def test_training_all_weights_gives_the_plain_gradients(
    tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    rows = make_token_rows(6, tiny_tokenizer)
    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    _assert_equal(model, copy.deepcopy(model), rows, lambda m, r: _packs(m, r, 4096))


def test_a_model_that_takes_packs_is_packed(adapted: Any, tiny_tokenizer: Any) -> None:
    assert why_not_packed(adapted, make_token_rows(4, tiny_tokenizer), pad_id=0) is None


def test_a_model_that_ignores_the_mask_is_recognised_and_padded(
    tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    plain = model.forward

    def mixes_rows(**inputs: Any) -> Any:
        mask = inputs.pop("attention_mask", None)
        four = mask is not None and mask.dim() == 4
        return plain(**inputs, attention_mask=None if four else mask)

    model.forward = mixes_rows
    reason = why_not_packed(model, make_token_rows(4, tiny_tokenizer), pad_id=0)
    assert reason is not None
    assert "packing changes its loss" in reason


def test_a_model_without_the_arguments_of_packs_is_recognised(
    tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    plain = model.forward

    def older(*, input_ids: Any, attention_mask: Any, use_cache: bool) -> Any:
        return plain(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    model.forward = older
    reason = why_not_packed(model, make_token_rows(4, tiny_tokenizer), pad_id=0)
    assert reason == "its forward pass does not take packs (TypeError)"


def test_a_conversation_in_one_pass_gives_the_loss_of_its_answers_one_by_one(
    adapted: Any, tiny_tokenizer: Any
) -> None:
    turns = [
        Message(role=role, content=f"{word} {number}")
        for number in range(3)
        for role, word in (("user", "where is my parcel"), ("assistant", "it is late, sorry"))
    ]
    other = [*turns[:3], Message(role="assistant", content="another answer")]
    rows = tokenise(
        [
            Row(id=str(number), messages=tuple(spoken[:-1]), completion=spoken[-1].content)
            for number, spoken in enumerate((turns[:2], turns[:4], turns, other))
        ],
        tiny_tokenizer,
        max_length=2048,
        end_of_turn_ids=frozenset({tiny_tokenizer.eos_token_id}),
    ).rows
    in_fewer = chained(rows)
    # The first answer of both is trained in one of them.
    assert [row.id for row in in_fewer] == ["2", "3"]
    assert sum(len(row.spans) for row in in_fewer) == len(rows)
    assert sum(map(len, in_fewer)) < sum(map(len, rows))
    plain = _plain(adapted, rows)
    gradients = _gradients(adapted)
    for loss in (_plain, lambda model, some: _packs(model, some, 4096)):
        adapted.zero_grad()
        assert torch.allclose(loss(adapted, in_fewer), plain, rtol=1e-5)
        for name, gradient in _gradients(adapted).items():
            assert torch.allclose(gradient, gradients[name], rtol=1e-3, atol=1e-5), name


@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=6), max_size=8))
def test_chaining_trains_every_answer_once(listed: list[list[int]]) -> None:
    rows = [
        TokenRow(id=str(i), prompt=tuple(ids[:-1]), completion=(ids[-1],), head="")
        for i, ids in enumerate(listed)
    ]
    before = Counter(row.ids for row in rows)
    after = Counter(row.ids[:end] for row in chained(rows) for _, end in row.spans)
    assert after == before
