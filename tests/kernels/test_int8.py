"""Products and convolutions in int8 equal exact integer arithmetic on the same rounded values."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unimask.errors import CheckpointError, SettingsError
from unimask.kernels.int8 import (
    Int8Convolution,
    Int8Linear,
    chained,
    find_int8_obstacle,
    quantize,
    quantize_weight,
)

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    find_int8_obstacle(CPU) is not None, reason="needs a processor with AVX-512 VNNI"
)
ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "relu6": F.relu6, "gelu": F.gelu}


@pytest.fixture(autouse=True)
def inference():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def integers(x: torch.Tensor) -> torch.Tensor:
    """Return quantized activations as integers with zero at zero."""
    values, (_, zero_point) = quantize(x)
    return values.long() - zero_point


def reference_linear(x, weight, bias, activation):
    """Multiply the integers exactly, then scale, add the bias and activate in float64."""
    values, scales = quantize_weight(weight)
    sums = integers(x) @ values.long().T
    real = sums.double() * quantize(x).range.scale * scales.double() + bias.double()
    return ACTIVATIONS[activation](real)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 50])
def test_linear_equals_exact_integer_arithmetic(activation, rows):
    x, weight, bias = torch.randn(rows, 40) + 0.5, torch.randn(24, 40), torch.randn(24)
    out = Int8Linear(weight, bias, activation)(x)
    expected = reference_linear(x, weight, bias, activation)
    assert out.dtype == torch.float32
    torch.testing.assert_close(
        out.double(), expected, rtol=0, atol=1e-5 * float(expected.std() + 1)
    )


def test_largest_values_do_not_saturate():
    x, weight = torch.full((3, 512), 5.0), torch.full((8, 512), -2.0)
    x[:, ::2], weight[:, ::2] = -5.0, 2.0
    out = Int8Linear(weight, None, "none")(x)
    torch.testing.assert_close(out, torch.full_like(out, -5120.0), rtol=0.01, atol=0)


@pytest.mark.parametrize(
    ("side", "stride", "padding", "dilation"), [(1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 1, 1),
                                                (3, 2, 1, 1), (3, 1, 2, 2), (7, 2, 3, 1)]
)  # fmt: skip
def test_convolution_equals_exact_integer_arithmetic(side, stride, padding, dilation):
    layer = nn.Conv2d(20, 12, side, stride, padding, dilation)
    x = torch.randn(2, 20, 9, 11) + 0.5  # zero, and so the padding, is not the middle of the range
    values, scales = quantize_weight(layer.weight)
    sums = F.conv2d(
        integers(x).double(), values.double(), None, stride, padding, dilation
    )  # exact: the sums are far below 2**53
    expected = sums * quantize(x).range.scale * scales.double()[:, None, None]
    assert layer.bias is not None
    expected = expected + layer.bias.double()[:, None, None]
    out = Int8Convolution(layer, layer.weight, layer.bias)(x)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_hidden_activations_of_8_bits_cost_little_accuracy(activation):
    x = torch.randn(2, 300, 32)
    first, second = nn.Linear(32, 64), nn.Linear(64, 32)
    exact = second(ACTIVATIONS[activation](first(x)))
    pair = (
        Int8Linear(first.weight, first.bias, activation),
        Int8Linear(second.weight, second.bias, "none"),
    )
    assert (chained(*pair)(x) - exact).std() <= 0.02 * exact.std()


@pytest.mark.parametrize("x", [torch.zeros(4, 5), torch.full((4, 5), 3.0), -torch.rand(4, 5)])
def test_quantized_values_are_within_a_step_and_zero_is_exact(x):
    values, (scale, zero_point) = quantize(x)
    real = (values.double() - zero_point) * scale
    assert 0 <= zero_point <= 255
    assert (real - x).abs().max() <= 0.51 * scale
    assert (real[x == 0] == 0).all()


def test_large_maps_are_quantized_like_small_ones():
    x = torch.randn(700, 800)
    values, (scale, zero_point) = quantize(x)
    expected = (x.double() / scale + zero_point + 0.5).floor()
    assert (values.double() - expected).abs().max() <= 1  # ties round either way in float32
    assert (values.double() != expected).float().mean() <= 1e-3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(CheckpointError, match="not finite"):
        quantize(torch.tensor([1.0, value]))


def test_gradients_are_refused():
    layer = Int8Linear(torch.randn(4, 8), None, "none")
    with torch.enable_grad(), pytest.raises(SettingsError, match="no gradients"):
        layer(torch.randn(2, 8))


def test_other_devices_are_refused():
    assert "CPUs only" in (find_int8_obstacle(torch.device("cuda")) or "")
