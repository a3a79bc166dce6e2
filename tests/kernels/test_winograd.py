"""Winograd's convolution against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from unimask.kernels import winograd as kernel
from unimask.kernels.winograd import transform_filters, winograd

SIDES = st.integers(1, 23)


def example(b, c, d, h, w):
    generator = torch.Generator().manual_seed(h * 31 + w)
    x = torch.randn(b, c, h, w, generator=generator, dtype=torch.float64)
    weight = torch.randn(d, c, 3, 3, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last), weight


@given(h=SIDES, w=SIDES, b=st.integers(1, 2), tiles=st.integers(1, 8))
def test_any_size_gives_the_plain_convolution(h, w, b, tiles):
    x, weight = example(b, 3, 5, h, w)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "TILES", tiles)
        found = winograd(x, transform_filters(weight))
    torch.testing.assert_close(found, F.conv2d(x, weight, padding=1))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_in_float32_the_error_stays_around_a_millionth_of_the_spread():
    x, weight = example(1, 256, 256, 24, 36)
    exact = F.conv2d(x, weight, padding=1)
    found = winograd(x.float(), transform_filters(weight.float()))
    assert (found - exact).std() < 4e-6 * exact.std()
