"""Losses of clips, against their definition frame by frame."""

import pytest
import torch
import torch.nn.functional as F
from losses.test_criterion import FixedPoints
from scipy.optimize import linear_sum_assignment

from unimask.config import CriterionConfig
from unimask.losses import Criterion
from unimask.losses.points import sample_logits_shared
from unimask.outputs import (
    FactoredOutput,
    LayerPrediction,
    MaskFactors,
    SegmenterOutput,
    Target,
)

CLIPS, FRAMES, QUERIES, CLASSES, LAYERS, DIM = 2, 3, 5, 4, 2, 6
SIZE = (6, 8)
CONFIG = CriterionConfig(num_points=40)


def example(seed: int, objects: tuple[int, ...]) -> tuple[FactoredOutput, list[Target]]:
    """Return random factors of clips, and objects of which some are hidden in some frames."""
    random = torch.Generator().manual_seed(seed)
    embed = torch.randn(CLIPS, LAYERS * QUERIES, DIM, generator=random, dtype=torch.double)
    bias = torch.randn(CLIPS, LAYERS * QUERIES, 1, generator=random, dtype=torch.double)
    features = torch.randn(CLIPS * FRAMES, DIM, *SIZE, generator=random, dtype=torch.double)
    classes = torch.randn(LAYERS, CLIPS, QUERIES, CLASSES + 1, generator=random)
    factors = MaskFactors(
        embed.repeat_interleave(FRAMES, 0).requires_grad_(),
        bias.repeat_interleave(FRAMES, 0),
        features.contiguous(memory_format=torch.channels_last).requires_grad_(),
    )
    targets = []
    for count in objects:
        labels = torch.randint(CLASSES, (count,), generator=random)
        for _ in range(FRAMES):
            masks = torch.rand(count, 24, 32, generator=random) < 0.4
            visible = torch.rand(count, 1, 1, generator=random) < 0.7
            targets.append(Target(labels, masks & visible))
    return FactoredOutput(tuple(classes.double()), factors), targets


def whole_masks(output: FactoredOutput) -> list[torch.Tensor]:
    """Multiply the factors to the masks (b, q, t, h, w) of each layer."""
    factors = output.masks
    masks = torch.einsum("nqc,nchw->nqhw", factors.embed, factors.features)
    masks = (masks + factors.bias[..., None]).unflatten(0, (CLIPS, FRAMES))
    return [part.transpose(1, 2) for part in masks.chunk(LAYERS, dim=2)]


def losses_by_definition(output: FactoredOutput, targets: list[Target], points) -> torch.Tensor:
    """Sum the losses as `mask2former_video/modeling/{matcher,criterion}.py` define them."""
    total, objects = (
        torch.zeros(()).double(),
        sum(len(target.labels) for target in targets[::FRAMES]),
    )
    weight = torch.tensor([1.0] * CLASSES + [CONFIG.no_object_weight]).double()
    for classes, masks in zip(output.class_logits, whole_masks(output), strict=True):
        labels = torch.full((CLIPS, QUERIES), CLASSES)
        for clip in range(CLIPS):
            own = targets[clip * FRAMES : (clip + 1) * FRAMES]
            points_of = lambda maps: torch.stack(  # noqa: E731
                [sample_logits_shared(m.double(), points.double()) for m in maps], dim=1
            )
            truth = points_of([target.masks for target in own])
            logits = points_of(masks[clip].unbind(1))
            probs = classes[clip].softmax(-1)
            cost = torch.zeros(QUERIES, len(truth))
            for q in range(QUERIES):
                for n in range(len(truth)):
                    x, t = logits[q].flatten(), truth[n].flatten()
                    cost[q, n] = -2 * probs[q, own[0].labels[n]] + 5 * bce(x, t) + 5 * dice(x, t)
            for q, n in zip(*linear_sum_assignment(cost.detach()), strict=True):
                labels[clip, q] = own[0].labels[n]
                for frame in range(FRAMES):
                    pair = logits[q, frame], truth[n, frame]
                    total += (5 * bce(*pair) + 5 * dice(*pair)) / objects
        total += 2 * F.cross_entropy(classes.transpose(1, 2), labels, weight)
    return total


def bce(x, t):
    return F.binary_cross_entropy_with_logits(x, t)


def dice(x, t):
    p = x.sigmoid()
    return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)


@pytest.mark.parametrize(("seed", "objects"), [(0, (2, 3)), (1, (1, 0)), (2, (4, 6))])
@pytest.mark.parametrize("factored", [True, False])
def test_losses_of_clips_equal_their_definition(seed, objects, factored):
    output, targets = example(seed, objects)
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(seed))
    expected = losses_by_definition(output, targets, points)
    given: FactoredOutput | SegmenterOutput = output
    if not factored:
        *earlier, last = map(LayerPrediction, output.class_logits, whole_masks(output))
        given = SegmenterOutput(*last, auxiliary=tuple(earlier))
    losses = Criterion(CLASSES, CONFIG)(given, targets, sampler=FixedPoints(points))
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-5)
    leaves = (output.masks.embed, output.masks.features)
    ours = torch.autograd.grad(losses.total, leaves, retain_graph=True)
    theirs = torch.autograd.grad(expected, leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_cells_of_all_frames_are_compared():
    output, targets = example(3, (2, 2))
    config = CriterionConfig(num_points=40, matching="cells")
    losses = Criterion(CLASSES, config)(output, targets)
    assert torch.isfinite(losses.total)
