import pytest
import torch
from torch import nn

from unimask.kernels import group_norm as kernel
from unimask.modeling.layers.group_norm import GroupNorm


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(2, 24, 1, 1), (1, 24, 3, 5), (3, 24, 90, 70)], ids=str)
@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_large_means_lose_no_precision(layout, size, mean):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(*size, generator=generator) + mean).contiguous(memory_format=layout)
    layer = GroupNorm(8, 24)
    torch.manual_seed(0)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    exact = nn.functional.group_norm(
        x.double(), 8, layer.weight.double(), layer.bias.double(), layer.eps
    )
    with_gradients = layer(x)
    with torch.no_grad():
        actual = layer(x.clone())
    for result in (actual, with_gradients):
        torch.testing.assert_close(result.double(), exact, atol=2e-6 * max(1, mean), rtol=1e-6)


def test_half_precision_is_normalised_in_float32():
    layer = GroupNorm(4, 8).bfloat16()
    x = torch.randn(1, 8, 6, 7).add(5).bfloat16()
    exact = nn.functional.group_norm(x.double(), 4)
    with torch.no_grad():
        torch.testing.assert_close(layer(x).double(), exact, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(2, 6, 1, 1), (1, 6, 3, 5), (3, 6, 9, 7)], ids=str)
def test_gradients_equal_those_of_pytorch(layout, size):
    torch.manual_seed(0)
    x = torch.randn(*size).add(2).contiguous(memory_format=layout)
    layer, exact = GroupNorm(2, 6), nn.GroupNorm(2, 6).double()
    nn.init.normal_(layer.weight)
    exact.load_state_dict(layer.state_dict())
    pairs = []
    for module, image in ((layer, x.clone()), (exact, x.double())):
        image.requires_grad_()
        # PyTorch's module refuses maps of one pixel, its function does not.
        parts = module.weight, module.bias
        out = layer(image) if module is layer else torch.group_norm(image, 2, *parts)
        weights = torch.arange(1, 1 + out.numel()).view(size)
        pairs.append(torch.autograd.grad((out.square() * weights).mean(), [image, *parts]))
    for actual, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(actual.double(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_fused_operations_run_block_by_block(monkeypatch, rectified, requires_grad):
    monkeypatch.setattr(kernel, "BLOCK", 21)  # three rows at a time
    x, addend = torch.randn(2, 6, 10, 7), torch.randn(2, 6, 10, 7, requires_grad=requires_grad)
    layer = GroupNorm(2, 6, rectified=rectified).requires_grad_(requires_grad)
    with torch.set_grad_enabled(requires_grad):
        actual = layer(x.clone(), lambda lines: addend[:, :, lines])
    expected = nn.functional.group_norm(x, 2) + addend
    expected = expected.relu() if rectified else expected
    torch.testing.assert_close(actual, expected)
    if requires_grad:
        grad_output = torch.randn_like(x)
        grads = (torch.autograd.grad(out, addend, grad_output)[0] for out in (actual, expected))
        torch.testing.assert_close(*grads)


def test_the_addend_gets_gradients_from_a_frozen_layer(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 7)  # one row at a time
    x, addend = torch.randn(1, 6, 5, 7), torch.randn(1, 6, 5, 7, requires_grad=True)
    layer = GroupNorm(2, 6).requires_grad_(False)
    actual = layer(x.clone(), lambda lines: addend[:, :, lines])
    torch.testing.assert_close(actual, nn.functional.group_norm(x, 2) + addend)
    (gradient,) = torch.autograd.grad(actual.sum(), addend)
    assert torch.equal(gradient, torch.ones_like(addend))


def test_inputs_are_not_overwritten_if_gradients_are_required():
    x = torch.randn(1, 4, 3, 3)
    copy = x.clone()
    GroupNorm(2, 4)(x).sum().backward()
    assert torch.equal(x, copy)
