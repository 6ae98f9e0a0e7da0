"""Packs hold every row once, keep to the limit and never share a token that is trained."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuneloop.training.packing import attention_mask, pack_tensors, plan_packs, plan_padded
from tuneloop.training.rows import TokenRow, shared_prefix_length

_tokens = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@st.composite
def _row(draw: st.DrawFn) -> TokenRow:
    return TokenRow(
        id=str(draw(st.integers(0, 10**6))),
        prompt=(9, 9, *draw(_tokens)),
        completion=tuple(draw(_tokens)),
        head=draw(st.sampled_from(["", "a"])),
    )


_rows = st.lists(_row(), min_size=1, max_size=12)


@given(rows=_rows, limit=st.integers(1, 60))
def test_every_row_is_in_one_pack_and_only_a_long_row_breaks_the_limit(
    rows: list[TokenRow], limit: int
) -> None:
    packs = plan_packs(rows, max_tokens=limit)
    packed = sorted((row.ids, row.prompt) for pack in packs for row in pack.rows)
    assert packed == sorted((row.ids, row.prompt) for row in rows)
    for pack in packs:
        assert len(pack) <= limit or len(pack.rows) == 1


@given(rows=_rows)
def test_the_shared_prefix_leaves_each_row_a_prompt_token(rows: list[TokenRow]) -> None:
    length = shared_prefix_length(rows)
    assert len({row.ids[:length] for row in rows}) == 1
    assert all(length < len(row.prompt) for row in rows)


@given(rows=_rows, limit=st.integers(1, 60))
def test_a_packed_row_sees_its_own_tokens_at_its_own_positions(
    rows: list[TokenRow], limit: int
) -> None:
    for pack in plan_packs(rows, max_tokens=limit):
        tensors = pack_tensors(pack)
        seen = attention_mask(tensors["segments"])[0, 0]
        targets: list[int] = []
        start = pack.prefix_length
        for row in pack.rows:
            last = start + len(row) - pack.prefix_length - 1
            visible = seen[last].nonzero().flatten()
            assert tensors["input_ids"][0, visible].tolist() == list(row.ids)
            assert tensors["position_ids"][0, visible].tolist() == list(range(len(row)))
            start = last + 1
            targets += row.completion
        assert tensors["targets"].tolist() == targets


@given(rows=_rows, limit=st.integers(1, 60))
def test_padded_batches_keep_to_the_limit(rows: list[TokenRow], limit: int) -> None:
    batches = plan_padded(rows, max_tokens=limit)
    assert sum(len(batch) for batch in batches) == len(rows)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(len(row) for row in batch) <= limit
