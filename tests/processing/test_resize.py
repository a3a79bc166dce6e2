"""Tiles of the result equal two interpolations of whole masks."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.processing.resize import Resizer, axis_weights
from unimask.processing.tiles import best_row, place, tiles

side = st.integers(1, 40)


def whole(logits, padded, shown, original):
    """The authors' two steps."""
    masks = F.interpolate(logits[None], padded, mode="bilinear", align_corners=False)
    masks = masks[:, :, : shown[0], : shown[1]]
    return F.interpolate(masks, original, mode="bilinear", align_corners=False)[0]


@settings(max_examples=50)
@given(st.tuples(side, side), st.tuples(side, side), st.tuples(side, side), st.integers(5, 50))
def test_tiles_are_the_two_steps(logits_size, cut, original, step):
    padded = (4 * logits_size[0], 4 * logits_size[1])
    shown = (max(1, padded[0] - cut[0]), max(1, padded[1] - cut[1]))
    logits = 9 * torch.randn(3, *logits_size, generator=torch.Generator().manual_seed(step))
    expected = whole(logits, padded, shown, original)
    resizer = Resizer.between(logits_size, padded, shown, original)
    assert resizer.size == original
    for tile in tiles(original, step):
        patch = resizer.patch(logits, tile)
        found = resizer.resize(patch, tile)
        torch.testing.assert_close(
            found,
            expected[:, tile.top : tile.bottom, tile.left : tile.right],
            atol=1e-5,
            rtol=1e-5,
        )
        lowest, highest = patch.flatten(1).aminmax(dim=1)
        assert (found.flatten(1).amax(1) <= highest + 1e-5).all()
        assert (found.flatten(1).amin(1) >= lowest - 1e-5).all()


@pytest.mark.parametrize("sizes", [((200, 336), (800, 1344), (750, 1333), (2160, 3840))])
def test_a_large_picture(sizes):
    logits = 9 * torch.randn(1, *sizes[0], generator=torch.Generator().manual_seed(0))
    expected = whole(logits, *sizes[1:])
    resizer = Resizer.between(*sizes)
    for tile in list(tiles(resizer.size))[::20]:
        found = resizer.resize(resizer.patch(logits, tile), tile)
        tile_of = expected[:, tile.top : tile.bottom, tile.left : tile.right]
        torch.testing.assert_close(found, tile_of, atol=1e-5, rtol=1e-5)


@given(st.integers(1, 300), st.integers(1, 300))
def test_weights_are_of_a_mean(length, new_length):
    weights = axis_weights(length, new_length)
    assert weights.shape == (new_length, length)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(new_length))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9))
def test_tiles_cover_a_map_once(height, width, step):
    seen = torch.zeros(height, width, dtype=torch.int32)
    for tile in tiles((height, width), step):
        values = seen[tile.top : tile.bottom, tile.left : tile.right].flatten() + 1
        place(seen, tile, values)
    assert (seen == 1).all()


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 99))
def test_best_row_is_argmax_and_the_first_of_equals(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 3, (rows, columns), generator=generator).float()
    expected = torch.from_numpy(scores.numpy().argmax(0))
    assert torch.equal(best_row(scores), expected)
