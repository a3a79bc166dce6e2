import torch

from unimask.kernels.window_attention.geometry import relative_position_index, separated_pairs

CPU = torch.device("cpu")


def test_separated_pairs_are_those_that_the_shift_brought_together():
    """Two tokens of a window attend to each other if rolling preserved their distance."""
    height, width, window, shift = 8, 12, 4, 1
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    positions = torch.stack([rows, columns], dim=-1)
    rolled = positions.roll((-shift, -shift), (0, 1))
    moved = (rolled - positions).view(height // window, window, width // window, window, 2)
    moved = moved.transpose(1, 2).reshape(-1, window * window, 2)
    expected = (moved[:, None] != moved[:, :, None]).any(-1)
    actual = separated_pairs(height, width, window, shift, CPU)
    assert torch.equal(actual, expected) and actual.any() and not actual[0].any()


def test_positions_are_numbered_by_offset():
    index = relative_position_index(3)
    assert index.shape == (9, 9) and len(index.unique()) == 25
    assert len(index.diagonal().unique()) == 1  # every token to itself
    assert index[0, 4] == index[4, 8] != index[4, 0]  # one down and right, not back
