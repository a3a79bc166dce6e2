"""Winograd's convolution against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from unimask.kernels import winograd as kernel
from unimask.kernels.winograd import transformed_filters, winograd, winograd_autograd

SIDES = st.integers(1, 23)


def example(b, c, d, h, w):
    generator = torch.Generator().manual_seed(h * 31 + w)
    x = torch.randn(b, c, h, w, generator=generator, dtype=torch.float64)
    weight = torch.randn(d, c, 3, 3, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last), weight


@given(h=SIDES, w=SIDES, b=st.integers(1, 2), tiles=st.integers(1, 8))
def test_any_size_equals_the_reference_convolution(h, w, b, tiles):
    x, weight = example(b, 3, 5, h, w)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "TILES", tiles)
        actual = winograd(x, transformed_filters(weight))
    torch.testing.assert_close(actual, F.conv2d(x, weight, padding=1))
    assert actual.is_contiguous(memory_format=torch.channels_last)


def test_float32_error_is_about_a_millionth_of_the_standard_deviation():
    x, weight = example(1, 256, 256, 24, 36)
    exact = F.conv2d(x, weight, padding=1)
    actual = winograd(x.float(), transformed_filters(weight.float()))
    assert (actual - exact).std() < 4e-6 * exact.std()


@pytest.mark.parametrize(("maps", "filters"), [(True, True), (True, False), (False, True)])
def test_gradients_equal_those_of_the_reference_convolution(maps, filters):
    x, weight = example(2, 3, 5, 7, 9)
    x.requires_grad_(maps), weight.requires_grad_(filters)
    torch.autograd.gradcheck(winograd_autograd, (x, weight))
    inputs = [tensor for tensor in (x, weight) if tensor.requires_grad]
    grad_output = torch.randn(2, 5, 7, 9, dtype=torch.float64)
    actual = torch.autograd.grad(winograd_autograd(x, weight), inputs, grad_output)
    expected = torch.autograd.grad(F.conv2d(x, weight, padding=1), inputs, grad_output)
    torch.testing.assert_close(actual, expected)


@given(h=SIDES, w=SIDES, tiles=st.integers(1, 8))
def test_any_size_has_the_reference_gradients(h, w, tiles):
    x, weight = (tensor.requires_grad_() for tensor in example(2, 3, 4, h, w))
    grad_output = torch.linspace(-1, 1, 2 * 4 * h * w, dtype=torch.float64).view(2, 4, h, w)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "TILES", tiles)
        actual = torch.autograd.grad(winograd_autograd(x, weight), (x, weight), grad_output)
    expected = torch.autograd.grad(F.conv2d(x, weight, padding=1), (x, weight), grad_output)
    torch.testing.assert_close(actual, expected)


def test_float32_gradient_error_is_some_millionths_of_the_standard_deviation():
    x, weight = (tensor.requires_grad_() for tensor in example(1, 256, 256, 24, 36))
    grad_output = torch.randn(1, 256, 24, 36, generator=torch.Generator().manual_seed(1)).double()
    exact = torch.autograd.grad(F.conv2d(x, weight, padding=1), (x, weight), grad_output)
    small = [tensor.detach().float().requires_grad_() for tensor in (x, weight)]
    actual = torch.autograd.grad(winograd_autograd(*small), small, grad_output.float())
    for one, other in zip(actual, exact, strict=True):
        assert (one - other).std() < 6e-6 * other.std()
