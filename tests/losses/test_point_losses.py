"""Memory-saving losses have the values and gradients of the reference."""

import pytest
import torch

from unimask.losses.mask_losses import binary_loss, dice_loss
from unimask.losses.point_losses import point_losses


def example(masks, dtype=torch.float64):
    generator = torch.Generator().manual_seed(masks)
    logits = torch.randn(masks, 40, generator=generator, dtype=dtype).requires_grad_()
    known = (torch.rand(masks, 40, generator=generator, dtype=dtype) > 0.2).to(dtype)
    ground_truth = torch.rand(masks, 40, generator=generator, dtype=dtype) * known
    return logits, ground_truth, known


@pytest.mark.parametrize("masks", [0, 1, 5])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (5.0, -2.0)])
def test_values_and_gradients_equal_the_reference(masks, weights):
    logits, ground_truth, known = example(masks)
    mask, dice = binary_loss(logits, ground_truth, known), dice_loss(logits, ground_truth, known)
    expected = weights[0] * mask + weights[1] * dice
    actual = point_losses(logits, ground_truth, known, weights)
    torch.testing.assert_close(tuple(actual), (expected, mask, dice))
    assert not actual.mask.requires_grad and not actual.dice.requires_grad
    pairs = (torch.autograd.grad(3 * loss, logits)[0] for loss in (actual.weighted, expected))
    torch.testing.assert_close(*pairs)


def test_gradients_equal_finite_differences():
    logits, ground_truth, known = example(2)
    weighted = lambda x: point_losses(x, ground_truth, known, (5.0, 2.0)).weighted  # noqa: E731
    assert torch.autograd.gradcheck(weighted, logits)


def test_only_the_gradient_is_saved_for_backward():
    logits, ground_truth, known = example(4)
    actual = point_losses(logits, ground_truth, known, (5.0, 5.0))
    assert [saved.shape for saved in actual.weighted.grad_fn.saved_tensors] == [logits.shape]


def test_without_gradients_nothing_is_saved_for_backward():
    logits, ground_truth, known = example(3)
    with torch.no_grad():
        actual = point_losses(logits, ground_truth, known, (5.0, 5.0))
    assert not actual.weighted.requires_grad
    torch.testing.assert_close(actual.mask, binary_loss(logits.detach(), ground_truth, known))
