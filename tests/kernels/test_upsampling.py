"""Rows of an upsampled map against the whole map."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from unimask.kernels.upsampling import upsampled_rows


@given(st.integers(1, 9), st.integers(1, 7), st.data())
def test_rows_equal_those_of_the_whole_map(height, width, data):
    x = torch.randn(
        2, 3, height, width, generator=torch.Generator().manual_seed(height * 10 + width)
    )
    size = data.draw(
        st.sampled_from([(2 * height, 2 * width), (2 * height - 1, 2 * width), (3 * height, width)])
    )
    start = data.draw(st.integers(0, size[0] - 1))
    stop = data.draw(st.integers(start + 1, size[0]))
    expected = F.interpolate(x, size, mode="bilinear", align_corners=False)[:, :, start:stop]
    assert torch.equal(upsampled_rows(x, size)(slice(start, stop)), expected)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_gradients_equal_those_of_the_whole_map(layout):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout)
    x.requires_grad_()
    lines = upsampled_rows(x, (8, 10))
    parts = torch.cat([lines(slice(start, min(start + 3, 8))) for start in range(0, 8, 3)], dim=2)
    whole = F.interpolate(x, (8, 10), mode="bilinear", align_corners=False)
    grad_output = torch.randn_like(whole)
    for one, other in zip(
        *(torch.autograd.grad(y, x, grad_output) for y in (parts, whole)), strict=True
    ):
        torch.testing.assert_close(one, other)
