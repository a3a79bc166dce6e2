"""Every path against the definition, and the definition against sampling by hand."""

import pytest
import torch

from unimask.kernels.deformable_attention import (
    deformable_attention,
    deformable_attention_gather,
    deformable_attention_reference,
)

SHAPES = [(2, 3), (4, 5), (7, 1)]
PATHS = [deformable_attention_gather, deformable_attention_reference, deformable_attention]


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


@pytest.mark.parametrize("path", PATHS)
def test_values_and_gradients_are_those_of_the_definition(path):
    results = []
    for function in (deformable_attention_reference, path):
        inputs = [tensor.requires_grad_() for tensor in example()]
        value, locations, weights = inputs
        out = function(value, SHAPES, locations, weights)
        results.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_gradients_pass_gradcheck(path):
    value, locations, weights = (
        tensor.requires_grad_() for tensor in example(torch.float64, 1, 2, 1, 2, 2)
    )
    assert torch.autograd.gradcheck(
        lambda v, x, w: path(v, SHAPES, x, w), (value, locations, weights)
    )


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("path", PATHS)
def test_half_precision_stays_close(path, dtype, autocast):
    inputs = [tensor.requires_grad_() for tensor in example()]
    expected = deformable_attention_reference(inputs[0], SHAPES, *inputs[1:])
    expected = (expected, *torch.autograd.grad(expected.sum(), inputs))
    value, locations, weights = inputs
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        found = path(value.to(dtype), SHAPES, locations, weights.to(dtype))
    assert found.dtype == dtype
    found = (found, *torch.autograd.grad(found.float().sum(), inputs))
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.float(), exact, atol=0.05, rtol=0.03)


@pytest.mark.parametrize("path", PATHS)
def test_points_on_and_beyond_the_edges_have_the_gradients_of_sampling(path):
    """Every column from far left to far right, at places between the kinks of bilinear sampling."""
    w = SHAPES[1][1]
    columns = (torch.arange(-4, w + 4) + 0.3).double()
    x = ((columns + 0.5) / w)[None, :, None, None, None].repeat(1, 1, 2, 3, 1)
    locations = torch.stack([x, torch.full_like(x, 0.6)], dim=-1).requires_grad_()
    value = example(torch.float64, pictures=1)[0]
    weights = torch.ones_like(x)
    expected = deformable_attention_reference(value, SHAPES, locations, weights)
    found = path(value, SHAPES, locations, weights)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(out.cos().sum(), locations)[0] for out in (found, expected)]
    torch.testing.assert_close(*slopes)
    assert not slopes[0][:, [0, -1], :, 1].any()


@pytest.mark.parametrize("far", [1e4, 1e30, float("inf")])
def test_points_far_away_read_zero(far):
    value, locations, weights = example()
    for away in (far, -far):
        found = deformable_attention(value, SHAPES, torch.full_like(locations, away), weights)
        assert not found.any()


@pytest.mark.parametrize("path", PATHS)
def test_a_location_that_is_not_a_number_spoils_its_own_query_alone(path):
    """A diverged step must be seen as not finite and skipped, not end in a crash."""
    value, locations, weights = example(heads=1)  # with even heads, overflow wraps to row 0
    expected = deformable_attention_reference(value, SHAPES, locations, weights)
    locations[0, 2, ..., 0] = float("nan")
    inputs = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    found = path(value, SHAPES, *inputs[1:])
    assert found[0, 2].isnan().all()
    torch.testing.assert_close(found[1], expected[1])
    torch.testing.assert_close(found[0, 3:], expected[0, 3:])
    found.sum().backward()
    assert weights.grad[0, 2].isnan().all() and weights.grad[1].isfinite().all()


def test_inputs_need_not_be_contiguous():
    value, locations, weights = example()
    expected = deformable_attention_reference(value, SHAPES, locations, weights)
    value = value.transpose(2, 3).contiguous().transpose(2, 3)
    locations = locations.flip(-1).contiguous().flip(-1).transpose(1, 2).contiguous()
    found = deformable_attention(value, SHAPES, locations.transpose(1, 2), weights)
    torch.testing.assert_close(found, expected)


def test_inputs_are_left_as_they_were():
    inputs = example()
    copies = [tensor.clone() for tensor in inputs]
    found = deformable_attention(inputs[0].requires_grad_(), SHAPES, *inputs[1:])
    found.sum().backward()
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor, copy)
