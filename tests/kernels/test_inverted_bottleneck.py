import itertools

import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.inverted_bottleneck import (
    Bottleneck,
    bottleneck_function,
    has_fast_bottleneck,
    inverted_bottleneck,
    same_padding,
)


@pytest.mark.parametrize(
    ("size", "side", "stride", "expected"),
    [
        (8, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (8, 5, 2, (1, 2)), (7, 5, 2, (2, 2)),
        (8, 3, 1, (1, 1)), (8, 5, 1, (2, 2)), (1, 3, 2, (1, 1)), (1, 5, 2, (2, 2)),
        (2, 3, 2, (0, 1)), (8, 1, 2, (0, 0)),
    ],
)  # fmt: skip
def test_padding_equals_tensorflows(size, side, stride, expected):
    assert same_padding(size, side, stride) == expected


def random_layers(side, *, expands=True):
    inner = 48 if expands else 12
    expand = (torch.randn(inner, 12, 1, 1), torch.randn(inner)) if expands else (None, None)
    return Bottleneck(
        *expand,
        torch.randn(inner, 1, side, side) / side, torch.randn(inner),
        torch.randn(20, inner, 1, 1), torch.randn(20),
    )  # fmt: skip


def written_out(x, layers, stride):
    if layers.expand is not None:
        x = F.relu6(F.conv2d(x, layers.expand, layers.expand_bias))
    side = layers.depthwise.shape[2]
    top, bottom, left, right = (
        part for length in x.shape[2:] for part in same_padding(length, side, stride)
    )
    padded = F.pad(x, (left, right, top, bottom))
    groups = len(layers.depthwise)
    x = F.conv2d(padded, layers.depthwise, layers.depthwise_bias, stride, groups=groups)
    return F.conv2d(F.relu6(x), layers.project, layers.project_bias)


def to_leaves(parts, dtype):
    return [None if part is None else part.to(dtype).requires_grad_() for part in parts]


# Few and many pixels; even, odd, and mixed; smaller than a kernel.
SIZES = [(8, 8), (7, 12), (12, 7), (5, 5), (2, 1), (1, 1), (40, 33)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("side", "stride"), [*itertools.product((3, 5), (1, 2))])
@pytest.mark.parametrize("expands", [True, False], ids=["expanded", "not expanded"])
def test_outputs_and_gradients_equal_those_of_autograd(expands, side, stride, size):
    torch.manual_seed(0)
    x, layers = torch.randn(2, 12, *size), random_layers(side, expands=expands)
    exact = to_leaves((x, *layers), torch.float64)
    expected = written_out(exact[0], Bottleneck(*exact[1:]), stride)
    ours = to_leaves((x.contiguous(memory_format=torch.channels_last), *layers), torch.float32)
    actual = inverted_bottleneck(ours[0], Bottleneck(*ours[1:]), stride)
    scale = expected.abs().max()
    torch.testing.assert_close(actual / scale, (expected / scale).float(), atol=1e-5, rtol=0)
    with torch.no_grad():
        for maps in (x, x.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(bottleneck_function(layers, stride)(maps), actual)
    slope = torch.randn_like(actual)
    leaves, exact = ([part for part in parts if part is not None] for parts in (ours, exact))
    grads = torch.autograd.grad(expected, exact, slope.double())
    for found, other in zip(torch.autograd.grad(actual, leaves, slope), grads, strict=True):
        scale = other.abs().max()
        torch.testing.assert_close(found / scale, (other / scale).float(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("learned", range(7))
def test_each_gradient_can_be_computed_alone(learned):
    torch.manual_seed(0)
    parts = [torch.randn(1, 12, 9, 9), *random_layers(3)]
    everything = [part.clone().requires_grad_() for part in parts]
    expected = inverted_bottleneck(everything[0], Bottleneck(*everything[1:]), 2)
    expected.square().sum().backward()
    parts[learned].requires_grad_()
    inverted_bottleneck(parts[0], Bottleneck(*parts[1:]), 2).square().sum().backward()
    torch.testing.assert_close(parts[learned].grad, everything[learned].grad)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="needs bfloat16 in hardware"
)
def test_autocast_computes_in_bfloat16():
    torch.manual_seed(0)
    x, layers = torch.randn(2, 12, 24, 24), random_layers(5)
    expected = written_out(x, layers, 1)
    ours = to_leaves((x, *layers), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert has_fast_bottleneck(x)
        actual = inverted_bottleneck(ours[0], Bottleneck(*ours[1:]), 1)
    assert actual.dtype == torch.bfloat16
    assert (actual.float() - expected).norm() < 0.02 * expected.norm()
    actual.float().square().sum().backward()
    assert all(part.grad.dtype == torch.float32 and part.grad.any() for part in ours)


def test_other_dtypes_and_compilers_take_pytorchs_operators():
    x = torch.randn(1, 12, 8, 8)
    assert has_fast_bottleneck(x) and not has_fast_bottleneck(x.double())
    assert not has_fast_bottleneck(x.to("meta"))
