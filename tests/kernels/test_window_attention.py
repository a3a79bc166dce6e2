"""Window attention with gradients, band by band, against PyTorch's autograd."""

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
    made = SwinBlock(8, shift=shift, **sizes).to(dtype)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (2, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("lines", [1, 2048], ids=["bands", "whole"])
def test_values_and_gradients_equal_the_reference_path(monkeypatch, size, shift, lines):
    made = block(shift=shift)
    x = torch.randn(2, *size, 8, requires_grad=True)
    weights = torch.randn(x.shape)
    wanted = [x, *made.parameters()]
    with monkeypatch.context() as plainly:
        for module in (feed_forward, layer, layers):
            plainly.setattr(module, "uses_custom_autograd", lambda x: False)
        expected = made(x)
        expected_gradients = torch.autograd.grad(expected, wanted, weights)
    monkeypatch.setattr(rows, "BLOCK", lines)
    actual = made(x)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad(actual, wanted, weights), expected_gradients, strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("shift", [0, 1])
def test_gradients_equal_those_of_the_values(monkeypatch, shift):
    monkeypatch.setattr(rows, "BLOCK", 1)
    made = SwinBlock(4, num_heads=2, window=2, shift=shift, mlp_ratio=1.0, drop_path=0.0).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: made(x), [x, *made.parameters()])


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
    made = block(shift=2)
    x = torch.randn(2, 9, 13, 8)
    for parameter in made.parameters():
        parameter.data /= 4
    expected = torch.autograd.grad(made(x).sum(), list(made.parameters()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = made(x)
    for one, other in zip(
        torch.autograd.grad(out.sum(), list(made.parameters())), expected, strict=True
    ):
        assert one.dtype == torch.float32 and (one - other).norm() < 0.05 * other.norm()
