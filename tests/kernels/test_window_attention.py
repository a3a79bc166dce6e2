"""Window attention with gradients, in bands, against PyTorch's autograd."""

import pytest
import torch
from torch import nn

from unimask.kernels import feed_forward, rows
from unimask.kernels.linear import layers
from unimask.kernels.window_attention import layer
from unimask.kernels.window_attention.attention import attend, attend_backward
from unimask.kernels.window_attention.geometry import separated_pairs
from unimask.modeling.backbones.swin import SwinBlock


def block(*, shift: int, dtype=torch.float32) -> SwinBlock:
    torch.manual_seed(0)
    sizes = {"num_heads": 2, "window": 4, "mlp_ratio": 2.0, "drop_path": 0.0}
    module = SwinBlock(8, shift=shift, **sizes).to(dtype)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (2, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("lines", [1, 2048], ids=["bands", "whole"])
def test_values_and_gradients_equal_the_reference_path(monkeypatch, size, shift, lines):
    module = block(shift=shift)
    x = torch.randn(2, *size, 8, requires_grad=True)
    weights = torch.randn(x.shape)
    inputs = [x, *module.parameters()]
    with monkeypatch.context() as patch:
        for patched in (feed_forward, layer, layers):
            patch.setattr(patched, "uses_custom_autograd", lambda x: False)
        expected = module(x)
        expected_gradients = torch.autograd.grad(expected, inputs, weights)
    monkeypatch.setattr(rows, "BLOCK", lines)
    actual = module(x)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad(actual, inputs, weights), expected_gradients, strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("shift", [0, 1])
def test_gradients_equal_those_of_the_values(monkeypatch, shift):
    monkeypatch.setattr(rows, "BLOCK", 1)
    module = SwinBlock(4, num_heads=2, window=2, shift=shift, mlp_ratio=1.0, drop_path=0.0).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: module(x), [x, *module.parameters()])


@pytest.mark.parametrize("shifted", [True, False])
def test_mixing_of_half_precision_has_gradients_in_full(shifted):
    torch.manual_seed(0)
    blocked = separated_pairs(8, 8, 4, 2, torch.device("cpu")) if shifted else None
    qkv, bias = torch.randn(8, 16, 24).bfloat16().float(), torch.randn(2, 16, 16)
    bias = bias.bfloat16().float().requires_grad_()
    weights = torch.randn(8, 16, 8)
    inputs = [qkv.requires_grad_(), bias]
    expected = torch.autograd.grad(attend(qkv, bias, blocked), inputs, weights)
    half = qkv.detach().bfloat16(), bias.detach().bfloat16()
    actual = attend_backward(weights.bfloat16(), *half, blocked)
    for one, other in zip(actual, expected, strict=True):
        assert (one.float() - other).norm() < 0.01 * other.norm()


def test_autocast_stays_close():
    module = block(shift=2)
    x = torch.randn(2, 9, 13, 8)
    for parameter in module.parameters():
        parameter.data /= 4
    expected = torch.autograd.grad(module(x).sum(), list(module.parameters()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(x)
    for one, other in zip(
        torch.autograd.grad(out.sum(), list(module.parameters())), expected, strict=True
    ):
        assert one.dtype == torch.float32 and (one - other).norm() < 0.05 * other.norm()
