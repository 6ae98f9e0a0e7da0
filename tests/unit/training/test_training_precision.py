"""bf16 is taken where it was measured to pay, kept where a run began with it, and never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tuneloop.errors import TrainingError
from tuneloop.training import model as models
from tuneloop.training.config import TrainingConfig
from tuneloop.training.memory import read_architecture
from tuneloop.training.precision import (
    Precision,
    began_with,
    chosen_precision,
    keep_began,
    measured_gflops,
    of_cpu,
)
from tuneloop.training.record import trained_as

WIDE = (1536, 576)
QUICK = {"fp32": 212.0, "bf16": 961.0}
SLOW = {"fp32": 138.0, "bf16": 1.0}


def chosen(
    config: TrainingConfig,
    *,
    gflops: Mapping[str, float] | None = None,
    began: Precision | None = None,
    widest_layer: tuple[int, int] = WIDE,
) -> Precision:
    """The choice on a CPU of this speed; None: it must not be asked."""

    def measure(shape: tuple[int, int]) -> Mapping[str, float]:
        assert gflops is not None, "measured although nothing depends on it"
        assert shape == widest_layer
        return gflops

    return chosen_precision(
        config, device="cpu", widest_layer=widest_layer, began=began, measure=measure
    )


@pytest.mark.parametrize(
    ("gflops", "name"),
    [
        (QUICK, "bf16"),
        (SLOW, "fp32"),
        ({"fp32": 100.0, "bf16": 129.0}, "fp32"),
        ({"fp32": 100.0, "bf16": 131.0}, "bf16"),
    ],
)
def test_auto_takes_bf16_where_it_is_clearly_faster_and_says_why(
    gflops: dict[str, float], name: str
) -> None:
    precision = chosen(TrainingConfig(), gflops=gflops)
    assert precision.name == name
    assert precision.gflops == gflops
    assert precision.sentence() == (
        f"{name}: this CPU does {gflops['bf16']:.0f} GFLOP/s in bf16, "
        f"{gflops['fp32']:.0f} in fp32 (bf16 from 1.3 x on)"
    )


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_what_is_set_is_not_measured(name: str) -> None:
    precision = chosen(TrainingConfig.from_settings({"precision": name}))
    assert (precision.name, precision.reason) == (name, "as set")


@pytest.mark.parametrize(
    ("settings", "widest_layer", "reason"),
    [
        ({"method": "dpo"}, WIDE, "preferences"),
        ({"method": "qlora"}, WIDE, "NF4"),
        ({}, (160, 64), "too small"),
    ],
)
def test_auto_stays_in_fp32_where_bf16_cannot_be_shown_to_pay(
    settings: dict[str, Any], widest_layer: tuple[int, int], reason: str
) -> None:
    precision = chosen(TrainingConfig.from_settings(settings), widest_layer=widest_layer)
    assert precision.name == "fp32"
    assert reason in precision.reason


def test_a_cpu_does_not_train_in_fp16() -> None:
    with pytest.raises(TrainingError, match="only GPUs"):
        chosen(TrainingConfig(precision="fp16"))


def test_another_machine_continues_in_what_the_run_began_with(tmp_path: Path) -> None:
    keep_began(tmp_path / "checkpoints", of_cpu(QUICK))
    began = began_with(tmp_path / "checkpoints", device="cpu")
    assert began == of_cpu(QUICK)
    assert chosen(TrainingConfig(), began=began) == of_cpu(QUICK)


def test_a_run_that_an_earlier_version_began_goes_on_in_fp32(tmp_path: Path) -> None:
    began = began_with(tmp_path, device="cpu")
    assert chosen(TrainingConfig(), began=began).name == "fp32"
    assert began_with(tmp_path, device="cuda") is None


@pytest.mark.parametrize(
    ("noted", "found"),
    [
        (b"", "JSONDecodeError"),
        (b"\xff", "UnicodeDecodeError"),
        (b"[]", "TypeError"),
        (b"{}", "KeyError: 'name'"),
        (b'{"name": "fp8", "reason": "as set", "gflops": {}}', "the name is 'fp8'"),
        (b'{"name": ["fp32"], "reason": "as set", "gflops": {}}', "the name is"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_damaged_note_is_not_that_of_an_earlier_version(
    tmp_path: Path, device: str, noted: bytes, found: str
) -> None:
    (tmp_path / "precision.json").write_bytes(noted)
    with pytest.raises(TrainingError, match=found) as caught:
        began_with(tmp_path, device=device)
    assert str(tmp_path / "precision.json") in caught.value.message
    assert f"remove {tmp_path}" in caught.value.remedy


def test_a_note_that_cannot_be_read_is_not_that_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "precision.json").mkdir()
    with pytest.raises(TrainingError, match="IsADirectoryError"):
        began_with(tmp_path, device="cpu")


def test_this_cpu_is_measured_in_both() -> None:
    gflops = measured_gflops((64, 32), threads=1)
    assert set(gflops) == {"fp32", "bf16"}
    assert min(gflops.values()) > 0


def test_measuring_leaves_threads_and_the_seed_of_the_run_alone() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    measured_gflops((64, 32), threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert torch.rand(1) == expected


# PEFT still asks transformers for a property under its old name.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_only_the_weights_of_products_are_held_in_bf16(tiny_folder: Path) -> None:
    from peft import get_peft_model

    config = TrainingConfig(precision="bf16")
    base = models.load_base(tiny_folder, config, device="cpu", compute_dtype=torch.bfloat16)
    model = get_peft_model(base, models.lora_config(config))
    products = len(read_architecture(tiny_folder).linear_shapes)
    frozen = {n: p.dtype for n, p in model.named_parameters() if not p.requires_grad}
    trained = {p.dtype for p in model.parameters() if p.requires_grad}
    assert trained == {torch.float32}
    assert sum(dtype == torch.bfloat16 for dtype in frozen.values()) == products
    assert all(
        dtype == torch.float32 for name, dtype in frozen.items() if "norm" in name or "emb" in name
    )


# PEFT still asks transformers for a property under its old name.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_little_that_an_adapter_adds_is_not_rounded_off(tiny_folder: Path) -> None:
    """A bf16 number takes up nothing that is smaller than a 256th of it."""
    from peft import get_peft_model

    config = TrainingConfig(precision="bf16")
    base = models.load_base(tiny_folder, config, device="cpu", compute_dtype=torch.bfloat16)
    model: Any = get_peft_model(base, models.lora_config(config))
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    torch.nn.init.constant_(layer.lora_B["default"].weight, 1e-5)
    inputs = torch.randn(4, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        added = layer(inputs) - layer.base_layer(inputs)
    with torch.no_grad():
        expected = layer.lora_B["default"](layer.lora_A["default"](inputs)) * config.lora_alpha / 16
    torch.testing.assert_close(added, expected, rtol=0.05, atol=1e-6)


@pytest.mark.parametrize(("asked", "same"), [("bf16", True), ("fp32", False), ("auto", True)])
def test_what_auto_decided_is_part_of_what_was_trained(asked: str, same: bool) -> None:
    record = {
        "config_digest": TrainingConfig().digest(),
        "hyperparameters": {"precision": {"value": "auto", "in_force": "bf16"}},
    }
    assert trained_as(record, TrainingConfig.from_settings({"precision": asked})) is same
    assert not trained_as(record, TrainingConfig.from_settings({"precision": asked, "seed": 1}))
    fixed = {"config_digest": TrainingConfig(precision="bf16").digest()}
    assert trained_as(fixed, TrainingConfig()) is False
