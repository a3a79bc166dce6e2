"""The loss of per-pixel classification is the cross entropy of resized scores."""

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_PER_PIXEL, TINY_PER_PIXEL_PLUS

from unimask.config import CriterionConfig
from unimask.errors import SettingsError
from unimask.losses import PixelCriterion, build_criterion
from unimask.outputs import LayerPrediction, SegmenterOutput, Target

CLASSES = 4


def example(seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(2, CLASSES, 6, 8, generator=generator)
    classes = torch.randint(CLASSES, (2, 24, 32), generator=generator)
    ignored = torch.zeros(2, 24, 32, dtype=torch.bool)
    ignored[1, 8:20, 4:24] = True
    return scores, classes, ignored


def output_from_scores(scores):
    return SegmenterOutput(torch.zeros(2, CLASSES, CLASSES + 1), scores.log_softmax(1))


def targets_of(classes, ignored, shown=range(CLASSES)):
    return [
        Target(torch.tensor(list(shown)), torch.stack([row == k for k in shown]), void)
        for row, void in zip(classes, ignored, strict=True)
    ]


def test_it_is_the_cross_entropy_of_resized_scores():
    """The network returns log-probabilities; the loss is that of its raw scores."""
    scores, classes, ignored = example()
    losses = PixelCriterion()(
        output_from_scores(scores), targets_of(classes, torch.zeros_like(ignored))
    )
    full = F.interpolate(scores.double(), (24, 32), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(full, classes)
    torch.testing.assert_close(losses.total.double(), expected, rtol=1e-5, atol=0)
    assert losses.class_loss == losses.total and losses.mask_loss == losses.dice_loss == 0


def test_ignored_and_unlabelled_pixels_do_not_count():
    scores, classes, ignored = example()
    corrupted = scores.clone()
    corrupted[1, :, 2:5, 1:6] = 50 * torch.randn(CLASSES, 3, 5)
    criterion = PixelCriterion()
    before, after = (
        criterion(output_from_scores(s), targets_of(classes, ignored)) for s in (scores, corrupted)
    )
    assert torch.equal(before.total, after.total)
    unlabelled_classes = classes.masked_fill(ignored, CLASSES)  # no mask holds these pixels
    unlabelled = criterion(
        output_from_scores(corrupted), targets_of(unlabelled_classes, torch.zeros_like(ignored))
    )
    assert torch.equal(unlabelled.total, before.total)


def test_fully_ignored_images_have_zero_loss_and_gradients():
    scores, classes, ignored = example()
    scores.requires_grad_()
    losses = PixelCriterion()(
        output_from_scores(scores), targets_of(classes, torch.ones_like(ignored))
    )
    losses.total.backward()
    assert losses.total == 0 and scores.grad.abs().sum() == 0


def test_every_layer_counts_and_the_last_is_read():
    scores, classes, ignored = example()
    targets = targets_of(classes, ignored)
    alone = [
        PixelCriterion()(output_from_scores(each), targets).total for each in (scores, 2 * scores)
    ]
    earlier = LayerPrediction(*output_from_scores(2 * scores)[:2])
    losses = PixelCriterion()(output_from_scores(scores)._replace(auxiliary=(earlier,)), targets)
    torch.testing.assert_close(losses.total, alone[0] + alone[1])
    assert losses.class_loss == alone[0]


@pytest.mark.parametrize("network", [TINY_PER_PIXEL, TINY_PER_PIXEL_PLUS])
def test_no_other_loss_fits(network):
    assert isinstance(build_criterion(network), PixelCriterion)
    with pytest.raises(SettingsError, match="one loss"):
        build_criterion(network, CriterionConfig())
