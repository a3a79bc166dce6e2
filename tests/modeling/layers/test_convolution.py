"""The convolution that has a quick way against the plain one."""

import pytest
import torch
import torch.nn.functional as F

from unimask.modeling.layers.convolution import WIDE, Convolution3x3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [8, WIDE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_and_without_gradients_it_is_the_plain_convolution(channels, bias, dtype):
    torch.manual_seed(0)
    layer = Convolution3x3(channels, channels, bias=bias).to(dtype)
    x = torch.randn(2, channels, 9, 14, dtype=dtype)
    learning = layer(x)
    with torch.no_grad():
        found = layer(x)
    torch.testing.assert_close(learning, F.conv2d(x, layer.weight, layer.bias, padding=1))
    torch.testing.assert_close(found, learning.detach(), rtol=1e-4, atol=1e-4)
