"""The packed product against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F

from unimask.kernels.linear import packs, ready_linear

MEANING = {"none": lambda x: x, "relu": torch.relu, "gelu": F.gelu}


def example(dtype, rows=(3, 37), inputs=24, outputs=40):
    generator = torch.Generator().manual_seed(0)
    draw = [
        torch.randn(*shape, generator=generator).to(dtype)
        for shape in ((*rows, inputs), (outputs, inputs), (outputs,))
    ]
    return draw[0], draw[1] / 5, draw[2]


@pytest.mark.parametrize("activation", MEANING)
@pytest.mark.parametrize("biased", [True, False], ids=["biased", "unbiased"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [(), (1,), (3, 37), (5000,)])
def test_without_gradients_the_numbers_are_those_of_pytorch(activation, biased, dtype, rows):
    x, weight, bias = example(dtype, rows)
    bias = bias if biased else None
    with torch.no_grad():
        found = ready_linear(weight, bias, activation)(x)
        expected = MEANING[activation](F.linear(x, weight, bias))
    close = {"atol": 0.05, "rtol": 0.02} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found, expected, **close)


@pytest.mark.parametrize("activation", MEANING)
def test_gradients_flow(activation):
    inputs = [tensor.double().requires_grad_() for tensor in example(torch.float64, rows=(4,))]
    assert torch.autograd.gradcheck(lambda x, w, b: ready_linear(w, b, activation)(x), inputs)


def test_a_strided_input_is_read_as_it_lies():
    x, weight, bias = example(torch.float32, rows=(24, 37))
    x = x.transpose(0, 2)
    with torch.no_grad():
        found = ready_linear(weight[:, :24], bias)(x)
    torch.testing.assert_close(found, F.linear(x, weight[:, :24], bias))


def test_only_what_needs_no_gradients_is_packed():
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    assert not packs(weight) and not packs(weight.double())
    with torch.no_grad():
        assert packs(weight) and packs(weight.bfloat16()) and not packs(weight.double())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not packs(weight)
