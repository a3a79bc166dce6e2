"""Every path against the definition, and the definition against sampling by hand."""

import pytest
import torch

from unimask.kernels.deformable_attention import (
    deformable_attention,
    deformable_attention_gather,
    deformable_attention_reference,
)

SHAPES = [(2, 3), (4, 5), (7, 1)]


def example(dtype=torch.float32, pictures=2, queries=6, heads=2, channels=4, points=3):
    generator = torch.Generator().manual_seed(0)
    positions = sum(h * w for h, w in SHAPES)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    value = draw(pictures, positions, heads, channels)
    # Some points lie outside, where everything is zero.
    locations = 0.5 + 0.5 * draw(pictures, queries, heads, len(SHAPES), points, 2)
    weights = draw(pictures, queries, heads, len(SHAPES), points).softmax(-1)
    return value, locations, weights


def by_hand(value, locations, weights):
    """One sample at a time."""
    pictures, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    out = torch.zeros(pictures, queries, heads, channels, dtype=value.dtype)
    for b, q, m, p in torch.cartesian_prod(*map(torch.arange, (pictures, queries, heads, points))):
        start = 0
        for level, (h, w) in enumerate(SHAPES):
            maps = value[b, start : start + h * w, m].view(h, w, channels)
            x, y = locations[b, q, m, level, p] * torch.tensor([w, h]) - 0.5
            for i in (int(y.floor()), int(y.floor()) + 1):
                for j in (int(x.floor()), int(x.floor()) + 1):
                    if 0 <= i < h and 0 <= j < w:
                        share = (1 - (y - i).abs()) * (1 - (x - j).abs())
                        out[b, q, m] += weights[b, q, m, level, p] * share * maps[i, j]
            start += h * w
    return out.flatten(2)


def test_the_definition_is_bilinear_sampling():
    value, locations, weights = example(torch.float64)
    found = deformable_attention_reference(value, SHAPES, locations, weights)
    torch.testing.assert_close(found, by_hand(value, locations, weights))


@pytest.mark.parametrize("path", [deformable_attention_gather, deformable_attention])
def test_values_and_gradients_are_those_of_the_definition(path):
    results = []
    for function in (deformable_attention_reference, path):
        inputs = [tensor.requires_grad_() for tensor in example()]
        value, locations, weights = inputs
        out = function(value, SHAPES, locations, weights)
        results.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_gradients_pass_gradcheck():
    value, locations, weights = (
        tensor.requires_grad_() for tensor in example(torch.float64, 1, 2, 1, 2, 2)
    )
    assert torch.autograd.gradcheck(
        lambda v, x, w: deformable_attention(v, SHAPES, x, w), (value, locations, weights)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(dtype):
    value, locations, weights = example()
    expected = deformable_attention_reference(value, SHAPES, locations, weights)
    found = deformable_attention(value.to(dtype), SHAPES, locations, weights.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
