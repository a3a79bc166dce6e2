import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.depthwise_convolution import depthwise_relu6, input_gradient, weight_gradient

CASES = [
    (side, stride, padding, size)
    for side in (3, 5, 7)
    for stride in (1, 2)
    for padding in ((side // 2, side // 2), (side // 2 - 1, side // 2))
    for size in ((12, 9), (7, 8), (6, 6))
]


@pytest.mark.parametrize(("side", "stride", "padding", "size"), CASES)
def test_outputs_and_gradients_equal_those_of_autograd(side, stride, padding, size):
    torch.manual_seed(0)
    x = torch.randn(2, 20, *size).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(20, 1, side, side), torch.randn(20)
    exact = [part.double().requires_grad_() for part in (x, weight)]
    expected = F.conv2d(*exact, bias.double(), stride, padding, groups=20)
    actual = depthwise_relu6(x, weight, bias, stride, padding)
    torch.testing.assert_close(actual.double(), expected.detach().clamp(0, 6), atol=1e-5, rtol=1e-5)
    grad = torch.randn_like(actual)
    grads = torch.autograd.grad(expected, exact, grad.double())
    for function, other in ((input_gradient, grads[0]), (weight_gradient, grads[1])):
        found = function(grad, x, weight, stride, padding)
        torch.testing.assert_close(found.double(), other, atol=1e-4, rtol=1e-5)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="needs bfloat16 in hardware"
)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
def test_gradients_in_bfloat16_are_close(side, stride):
    torch.manual_seed(0)
    x = torch.randn(2, 32, 13, 18).contiguous(memory_format=torch.channels_last)
    weight, padding = torch.randn(32, 1, side, side), (side // 2, side // 2)
    grad = torch.randn_like(F.conv2d(x, weight, None, stride, padding, groups=32))
    for function in (input_gradient, weight_gradient):
        expected = function(grad, x, weight, stride, padding)
        parts = (part.to(torch.bfloat16) for part in (grad, x, weight))
        actual = function(*parts, stride, padding)
        assert actual.dtype == torch.bfloat16
        assert (actual.float() - expected).norm() < 0.02 * expected.norm()
