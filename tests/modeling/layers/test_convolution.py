"""Convolution by Winograd's algorithm against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.convolution import MIN_CHANNELS
from unimask.modeling.layers.convolution import Convolution3x3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [8, MIN_CHANNELS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolution_equals_pytorch_with_and_without_gradients(channels, bias, dtype):
    torch.manual_seed(0)
    layer = Convolution3x3(channels, channels, bias=bias).to(dtype)
    x = torch.randn(2, channels, 9, 14, dtype=dtype)
    learning = layer(x)
    with torch.no_grad():
        actual = layer(x)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(learning, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(actual, learning.detach(), rtol=1e-4, atol=1e-4)


def test_winograd_is_used_with_gradients_only_in_float32():
    layer, x = (
        Convolution3x3(MIN_CHANNELS, MIN_CHANNELS, bias=True),
        torch.randn(1, MIN_CHANNELS, 6, 7),
    )
    assert "Winograd" in ancestors(layer(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert "Winograd" not in ancestors(layer(x))
    assert "Winograd" not in ancestors(layer.double()(x.double()))


def ancestors(out) -> str:
    step = out.grad_fn
    return " ".join(str(node) for node in (step, *(n for n, _ in step.next_functions)))


def test_a_fused_optimizer_step_invalidates_cached_weights():
    """It modifies weights without changing their version; the training pass clears the cache."""
    torch.manual_seed(0)
    layer, x = (
        Convolution3x3(MIN_CHANNELS, MIN_CHANNELS, bias=False),
        torch.randn(1, MIN_CHANNELS, 6, 7),
    )
    with torch.no_grad():
        layer(x)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    layer(x).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        actual = layer(x)
    expected = F.conv2d(x, layer.weight, padding=1).detach()
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)
