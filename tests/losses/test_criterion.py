"""Losses against an independent reference in float64."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from unimask.config import CriterionConfig
from unimask.losses import Criterion
from unimask.losses.point_sampler import PointCandidates, PointSampler
from unimask.losses.points import sample_logits_shared
from unimask.outputs import LayerPrediction, SegmenterOutput, Target

CONFIG = CriterionConfig(num_points=50)
CELLS = CriterionConfig(num_points=50, matching="cells")
SMOOTHED = CriterionConfig(num_points=50, matching="cells", dice_smoothing=0.2)
CLASSES, QUERIES = 3, 5


class FixedCandidates(PointCandidates):
    """Candidates of which every mask selects the same points."""

    def select(self, logits):
        return self.others.expand(len(logits), -1, -1)


class FixedPoints(PointSampler):
    """Sampler of the same points for every image and mask."""

    def __init__(self, points):
        self.points = points

    def matching_points(self, device):
        return self.points

    def candidates(self, known, device):
        return FixedCandidates(self.points, None, 0, self.points)


def interpolate(grid: np.ndarray, x: float, y: float) -> float:
    """Compute the bilinear value at a point from 0 to 1, zero outside."""
    height, width = grid.shape
    column, row = x * width - 0.5, y * height - 0.5
    total = 0.0
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * float(grid[i, j])
    return total


def sample_masks(grids, points):
    return np.array([[interpolate(grid, x, y) for x, y in points] for grid in grids])


def cell_means(masks):
    """Average masks over cells of 4 x 4 pixels."""
    count, height, width = masks.shape
    cells = masks.reshape(count, height // 4, 4, width // 4, 4).mean((2, 4))
    return cells.reshape(count, height * width // 16)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def bce(x, t):
    return np.logaddexp(0, x) - x * t


def dice(x, t, fraction=None):
    p, added = 1 / (1 + np.exp(-x)), 1 if fraction is None else fraction * len(x)
    return 1 - (2 * (p * t).sum() + added) / (p.sum() + t.sum() + added)


def reference_losses(layers, targets, points, config=CONFIG):
    """Compute the total and the last layer's terms, matching by exhaustive search."""
    count = max(1, sum(len(target.labels) for target in targets))
    total, terms = 0.0, ()
    for class_logits, mask_logits in layers:
        entropy = weight_sum = mask_sum = dice_sum = 0.0
        for index, target in enumerate(targets):
            probs = softmax(class_logits[index])
            sampled_logits = sample_masks(mask_logits[index], points)
            sampled_truth = sample_masks(target.masks.numpy(), points) if len(target.labels) else []
            labels = target.labels.tolist()
            compared, truth = sampled_logits, sampled_truth
            if config.matching == "cells":
                compared = mask_logits[index].reshape(QUERIES, -1)
                truth = cell_means(target.masks.double().numpy())
            cost = np.array(
                [
                    [
                        -2 * probs[q, labels[n]]
                        + 5 * bce(compared[q], truth[n]).mean()
                        + 5 * dice(compared[q], truth[n], config.dice_smoothing)
                        for n in range(len(labels))
                    ]
                    for q in range(QUERIES)
                ]
            )
            best = min(
                itertools.permutations(range(QUERIES), len(labels)),
                key=lambda queries: sum(cost[q, n] for n, q in enumerate(queries)),
            )
            query_labels = [CLASSES] * QUERIES
            for n, q in enumerate(best):
                query_labels[q] = labels[n]
                mask_sum += bce(sampled_logits[q], sampled_truth[n]).mean()
                dice_sum += dice(sampled_logits[q], sampled_truth[n], config.dice_smoothing)
            for q in range(QUERIES):
                weight = config.no_object_weight if query_labels[q] == CLASSES else 1.0
                entropy -= weight * np.log(probs[q, query_labels[q]])
                weight_sum += weight
        terms = (entropy / weight_sum, mask_sum / count, dice_sum / count)
        headline = 2 * terms[0] + 5 * terms[1] + 5 * terms[2]
        total += headline
    return (total, *terms, headline)


def example(seed, objects=(2, 0, 3), layers=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    images = len(objects)
    layer_values = [
        (
            torch.randn(images, QUERIES, CLASSES + 1, generator=generator, dtype=dtype),
            3 * torch.randn(images, QUERIES, 6, 8, generator=generator, dtype=dtype),
        )
        for _ in range(layers)
    ]
    targets = [
        Target(
            torch.randint(CLASSES, (count,), generator=generator),
            torch.rand(count, 24, 32, generator=generator) > 0.5,
        )
        for count in objects
    ]
    output = SegmenterOutput(
        *layer_values[-1], tuple(LayerPrediction(*layer) for layer in layer_values[:-1])
    )
    return output, targets, layer_values


@pytest.mark.parametrize(
    "config", [CONFIG, CELLS, SMOOTHED], ids=["points", "cells", "cells, smoothed"]
)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objects", [(2, 0, 3), (1,), (0, 0), (5, 5)], ids=str)
def test_losses_equal_the_reference(seed, objects, config):
    output, targets, layers = example(seed, objects)
    points = torch.rand(30, 2, generator=torch.Generator().manual_seed(seed))
    losses = Criterion(CLASSES, config)(output, targets, sampler=FixedPoints(points))
    numbers = [(c.double().numpy(), m.double().numpy()) for c, m in layers]
    expected = reference_losses(numbers, targets, points.double().numpy(), config)
    np.testing.assert_allclose([float(value) for value in losses], expected, rtol=1e-5)


def test_costs_equal_the_reference():
    output, targets, _ = example(0, (4,))
    points = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    criterion = Criterion(CLASSES, CONFIG)
    sampled, _ = criterion.sample_target(targets[0], None, points)
    logits = sample_logits_shared(output.mask_logits[0], points)
    costs = criterion.matcher.costs(output.class_logits[0], logits, sampled)
    probs = softmax(output.class_logits[0].double().numpy())
    sampled_logits = sample_masks(output.mask_logits[0].double().numpy(), points.double().numpy())
    sampled_truth = sample_masks(targets[0].masks.numpy(), points.double().numpy())
    expected = [
        [
            -2 * p[label] + 5 * bce(x, t).mean() + 5 * dice(x, t)
            for label, t in zip(targets[0].labels.tolist(), sampled_truth, strict=True)
        ]
        for p, x in zip(probs, sampled_logits, strict=True)
    ]
    np.testing.assert_allclose(costs.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_query_that_is_not_finite_is_matched_last():
    output, targets, _ = example(0, (4,))
    output.mask_logits[0, 2] = float("nan")
    criterion = Criterion(CLASSES, CONFIG)
    sampler = PointSampler(CONFIG, torch.Generator().manual_seed(0))
    points = sampler.matching_points(torch.device("cpu"))
    sampled, points = criterion.sample_target(targets[0], None, points)
    logits = sample_logits_shared(output.mask_logits[0], points)
    queries, _ = criterion.matcher.match(output.class_logits[0], logits, sampled)
    assert queries.tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("others", "per_process", "expected"), [(4, False, 3.0), (0, False, 0.5), (0, True, 1.0)]
)
def test_masks_are_counted_over_all_processes(others, per_process, expected, monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_backend", lambda: "gloo")
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda count: count.add_(others))
    criterion = Criterion(CLASSES, replace(CONFIG, per_process_means=per_process))
    assert criterion.masks_per_process(2 if others else 0) == expected


def test_batch_loss_is_the_mean_over_images():
    output, targets, _ = example(0, (3, 3))
    points = torch.rand(30, 2)
    criterion, sampler = Criterion(CLASSES, CONFIG), FixedPoints(points)
    together = criterion(output, targets, sampler=sampler)
    alone = [
        criterion(
            SegmenterOutput(output.class_logits[i : i + 1], output.mask_logits[i : i + 1]),
            [targets[i]],
            sampler=sampler,
        )
        for i in range(2)
    ]
    for term in ("mask_loss", "dice_loss", "class_loss"):
        mean = sum(getattr(losses, term) for losses in alone) / 2
        torch.testing.assert_close(getattr(together, term), mean)


@pytest.mark.parametrize("objects", [(0,), (0, 0), (4, 0)], ids=str)
def test_images_without_objects_give_gradients(objects):
    output, targets, layers = example(1, objects)
    for class_logits, mask_logits in layers:
        class_logits.requires_grad_(), mask_logits.requires_grad_()
    losses = Criterion(CLASSES, CONFIG)(output, targets)
    losses.total.backward()
    assert losses.total.isfinite()
    for class_logits, mask_logits in layers:
        assert class_logits.grad.abs().sum() > 0
        assert mask_logits.grad is not None and mask_logits.grad.isfinite().all()


def with_ignored(targets, box):
    top, bottom, left, right = box
    ignored = torch.zeros(24, 32, dtype=torch.bool)
    ignored[top:bottom, left:right] = True
    return [Target(target.labels, target.masks, ignored) for target in targets]


def corrupt_logits(output, box):
    """Corrupt every mask logit whose 4 x 4 pixels are all inside the box."""
    top, bottom, left, right = (side // 4 for side in box)
    corrupted = [
        layer.clone() for layer in (output.mask_logits, *(a.mask_logits for a in output.auxiliary))
    ]
    for logits in corrupted:
        logits[..., top:bottom, left:right] = 50 * torch.randn_like(
            logits[..., top:bottom, left:right]
        )
    auxiliary = tuple(
        LayerPrediction(layer.class_logits, logits)
        for layer, logits in zip(output.auxiliary, corrupted[1:], strict=True)
    )
    return SegmenterOutput(output.class_logits, corrupted[0], auxiliary)


BOX = (8, 20, 4, 24)


def compute_losses(output, targets, config):
    generator = torch.Generator().manual_seed(3)
    return Criterion(CLASSES, config)(output, targets, generator=generator)


@pytest.mark.parametrize("config", [CONFIG, CELLS], ids=["points", "cells"])
@pytest.mark.parametrize("seed", range(3))
def test_ignored_pixels_affect_neither_matching_nor_loss(seed, config):
    output, targets, _ = example(seed)
    targets = with_ignored(targets, BOX)
    before, after = (
        compute_losses(o, targets, config) for o in (output, corrupt_logits(output, BOX))
    )
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("config", [CONFIG, CELLS], ids=["points", "cells"])
def test_ground_truth_at_ignored_pixels_has_no_effect(config):
    output, targets, _ = example(0)
    changed = [Target(target.labels, target.masks.clone()) for target in targets]
    for target in changed:
        target.masks[:, BOX[0] : BOX[1], BOX[2] : BOX[3]] ^= True
    before, after = (
        compute_losses(output, with_ignored(t, BOX), config) for t in (targets, changed)
    )
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_authors_count_ignored_pixels_as_background():
    output, targets, _ = example(0)
    config = CriterionConfig(num_points=50, ignore_void=False)
    plain = compute_losses(output, targets, config)
    with_ignored_pixels = compute_losses(output, with_ignored(targets, BOX), config)
    assert torch.equal(plain.total, with_ignored_pixels.total)
    corrupted = compute_losses(corrupt_logits(output, BOX), with_ignored(targets, BOX), config)
    assert not torch.equal(plain.total, corrupted.total)


@pytest.mark.parametrize("config", [CONFIG, CELLS], ids=["points", "cells"])
def test_an_entirely_ignored_image_can_be_trained_on(config):
    output, targets, _ = example(0)
    losses = compute_losses(output, with_ignored(targets, (0, 24, 0, 32)), config)
    assert losses.total.isfinite() and losses.mask_loss == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_reported_not_raised(dtype, value):
    output, targets, _ = example(0)
    broken = output._replace(
        class_logits=output.class_logits.to(dtype).clone(),
        mask_logits=output.mask_logits.to(dtype).clone(),
        auxiliary=(),
    )
    broken.class_logits[0, 1] = value
    broken.mask_logits[0, 2] = value
    losses = Criterion(CLASSES, CONFIG)(broken, targets)
    assert not losses.total.isfinite()


def test_matching_is_float32_under_autocast():
    output, targets, _ = example(0)
    criterion = Criterion(CLASSES, CONFIG)
    points = torch.rand(30, 2)
    sampled, _ = criterion.sample_target(targets[0], None, points)
    logits = sample_logits_shared(output.mask_logits[0], points)
    arguments = (output.class_logits[0], logits, sampled)
    plain = criterion.matcher.costs(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        cast = criterion.matcher.costs(*arguments)
    assert cast.dtype == torch.float32 and torch.equal(plain, cast)


def test_more_objects_than_queries_match_as_many_as_there_are_queries():
    output, targets, _ = example(0, (9,))
    losses = Criterion(CLASSES, CONFIG)(output, targets)
    assert losses.total.isfinite()


def test_the_same_generator_gives_the_same_loss():
    output, targets, _ = example(0)
    first, second = (compute_losses(output, targets, CONFIG) for _ in range(2))
    assert torch.equal(first.total, second.total)
