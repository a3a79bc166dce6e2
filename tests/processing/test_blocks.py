"""Grouping of blocks, and arg-max over rows."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from unimask.processing.blocks import (
    batch_slices,
    first_argmax,
    group_blocks,
    group_by_count,
    reduce_windows,
)
from unimask.processing.resize import Windows

small = st.integers(1, 9)


@given(small, small, st.integers(0, 100))
def test_first_argmax_returns_the_first_of_equal_values(rows, count, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 3, (count, rows, 2, 5), generator=generator).float()
    numbers = torch.rand(count, 20, generator=generator).topk(rows).indices.sort().values
    expected = values.numpy().argmax(1)  # the first of equal values, which torch does not guarantee
    owner, best = first_argmax(numbers, values.clone())
    selected = numbers[:, :, None, None].expand(values.shape)
    selected = selected.gather(1, torch.from_numpy(expected)[:, None])[:, 0]
    assert torch.equal(owner, selected) and torch.equal(best, values.amax(1))


@given(small, small, st.integers(0, 100))
def test_blocks_are_grouped_by_the_number_of_masks(rows, count, seed):
    selected = torch.rand(rows, count, generator=torch.Generator().manual_seed(seed)) < 0.4
    actual = torch.zeros_like(selected)
    for blocks, queries in group_by_count(selected):
        assert (selected[:, blocks].sum(0) == queries.shape[1]).all()
        assert (queries.diff(dim=1) > 0).all()
        actual[queries, blocks[:, None]] = True
    assert torch.equal(actual, selected)


@given(st.integers(1, 30), small, st.integers(0, 100))
def test_windows_are_reduced(length, width, seed):
    generator = torch.Generator().manual_seed(seed)
    width = min(width, length)
    values = torch.randn(2, 3, length, generator=generator)
    starts = torch.randint(0, length - width + 1, (6,), generator=generator)
    actual = reduce_windows(values, 2, Windows(starts, torch.ones(6, 1, width)), torch.maximum)
    expected = [values[:, :, s : s + width].amax(2) for s in starts.tolist()]
    assert torch.equal(actual, torch.stack(expected, 2))


@given(st.integers(1, 300), st.integers(1, 5))
def test_block_groups_cover_a_length_once(length, maximum):
    covered = [
        place
        for start, count, side in group_blocks(length, maximum)
        for place in range(start, start + count * side)
    ]
    assert covered == list(range(length))


def test_batch_slices_cover_everything_once():
    places = torch.arange(1000)
    parts = [places[piece] for piece in batch_slices(1000, 10**5, torch.device("cpu"))]
    assert len(parts) > 1 and torch.equal(torch.cat(parts), places)
