"""How much memory a run needs, from the shapes of the base's tensors alone, and how much is free.

The estimate decides how many tokens go through the model at once and whether activations are
recomputed in the backward pass (gradient checkpointing) instead of kept.
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.errors import BaseModelError, TrainingError
from tuneloop.registry.base_model import weight_files
from tuneloop.training.config import TrainingConfig

_MEBI = 1024**2
_HEADROOM = 0.8
"""Share of the free memory that a run may plan with."""
_RUNTIME_BYTES = {"cpu": 700 * _MEBI, "cuda": 1500 * _MEBI}
"""The Python process with its libraries; on a GPU its context and workspaces."""
_MOST_TOKENS = {"cpu": 512, "cuda": 16384}
"""Longer packs gain nothing: the processor is busy, and attention grows with the square."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of a base model."""

    parameters: int
    linear_shapes: tuple[tuple[int, int], ...]
    """[out, in] of each linear layer that "all-linear" puts a LoRA on."""
    layers: int
    hidden: int
    intermediate: int
    key_value: int
    """Width of the keys, and of the values."""
    vocabulary: int
    context_tokens: int
    """Longest sequence that the base was made for."""

    @property
    def widest_layer(self) -> tuple[int, int]:
        """[out, in] of the linear layer where a step spends most; of the head if there is none."""
        return max(self.linear_shapes, key=math.prod, default=(self.vocabulary, self.hidden))


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What a run will need, and how it is arranged to fit."""

    weights_bytes: int
    trained_bytes: int
    """Trained weights, their gradients and both moments of AdamW."""
    activations_bytes: int
    """One forward pass of `tokens_per_pack` tokens, kept for the backward pass."""
    runtime_bytes: int
    free_bytes: int
    """On the device, before the run."""
    tokens_per_pack: int
    gradient_checkpointing: bool

    @property
    def needed_bytes(self) -> int:
        """All of it at the peak."""
        fixed = self.weights_bytes + self.trained_bytes + self.runtime_bytes
        return fixed + self.activations_bytes

    @property
    def fits(self) -> bool:
        """Whether the peak is within the free memory."""
        return self.needed_bytes <= self.free_bytes

    def sentence(self) -> str:
        """The estimate in one line."""
        recomputed = " with gradient checkpointing" if self.gradient_checkpointing else ""
        return (
            f"about {_gigabytes(self.needed_bytes)} of {_gigabytes(self.free_bytes)} free "
            f"(weights {_gigabytes(self.weights_bytes)}, trained {_gigabytes(self.trained_bytes)}, "
            f"activations {_gigabytes(self.activations_bytes)} for {self.tokens_per_pack} tokens "
            f"at once{recomputed})"
        )


def read_architecture(folder: Path) -> Architecture:
    """Sizes from config.json and the headers of the safetensors files; no weight is read.

    Raises:
        BaseModelError: when the folder is no such model.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = config.get("text_config", config)
        shapes = {
            name: tuple(entry["shape"])
            for file in weight_files(folder)
            for name, entry in _safetensors_header(file).items()
            if name != "__metadata__"
        }
        hidden, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
        head = int(text.get("head_dim") or hidden // heads)
        key_value_heads = int(text.get("num_key_value_heads") or heads)
        architecture = Architecture(
            parameters=sum(math.prod(shape) for shape in shapes.values()),
            linear_shapes=tuple(
                (shape[0], shape[1])
                for name, shape in shapes.items()
                if len(shape) == 2 and ".layers." in name and name.endswith(".weight")
            ),
            layers=int(text["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(text.get("intermediate_size") or 4 * hidden),
            key_value=key_value_heads * head,
            vocabulary=int(text["vocab_size"]),
            context_tokens=int(text.get("max_position_embeddings") or 2048),
        )
    except (OSError, ValueError, KeyError, TypeError, struct.error) as e:
        raise BaseModelError(
            f"{folder} is not a readable Hugging Face model: {e!r}.",
            remedy="It should hold config.json and .safetensors files; fetch it again.",
        ) from e
    if not shapes:
        raise BaseModelError(
            f"{folder} holds no .safetensors file.",
            remedy="Convert the weights to safetensors: pickled weights are not loaded.",
        )
    return architecture


def _safetensors_header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > file.stat().st_size:
            raise ValueError(f"{file.name} is cut off")
        header: dict[str, Any] = json.loads(stream.read(length))
    return header


def plan_memory(
    architecture: Architecture,
    config: TrainingConfig,
    *,
    device: str,
    compute_bytes: int,
    weight_bytes: int,
    free_bytes: int,
    longest_row: int,
) -> MemoryPlan:
    """Choose tokens per pack and checkpointing so that the run fits.

    `compute_bytes` is the size of one number between two layers, `weight_bytes` that of one in a
    frozen linear layer; `longest_row` is in tokens, the least that a pack must hold.
    """
    weights, trained = _fixed_bytes(architecture, config, compute_bytes, weight_bytes)
    runtime = _RUNTIME_BYTES[device]
    room = _HEADROOM * free_bytes - weights - trained - runtime
    most = config.tokens_per_pack or _MOST_TOKENS[device]
    kept = _bytes_per_token(architecture, compute_bytes)
    recomputed = _checkpointed_bytes_per_token(architecture, compute_bytes)
    checkpointing = config.gradient_checkpointing == "on" or (
        config.gradient_checkpointing == "auto" and kept * longest_row > room
    )
    per_token = recomputed if checkpointing else kept
    tokens = max(longest_row, min(most, int(max(room, 0) // per_token)))
    return MemoryPlan(
        weights_bytes=weights,
        trained_bytes=trained,
        activations_bytes=tokens * per_token,
        runtime_bytes=runtime,
        free_bytes=free_bytes,
        tokens_per_pack=tokens,
        gradient_checkpointing=checkpointing,
    )


def _fixed_bytes(
    architecture: Architecture, config: TrainingConfig, compute_bytes: int, weight_bytes: int
) -> tuple[int, int]:
    """Bytes of the weights, and of what training adds to them whatever the batch."""
    if config.method == "full":
        return 4 * architecture.parameters, 3 * 4 * architecture.parameters
    lora = sum(config.rank * (rows + columns) for rows, columns in architecture.linear_shapes)
    linear = sum(rows * columns for rows, columns in architecture.linear_shapes)
    rest = architecture.parameters - linear
    # NF4: half a byte a weight and, doubly quantised, 0.127 bits of scale (QLoRA, section 3).
    linear_bytes = 0.516 if config.method == "qlora" else float(weight_bytes)
    return int(linear * linear_bytes + rest * compute_bytes), 4 * 4 * lora


def _bytes_per_token(architecture: Architecture, compute_bytes: int) -> int:
    """Activations kept per token: inputs of each layer's products, norms and gates.

    Per layer about 10 widths (two norms, their inputs, queries before and after rotation,
    repeated keys and values, attention's output), 4 key/value widths and 5 intermediate widths.
    """
    a = architecture
    layer = 10 * a.hidden + 4 * a.key_value + 5 * a.intermediate
    return compute_bytes * a.layers * layer + _logits_bytes_per_token(a)


def _checkpointed_bytes_per_token(architecture: Architecture, compute_bytes: int) -> int:
    """One width per layer is kept, and one layer at a time is recomputed in full."""
    a = architecture
    recomputed = 10 * a.hidden + 4 * a.key_value + 5 * a.intermediate
    return compute_bytes * (a.layers * a.hidden + recomputed) + _logits_bytes_per_token(a)


def _logits_bytes_per_token(architecture: Architecture) -> int:
    # fp32 logits, their log-softmax and its gradient; at most about half of the tokens need them.
    return 3 * 4 * architecture.vocabulary // 2


def free_memory_bytes(device: str) -> int:
    """Free memory of the device; on a CPU within the limit of the container."""
    if device == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info()
        return int(free)
    available = _available_bytes()
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return min(available, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # No container, or no limit ("max").
        return available


def _available_bytes() -> int:
    """What the system could give to a process without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # Not Linux.
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def require_fit(plan: MemoryPlan) -> None:
    """Refuse a run that would not fit.

    Raises:
        TrainingError: with the estimate and what would make it smaller.
    """
    if not plan.fits:
        raise TrainingError(
            f"Training would not fit in memory: {plan.sentence()}.",
            remedy="Choose a smaller base, training.method: qlora (on a GPU), or a smaller "
            "training.max_length.",
        )


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1024**3:.1f} GB"
