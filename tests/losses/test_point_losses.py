"""Losses that keep little give the numbers and gradients of those that keep all."""

import pytest
import torch

from unimask.losses.mask_losses import binary_loss, dice_loss
from unimask.losses.point_losses import point_losses


def example(masks, dtype=torch.float64):
    generator = torch.Generator().manual_seed(masks)
    logits = torch.randn(masks, 40, generator=generator, dtype=dtype).requires_grad_()
    known = (torch.rand(masks, 40, generator=generator, dtype=dtype) > 0.2).to(dtype)
    truth = torch.rand(masks, 40, generator=generator, dtype=dtype) * known
    return logits, truth, known


@pytest.mark.parametrize("masks", [0, 1, 5])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (5.0, -2.0)])
def test_numbers_and_gradients_are_the_plain_ones(masks, weights):
    logits, truth, known = example(masks)
    expected = binary_loss(logits, truth, known), dice_loss(logits, truth, known)
    found = point_losses(logits, truth, known)
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(weights[0] * both[0] + weights[1] * both[1], logits)[0]
        for both in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_gradients_are_those_of_differences():
    logits, truth, known = example(2)
    torch.autograd.gradcheck(lambda x: point_losses(x, truth, known), logits)


def test_a_loss_that_nobody_weighs_has_no_say():
    logits, truth, known = example(3)
    (alone,) = torch.autograd.grad(point_losses(logits, truth, known)[0], logits)
    (expected,) = torch.autograd.grad(binary_loss(logits, truth, known), logits)
    torch.testing.assert_close(alone, expected)


def test_it_keeps_logits_and_truth_alone():
    kept = []
    logits, truth, known = example(4)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        point_losses(logits, truth, known)
    assert kept == [truth.shape, truth.shape, known.shape]
