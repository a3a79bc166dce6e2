"""Deformable convolution against its definition, one sample at a time."""

import math

import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.deformable_convolution import deformable_convolution
from unimask.modeling.layers.deformable_convolution import DeformableConvolution


def at(grid, x, y):
    """Compute the bilinear value at pixel coordinates, zero outside."""
    total = 0.0
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < grid.shape[0] and 0 <= j < grid.shape[1]:
                total += (1 - abs(y - i)) * (1 - abs(x - j)) * float(grid[i, j])
    return total


def by_definition(x, weight, offsets, modulation):
    """Sum weight times modulation times the sample at the offset, over taps and channels."""
    (b, c, h, w), (d, _, rows, columns), groups = x.shape, weight.shape, offsets.shape[1]
    actual = torch.zeros(b, d, h, w, dtype=torch.float64)
    for n, channel, tap, i, j in torch.cartesian_prod(
        *map(torch.arange, (b, c, rows * columns, h, w))
    ).tolist():
        group = channel * groups // c
        dx, dy = offsets[n, group, tap, :, i, j].tolist()
        column, row = j + tap % columns - columns // 2 + dx, i + tap // columns - rows // 2 + dy
        sample = float(modulation[n, group, tap, i, j]) * at(x[n, channel], column, row)
        actual[n, :, i, j] += sample * weight[:, channel, tap // columns, tap % columns]
    return actual


def inputs(rows=3, columns=3, size=(4, 5)):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    taps = rows * columns
    return (
        draw(2, 4, *size),
        draw(3, 4, rows, columns),
        2 * draw(2, 2, taps, 2, *size),
        draw(2, 2, taps, *size).sigmoid(),
    )


@pytest.mark.parametrize("size", [(4, 5), (1, 3)], ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (1, 1), (1, 3)])
def test_the_layer_equals_its_definition(rows, columns, size):
    arguments = inputs(rows, columns, size)
    torch.testing.assert_close(deformable_convolution(*arguments), by_definition(*arguments))


def test_gradients_equal_finite_differences():
    arguments = [tensor.requires_grad_() for tensor in inputs(size=(2, 3))]
    assert torch.autograd.gradcheck(deformable_convolution, arguments)


def test_zero_offsets_equal_a_convolution():
    x, weight, offsets, modulation = inputs()
    actual = deformable_convolution(x, weight, 0 * offsets, torch.ones_like(modulation))
    torch.testing.assert_close(actual, F.conv2d(x, weight, padding=1))


def test_the_untrained_layer_equals_half_a_convolution():
    torch.manual_seed(0)
    layer = DeformableConvolution(dim=4, guide_dim=3, num_groups=2)
    x, guide = torch.randn(1, 4, 6, 7), torch.randn(1, 3, 6, 7)
    torch.testing.assert_close(layer(x, guide), F.conv2d(x, layer.weight, padding=1) / 2)
    layer(x, guide).square().sum().backward()
    assert layer.guide.weight.grad.abs().sum() > 0
    with torch.no_grad():
        layer.guide.weight.normal_()
        assert not torch.allclose(layer(x, guide), layer(x, 2 * guide))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_dtype_and_offsets(dtype):
    """The coordinate of column 399 of 400 must not be rounded to half precision."""
    x = torch.zeros(1, 1, 1, 400, dtype=dtype)
    x[..., 399] = 1
    weight = torch.ones(1, 1, 1, 1, dtype=dtype)
    still = torch.zeros(1, 1, 1, 2, 1, 400, dtype=dtype)
    actual = deformable_convolution(x, weight, still, torch.ones_like(still[:, :, :, 0]))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, x, atol=1e-3, rtol=0)
