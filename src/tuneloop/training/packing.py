"""Several rows in one forward pass, with nothing computed twice and no padding.

A pack is one sequence `[prefix, suffix 1, suffix 2, ...]`. The prefix is what its rows have in
common (system text and the head of the template). A suffix sees the prefix and itself, and its
positions continue after the prefix, so each row gets the numbers it would get alone.
Rows without a common prefix are packed block-diagonally by the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop.training.rows import TokenRow, shared_prefix_length

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Rows that go through the model as one sequence."""

    rows: tuple[TokenRow, ...]
    prefix_length: int
    """Leading tokens that all rows share and that are computed once."""

    def __len__(self) -> int:
        """Tokens in the packed sequence."""
        return self.prefix_length + sum(len(row) - self.prefix_length for row in self.rows)

    @property
    def row_tokens(self) -> int:
        """Tokens that the rows would have apart."""
        return sum(len(row) for row in self.rows)

    @property
    def completion_tokens(self) -> int:
        """Tokens that count in the loss."""
        return sum(row.trained_tokens for row in self.rows)


def plan_packs(rows: Sequence[TokenRow], *, max_tokens: int) -> list[Pack]:
    """Distribute rows over packs of at most `max_tokens`; a longer row is alone in its pack.

    First-fit decreasing over the suffix lengths, per head; the order of rows does not change
    what is computed, only the rounding of the sum.
    """
    heads: dict[str, list[TokenRow]] = {}
    for row in rows:
        heads.setdefault(row.head, []).append(row)
    packs = []
    for group in heads.values():
        prefix = shared_prefix_length(group)
        bins: list[list[TokenRow]] = []
        room: list[int] = []
        for row in sorted(group, key=len, reverse=True):
            need = len(row) - prefix
            fitting = next((i for i, free in enumerate(room) if need <= free), None)
            if fitting is None:
                bins.append([row])
                room.append(max_tokens - prefix - need)
            else:
                bins[fitting].append(row)
                room[fitting] -= need
        packs += [Pack(rows=tuple(b), prefix_length=prefix if len(b) > 1 else 0) for b in bins]
    return packs


def pack_tensors(pack: Pack) -> dict[str, torch.Tensor]:
    """The tensors of one pack of N tokens, K of which count in the loss.

    Shapes: input_ids and position_ids [1, N]; segments [N] with 0 for the prefix; keep [K] is
    the positions whose next token is trained, targets [K] those tokens.
    """
    import torch

    prefix = pack.prefix_length
    ids = list(pack.rows[0].ids[:prefix])
    positions = list(range(prefix))
    segments = [0] * prefix
    keep: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(pack.rows, start=1):
        suffix = row.ids[prefix:]
        for start, end in row.spans:
            first_trained = len(ids) + start - prefix
            keep += range(first_trained - 1, first_trained - 1 + end - start)
            targets += row.ids[start:end]
        ids += suffix
        positions += range(prefix, prefix + len(suffix))
        segments += [number] * len(suffix)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "segments": torch.tensor(segments),
        "keep": torch.tensor(keep),
        "targets": torch.tensor(targets),
    }


def attention_mask(segments: torch.Tensor) -> torch.Tensor:
    """Who sees whom in a pack: [N] segments to a [1, 1, N, N] mask, True where seen."""
    import torch

    n = segments.shape[0]
    causal = torch.ones(n, n, dtype=torch.bool, device=segments.device).tril()
    own = segments[:, None] == segments[None, :]
    prefix = (segments == 0)[None, :]
    return (causal & (own | prefix))[None, None]


def padded_tensors(rows: Sequence[TokenRow], *, pad_id: int) -> dict[str, torch.Tensor]:
    """The plain form for models that cannot take packs: B rows padded right to L tokens.

    Shapes: input_ids, attention_mask and labels [B, L]; labels are -100 where not trained.
    """
    import torch

    longest = max(len(row) for row in rows)
    shape = (len(rows), longest)
    ids = torch.full(shape, pad_id)
    mask = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, -100)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row.ids)
        mask[index, : len(row)] = 1
        for start, end in row.spans:
            labels[index, start:end] = torch.tensor(row.ids[start:end])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def plan_padded(rows: Sequence[TokenRow], *, max_tokens: int) -> list[list[TokenRow]]:
    """Distribute rows over padded batches of at most `max_tokens` cells, like lengths together."""
    batches: list[list[TokenRow]] = []
    for row in sorted(rows, key=len, reverse=True):
        # The first row of a batch is its longest, so it sets the width.
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0]) <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
