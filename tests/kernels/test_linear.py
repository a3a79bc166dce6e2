"""The prepacked linear layer against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.linear import product, product_of_sum
from unimask.kernels.linear.prepacked import can_prepack

ACTIVATIONS = {"none": lambda x: x, "relu": torch.relu, "gelu": F.gelu}


def example(dtype, rows=(3, 37), inputs=24, outputs=40):
    generator = torch.Generator().manual_seed(0)
    draw = [
        torch.randn(*shape, generator=generator).to(dtype)
        for shape in ((*rows, inputs), (outputs, inputs), (outputs,))
    ]
    return draw[0], draw[1] / 5, draw[2]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biased", [True, False], ids=["biased", "unbiased"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [(), (1,), (3, 37), (5000,)])
def test_without_gradients_values_equal_pytorch(activation, biased, dtype, rows):
    x, weight, bias = example(dtype, rows)
    bias = bias if biased else None
    with torch.no_grad():
        actual = product(weight, bias, activation)(x)
        expected = ACTIVATIONS[activation](F.linear(x, weight, bias))
    close = {"atol": 0.05, "rtol": 0.02} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(actual, expected, **close)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_equal_those_of_pytorch_modules(activation):
    inputs = [tensor.double().requires_grad_() for tensor in example(torch.float64, rows=(4,))]
    assert torch.autograd.gradcheck(lambda x, w, b: product(w, b, activation)(x), inputs)


def test_strided_inputs_are_read_without_a_copy():
    x, weight, bias = example(torch.float32, rows=(24, 37))
    x = x.transpose(0, 2)
    with torch.no_grad():
        actual = product(weight[:, :24], bias)(x)
    torch.testing.assert_close(actual, F.linear(x, weight[:, :24], bias))


def test_only_what_needs_no_gradients_is_prepacked():
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    assert not can_prepack(weight) and not can_prepack(weight.double())
    with torch.no_grad():
        assert (
            can_prepack(weight)
            and can_prepack(weight.bfloat16())
            and not can_prepack(weight.double())
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not can_prepack(weight)


@pytest.mark.parametrize("biased", [True, False], ids=["biased", "unbiased"])
@pytest.mark.parametrize("rows", [(2, 5), (2, 700)], ids=["few", "many"])
@pytest.mark.parametrize("sizes", [(24, 40), (40, 24)], ids=str)
def test_gradients_equal_those_of_pytorch(biased, rows, sizes):
    inputs = [tensor.requires_grad_() for tensor in example(torch.float32, rows, *sizes)]
    inputs = inputs if biased else inputs[:2]
    actual, expected = product(*[*inputs[1:], None][:2])(inputs[0]), F.linear(*inputs)
    torch.testing.assert_close(actual, expected)
    weights = torch.randn(actual.shape)
    pairs = (torch.autograd.grad(out, inputs, weights) for out in (actual, expected))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


def test_gradients_of_a_sum_do_not_save_it():
    x, weight, bias = (t.requires_grad_() for t in example(torch.float64, (2, 5)))
    added = torch.randn(5, 24, dtype=torch.float64, requires_grad=True)
    inputs = [x, added, weight, bias]

    def summed(x, added, weight, bias):
        return product_of_sum(weight, bias)(x, added)

    torch.testing.assert_close(summed(*inputs), F.linear(x + added, weight, bias))
    assert torch.autograd.gradcheck(summed, inputs)


def test_autocast_products_are_half_and_gradients_float32():
    x, weight, bias = (t.requires_grad_() for t in example(torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = product(weight, bias)(x)
    assert actual.dtype == torch.bfloat16
    pairs = (torch.autograd.grad(out.sum(), [x, weight]) for out in (actual, F.linear(x, weight)))
    for one, other in zip(*pairs, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.02)


def test_compilers_and_transforms_trace_standard_operators():
    x, weight, bias = example(torch.float32)
    gradient = torch.func.grad(lambda weight: product(weight, bias)(x).sum())(weight)
    torch.testing.assert_close(gradient, x.sum((0, 1)).expand(40, -1))
