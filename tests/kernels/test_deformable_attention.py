"""Every path against the definition, and the definition against sampling by hand."""

import pytest
import torch

from unimask.kernels.deformable_attention import (
    deformable_attention,
    deformable_attention_gather,
    deformable_attention_reference,
    gather,
)

SHAPES = [(2, 3), (4, 5), (7, 1)]
PATHS = [deformable_attention_gather, deformable_attention_reference, deformable_attention]


def example(dtype=torch.float32, pictures=2, queries=6, heads=2, channels=4, points=3):
    generator = torch.Generator().manual_seed(0)
    positions = sum(h * w for h, w in SHAPES)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    value = draw(pictures, positions, heads, channels)
    centres = torch.rand(queries, 2, generator=generator, dtype=dtype)
    # Some points lie outside, where everything is zero.
    offsets = 2 * draw(pictures, queries, heads, len(SHAPES), points, 2)
    logits = draw(pictures, queries, heads, len(SHAPES), points)
    return value, centres, offsets, logits


def by_hand(value, centres, offsets, logits):
    """One sample at a time."""
    pictures, _, heads, channels = value.shape
    queries, points = offsets.shape[1], offsets.shape[4]
    weights = logits.flatten(3).softmax(-1).view(logits.shape)
    out = torch.zeros(pictures, queries, heads, channels, dtype=value.dtype)
    for b, q, m, p in torch.cartesian_prod(*map(torch.arange, (pictures, queries, heads, points))):
        start = 0
        for level, (h, w) in enumerate(SHAPES):
            maps = value[b, start : start + h * w, m].view(h, w, channels)
            x, y = centres[q] * torch.tensor([w, h]) + offsets[b, q, m, level, p] - 0.5
            for i in (int(y.floor()), int(y.floor()) + 1):
                for j in (int(x.floor()), int(x.floor()) + 1):
                    if 0 <= i < h and 0 <= j < w:
                        share = (1 - (y - i).abs()) * (1 - (x - j).abs())
                        out[b, q, m] += weights[b, q, m, level, p] * share * maps[i, j]
            start += h * w
    return out.flatten(2)


def attend(function, inputs):
    value, *others = inputs
    return function(value, SHAPES, *others)


def learning(inputs):
    """Ask for the gradients of all but the centres."""
    value, centres, offsets, logits = inputs
    return [value.requires_grad_(), centres, offsets.requires_grad_(), logits.requires_grad_()]


def gradients(out, inputs):
    return torch.autograd.grad(out, [tensor for tensor in inputs if tensor.requires_grad])


def test_the_definition_is_bilinear_sampling():
    inputs = example(torch.float64)
    torch.testing.assert_close(attend(deformable_attention_reference, inputs), by_hand(*inputs))


@pytest.mark.parametrize("path", PATHS)
def test_values_and_gradients_are_those_of_the_definition(path):
    results = []
    for function in (deformable_attention_reference, path):
        inputs = learning(example())
        out = attend(function, inputs)
        results.append((out, *gradients(out.square().sum(), inputs)))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_gradients_pass_gradcheck(path):
    value, centres, offsets, logits = learning(example(torch.float64, 1, 2, 1, 2, 2))
    assert torch.autograd.gradcheck(
        lambda v, x, w: path(v, SHAPES, centres, x, w), (value, offsets, logits)
    )


def test_many_blocks_give_what_one_does(monkeypatch):
    inputs = example()
    whole = attend(deformable_attention_gather, inputs)
    monkeypatch.setattr(gather, "BLOCK", 1)
    assert torch.equal(attend(deformable_attention_gather, inputs), whole)


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("path", PATHS)
def test_half_precision_stays_close(path, dtype, autocast):
    inputs = learning(example())
    expected = attend(deformable_attention_reference, inputs)
    expected = (expected, *gradients(expected.sum(), inputs))
    value, centres, offsets, logits = inputs
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        found = path(value.to(dtype), SHAPES, centres, offsets, logits.to(dtype))
    assert found.dtype == dtype
    found = (found, *gradients(found.float().sum(), inputs))
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.float(), exact, atol=0.05, rtol=0.03)


@pytest.mark.parametrize("path", PATHS)
def test_points_on_and_beyond_the_edges_have_the_gradients_of_sampling(path):
    """Every column from far left to far right, at places between the kinks of bilinear sampling."""
    w = SHAPES[1][1]
    columns = (torch.arange(-4, w + 4) + 0.3).double()
    x = (columns + 0.5)[None, :, None, None, None].repeat(1, 1, 2, 3, 1)
    offsets = torch.stack([x, torch.full_like(x, 0.6)], dim=-1).requires_grad_()
    value = example(torch.float64, pictures=1)[0]
    inputs = [value, torch.zeros(len(columns), 2).double(), offsets, torch.ones_like(x)]
    expected, found = attend(deformable_attention_reference, inputs), attend(path, inputs)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(out.cos().sum(), offsets)[0] for out in (found, expected)]
    torch.testing.assert_close(*slopes)
    assert not slopes[0][:, [0, -1], :, 1].any()


@pytest.mark.parametrize("far", [1e4, 1e30, float("inf")])
def test_points_far_away_read_zero(far):
    value, centres, offsets, logits = example()
    for away in (far, -far):
        inputs = value, centres, torch.full_like(offsets, away), logits
        assert not attend(deformable_attention, inputs).any()


def test_attention_survives_large_logits():
    value, centres, offsets, logits = example()
    logits = logits * 1e4
    expected = attend(deformable_attention_reference, (value, centres, offsets, logits))
    found = attend(deformable_attention_gather, (value, centres, offsets, logits))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("path", PATHS)
def test_a_location_that_is_not_a_number_spoils_its_own_query_alone(path):
    """A diverged step must be seen as not finite and skipped, not end in a crash."""
    inputs = example(heads=1)  # with even heads, overflow wraps to row 0
    expected = attend(deformable_attention_reference, inputs)
    inputs[2][0, 2, ..., 0] = float("nan")
    inputs = learning(inputs)
    found = attend(path, inputs)
    assert found[0, 2].isnan().all()
    torch.testing.assert_close(found[1], expected[1])
    torch.testing.assert_close(found[0, 3:], expected[0, 3:])
    found.sum().backward()
    to_logits = inputs[3].grad
    assert to_logits[0, 2].isnan().all() and to_logits[1].isfinite().all()


def test_inputs_need_not_be_contiguous():
    inputs = example()
    expected = attend(deformable_attention_reference, inputs)
    value, centres, offsets, logits = inputs
    value = value.transpose(2, 3).contiguous().transpose(2, 3)
    planes = offsets.movedim(-1, 0).contiguous().movedim(0, -1)
    turned = planes.transpose(1, 2).contiguous().transpose(1, 2)
    for steps in (planes, turned):
        found = attend(deformable_attention, (value, centres, steps, logits))
        torch.testing.assert_close(found, expected)


def test_inputs_are_left_as_they_were():
    inputs = learning(example())
    copies = [tensor.clone() for tensor in inputs]
    attend(deformable_attention, inputs).sum().backward()
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor, copy)
