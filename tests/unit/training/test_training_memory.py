"""The memory plan: sizes from files, smaller packs and checkpointing before refusing."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from tuneloop.errors import BaseModelError, TrainingError
from tuneloop.training.config import TrainingConfig
from tuneloop.training.memory import (
    Architecture,
    MemoryPlan,
    free_memory_bytes,
    plan_memory,
    read_architecture,
    require_fit,
)

GIB = 1024**3
SEVEN_BILLION = Architecture(
    parameters=7_000_000_000,
    linear_shapes=((4096, 4096),) * 128 + ((11008, 4096),) * 96,
    layers=32,
    hidden=4096,
    intermediate=11008,
    key_value=4096,
    vocabulary=32000,
    context_tokens=4096,
)


def _plan(free_gib: float, *, device: str = "cuda", **settings: object) -> MemoryPlan:
    return plan_memory(
        SEVEN_BILLION,
        TrainingConfig.from_settings(settings),
        device=device,
        compute_bytes=2,
        weight_bytes=2,
        free_bytes=int(free_gib * GIB),
        longest_row=2048,
    )


def test_sizes_are_read_from_the_files_alone(tiny_folder: Path) -> None:
    architecture = read_architecture(tiny_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    assert architecture.parameters == sum(p.numel() for p in model.parameters())
    linear = [m for m in model.model.layers.modules() if hasattr(m, "in_features")]
    assert sorted(architecture.linear_shapes) == sorted(
        (m.out_features, m.in_features) for m in linear
    )


def test_a_large_gpu_needs_no_checkpointing() -> None:
    plan = _plan(140)
    assert plan.fits
    assert not plan.gradient_checkpointing
    assert plan.tokens_per_pack > 8192


def test_a_small_gpu_gets_checkpointing_and_then_a_refusal() -> None:
    tight = _plan(20)
    assert tight.fits
    assert tight.gradient_checkpointing
    with pytest.raises(TrainingError, match="would not fit"):
        require_fit(_plan(10))
    assert _plan(10, method="qlora").fits


def test_all_weights_need_several_times_the_memory_of_a_lora() -> None:
    assert _plan(200, method="full").needed_bytes > 5 * _plan(200).weights_bytes


def test_free_memory_is_known() -> None:
    assert free_memory_bytes("cpu") > 100 * 1024**2


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(BaseModelError, match="not a readable"):
        read_architecture(tmp_path)
    (tmp_path / "config.json").write_text((tiny_folder / "config.json").read_text())
    with pytest.raises(BaseModelError, match=r"no \.safetensors"):
        read_architecture(tmp_path)
    cut = (tiny_folder / "model.safetensors").read_bytes()[:1000]
    (tmp_path / "model.safetensors").write_bytes(cut)
    with pytest.raises(BaseModelError, match="not a readable"):
        read_architecture(tmp_path)
