"""The training loss, computed the plain way and the quick way, with equal results.

Both return the *sum* of the cross-entropy over completion tokens; the caller divides by the
completion tokens of the whole optimizer batch, so packs of any size add up to the batch's mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuneloop.training.attention import blocks_of, use_blocks, use_torch, uses_blocks
from tuneloop.training.packing import attention_mask, pack_tensors, padded_tensors, plan_packs
from tuneloop.training.rows import TokenRow

if TYPE_CHECKING:
    import torch

_FP32_TOLERANCE = 1e-4
_BF16_TOLERANCE = 2e-2


def packed_loss(model: Any, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Summed cross-entropy of one pack; logits are made only for the K positions that need them."""
    from torch.nn.functional import cross_entropy

    segments = tensors["segments"]
    # The mask says who sees whom, also to layers that do not attend in blocks.
    blocks = {"blocks": blocks_of(segments.tolist())} if uses_blocks(model) else {}
    logits = model(
        input_ids=tensors["input_ids"],
        position_ids=tensors["position_ids"],
        # A single row needs no mask: plain causal attention has quicker kernels.
        attention_mask=None if int(segments.max()) == 1 else attention_mask(segments),
        logits_to_keep=tensors["keep"],
        use_cache=False,
        **blocks,
    ).logits[0]  # [K, vocabulary]
    return cross_entropy(logits.float(), tensors["targets"], reduction="sum")


def padded_loss(model: Any, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Summed cross-entropy of a padded batch, with all logits: the definition."""
    from torch.nn.functional import cross_entropy

    logits = model(
        input_ids=tensors["input_ids"],
        attention_mask=tensors["attention_mask"],
        use_cache=False,
    ).logits[:, :-1]  # [B, L - 1, vocabulary]
    labels = tensors["labels"][:, 1:]
    trained = labels != -100
    return cross_entropy(logits[trained].float(), labels[trained], reduction="sum")


def made_to_pack(
    model: Any,
    rows: Sequence[TokenRow],
    *,
    pad_id: int,
    compute_dtype: torch.dtype | None = None,
) -> str | None:
    """`why_not_packed`, with the quickest attention that gives the same loss left in the model."""
    if use_blocks(model):
        if why_not_packed(model, rows, pad_id=pad_id, compute_dtype=compute_dtype) is None:
            return None
        use_torch(model)
    return why_not_packed(model, rows, pad_id=pad_id, compute_dtype=compute_dtype)


def why_not_packed(
    model: Any,
    rows: Sequence[TokenRow],
    *,
    pad_id: int,
    compute_dtype: torch.dtype | None = None,
) -> str | None:
    """Why this model must be trained on padded rows, or None when packs give the same loss.

    Architectures that mix tokens by other means than masked attention (state-space layers,
    sliding windows, position biases) cannot be recognised by name alone, so the two losses are
    compared on a few real rows, in the precision that they will be trained in (None: fp32).
    """
    import torch

    config = model.config.get_text_config()
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "its attention uses a sliding window"
    device = next(model.parameters()).device
    exact = compute_dtype in (None, torch.float32)
    few = sorted(rows, key=len)[:3]
    (pack, *_) = plan_packs(few, max_tokens=sum(len(row) for row in few))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, compute_dtype, enabled=not exact):
            packed = packed_loss(model, _on(device, pack_tensors(pack)))
            plain = padded_loss(model, _on(device, padded_tensors(pack.rows, pad_id=pad_id)))
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as e:
        return f"its forward pass does not take packs ({type(e).__name__})"
    finally:
        model.train(was_training)
    difference = float((packed - plain).abs() / plain.abs().clamp(min=1e-6))
    if difference > (_FP32_TOLERANCE if exact else _BF16_TOLERANCE):
        return f"packing changes its loss by {difference:.1%}"
    return None


def _on(device: torch.device, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
