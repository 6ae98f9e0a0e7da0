"""Attention of a pack on a CPU, without the pairs of tokens that do not see each other.

torch's own kernel on a CPU computes every pair of a masked sequence, and little of what units for
bf16 can do reaches its backward pass. Here the queries are taken in blocks of neighbours: a block
sees the shared prefix and its own row up to its last token, so plain products of matrices compute
it. Like torch's kernel it keeps no probabilities: the backward pass computes them again, block by
block (as in FlashAttention, Dao et al. 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "tuneloop-blocks"
"""Under which transformers knows it."""
_BLOCK = 64
"""Queries at a time: what they are multiplied with stays in the cache."""
_OTHER_SCORES = ("softcap", "s_aux", "position_bias", "sliding_window", "cache")
"""Arguments of attention that is more than softmax(scale q k^T) v."""


def use_blocks(model: Any) -> bool:
    """Let a model on a CPU attend in blocks wherever it is given some; whether it will."""
    device = next(model.parameters()).device
    if device.type == "cpu" and model.config.get_text_config()._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
    return uses_blocks(model)


def use_torch(model: Any) -> None:
    """Undo `use_blocks`."""
    model.set_attn_implementation("sdpa")


def uses_blocks(model: Any) -> bool:
    """Whether the model's attention takes blocks."""
    return bool(model.config.get_text_config()._attn_implementation == NAME)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Neighbouring queries [start, end) of one row, which see [0, prefix) and [row, end)."""

    start: int
    end: int
    row: int
    """Where their row begins in the sequence, behind the prefix."""
    prefix: int

    def seen(self, tensor: torch.Tensor) -> torch.Tensor:
        """[heads, N, D] of the sequence to [heads, M, D] of what the block sees."""
        own = tensor[:, self.row : self.end]
        return torch.cat((tensor[:, : self.prefix], own), dim=1) if self.prefix else own

    def add_seen(self, total: torch.Tensor, part: torch.Tensor) -> None:
        """Add [heads, M, D] to the places of [heads, N, D] that `seen` takes."""
        total[:, : self.prefix] += part[:, : self.prefix]
        total[:, self.row : self.end] += part[:, self.prefix :]


def blocks_of(segments: Sequence[int], *, size: int = _BLOCK) -> tuple[Block, ...]:
    """The blocks of a pack, from the segment of each token: 0 for the prefix, then row by row."""
    prefix = sum(1 for segment in segments if segment == 0)
    blocks = []
    row = 0
    for segment, tokens in groupby(segments):
        end = row + sum(1 for _ in tokens)
        blocks += [
            Block(start=start, end=min(start + size, end), row=row, prefix=prefix if segment else 0)
            for start in range(row, end, size)
        ]
        row = end
    return tuple(blocks)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: in `blocks` where it is given them, else torch's.

    Shapes: query [1, heads, N, D], key and value [1, key heads, N, D]; returned [1, N, heads, D].
    """
    blocks = more.pop("blocks", None)
    width = query.shape[-1]
    plain = not dropout and all(more.get(name) is None for name in _OTHER_SCORES)
    if blocks is None or not plain or value.shape[-1] != width:
        torchs: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return torchs
    if torch.is_autocast_enabled("cpu"):
        # As torch's own is.
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = (tensor.to(dtype) for tensor in (query, key, value))
    scale = width**-0.5 if scaling is None else scaling
    out = attend(query[0], key[0], value[0], blocks=blocks, scale=scale)
    return out.transpose(0, 1)[None], None


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    blocks: Sequence[Block],
    scale: float,
) -> torch.Tensor:
    """Attention of one sequence: softmax(scale q k^T) v over what each query sees.

    Shapes: query [heads, N, D], key and value [key heads, N, D]; the result is as `query`. Heads
    share the keys of their group, as in grouped-query attention (Ainslie et al. 2023).
    """
    out: torch.Tensor = _Attention.apply(query, key, value, blocks, scale)  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    """Block by block, forwards and backwards; gradients of keys and values are summed in fp32."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: Sequence[Block],
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.blocks, ctx.scale = blocks, scale
        out = torch.empty_like(query)
        for block in blocks:
            queries = _grouped(query, key, block) * scale
            seen = _probabilities(queries, block.seen(key), block)
            _put(out, torch.bmm(seen, block.seen(value)), block)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        wide = torch.promote_types(key.dtype, torch.float32)
        of_query = torch.empty_like(query)
        of_key, of_value = (torch.zeros_like(t, dtype=wide) for t in (key, value))
        for block in ctx.blocks:
            queries = _grouped(query, key, block) * ctx.scale
            outer = _grouped(gradients[0], key, block)
            keys = block.seen(key)
            seen = _probabilities(queries, keys, block)
            block.add_seen(of_value, torch.bmm(seen.transpose(1, 2), outer))
            of_seen = torch.bmm(outer, block.seen(value).transpose(1, 2))
            # The derivative of softmax: p (g - sum(p g)).
            of_score = torch.ops.aten._softmax_backward_data(of_seen, seen, -1, seen.dtype)
            _put(of_query, torch.bmm(of_score, keys) * ctx.scale, block)
            block.add_seen(of_key, torch.bmm(of_score.transpose(1, 2), queries))
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None, None


def _grouped(tensor: torch.Tensor, key: torch.Tensor, block: Block) -> torch.Tensor:
    """The block's part of [heads, N, D] as [key heads, group x queries, D]."""
    return tensor[:, block.start : block.end].reshape(key.shape[0], -1, tensor.shape[-1])


def _put(total: torch.Tensor, part: torch.Tensor, block: Block) -> None:
    """The inverse of `_grouped`: write the block's part into [heads, N, D]."""
    queries = block.end - block.start
    total[:, block.start : block.end] = part.view(total.shape[0], queries, total.shape[-1])


def _probabilities(queries: torch.Tensor, keys: torch.Tensor, block: Block) -> torch.Tensor:
    """[key heads, group x queries, M] of scaled queries, none of which sees a token behind it."""
    scores = torch.bmm(queries, keys.transpose(1, 2))
    own = block.end - block.start
    later = torch.ones(own, own, dtype=torch.bool, device=scores.device).triu(1)
    newest = scores.view(scores.shape[0], -1, own, scores.shape[-1])[..., -own:]
    newest.masked_fill_(later, float("-inf"))
    return torch.softmax(scores, dim=-1)
