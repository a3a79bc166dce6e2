"""MaskFormer's loss against an independent reference in float64."""

import itertools

import numpy as np
import pytest
import torch
from losses.test_criterion import CLASSES, QUERIES, dice, example, softmax, with_ignored

from unimask.config import CriterionConfig, DenseCriterionConfig
from unimask.losses import Criterion, DenseCriterion, build_criterion
from unimask.losses import dense as dense_module
from unimask.outputs import LayerPrediction, SegmenterOutput, Target

CONFIG = DenseCriterionConfig()


def upsample(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Upsample bilinearly; values beyond the outer centres are constant."""
    weights = []
    for length, cells in ((height, grid.shape[0]), (width, grid.shape[1])):
        place = ((np.arange(length) + 0.5) * cells / length - 0.5).clip(0, cells - 1)
        weights.append(np.maximum(0, 1 - abs(place[:, None] - np.arange(cells))))
    return weights[0] @ grid @ weights[1].T


def focal(x, t):
    p = 1 / (1 + np.exp(-x))
    inside, outside = -0.25 * (1 - p) ** 2 * np.log(p), -0.75 * p**2 * np.log(1 - p)
    return np.where(t == 1, inside, outside).mean()


def reference_losses(layers, targets):
    """Compute the total and the last layer's terms, matching by exhaustive search."""
    count = max(1, sum(len(target.labels) for target in targets))
    total, terms = 0.0, ()
    for class_logits, mask_logits in layers:
        entropy = weight_sum = focal_sum = dice_sum = 0.0
        for index, target in enumerate(targets):
            probs, labels = softmax(class_logits[index]), target.labels.tolist()
            masks = target.masks.double().numpy()
            (_, height, width), (_, h, w) = masks.shape, mask_logits[index].shape
            small = masks[:, np.arange(h) * height // h][:, :, np.arange(w) * width // w]
            cost = np.array(
                [
                    [-probs[q, labels[n]] + 20 * focal(x, t) + dice(x, t)
                     for n, t in enumerate(small)]
                    for q, x in enumerate(mask_logits[index])
                ]
            )  # fmt: skip
            best = min(
                itertools.permutations(range(QUERIES), len(labels)),
                key=lambda queries: sum(cost[q, n] for n, q in enumerate(queries)),
            )
            query_labels = [CLASSES] * QUERIES
            for n, q in enumerate(best):
                query_labels[q] = labels[n]
                upsampled = upsample(mask_logits[index, q], height, width)
                focal_sum += focal(upsampled, masks[n])
                dice_sum += dice(upsampled, masks[n])
            for q in range(QUERIES):
                weight = 0.1 if query_labels[q] == CLASSES else 1.0
                entropy -= weight * np.log(probs[q, query_labels[q]])
                weight_sum += weight
        terms = (entropy / weight_sum, focal_sum / count, dice_sum / count)
        headline = terms[0] + 20 * terms[1] + terms[2]
        total += headline
    return (total, *terms, headline)


@pytest.mark.parametrize("at_once", [1, 2**20])
@pytest.mark.parametrize("objects", [(2, 0, 3), (1,), (0, 0), (5, 5)], ids=str)
def test_losses_equal_the_reference(objects, at_once, monkeypatch):
    monkeypatch.setattr("unimask.losses.points.MAX_FLOAT_PIXELS", {"cpu": at_once})
    output, targets, layers = example(0, objects)
    losses = DenseCriterion(CLASSES, CONFIG)(output, targets)
    expected = reference_losses(
        [(c.double().numpy(), m.double().numpy()) for c, m in layers], targets
    )
    np.testing.assert_allclose([float(value) for value in losses], expected, rtol=1e-5)


def test_ground_truth_of_any_size_is_compared():
    output, _, layers = example(0, (3,))
    generator = torch.Generator().manual_seed(5)
    targets = [Target(torch.tensor([0, 2, 1]), torch.rand(3, 23, 31, generator=generator) > 0.6)]
    losses = DenseCriterion(CLASSES, CONFIG)(output, targets)
    expected = reference_losses(
        [(c.double().numpy(), m.double().numpy()) for c, m in layers], targets
    )
    np.testing.assert_allclose([float(value) for value in losses], expected, rtol=1e-5)


@pytest.mark.parametrize("objects", [(5, 3), (5, 5), (1,)], ids=str)
def test_losses_and_gradients_equal_transformers(objects):
    transformers = pytest.importorskip("transformers")
    module = transformers.models.maskformer.modeling_maskformer
    matcher = module.MaskFormerHungarianMatcher(cost_class=1.0, cost_dice=1.0, cost_mask=20.0)
    theirs = module.MaskFormerLoss(CLASSES, matcher, weight_dict={}, eos_coef=0.1)
    output, targets, layers = example(3, objects)
    inputs = [logits.requires_grad_() for layer in layers for logits in layer]
    reference_losses = theirs(
        layers[-1][1],
        layers[-1][0],
        [target.masks.float() for target in targets],
        [target.labels for target in targets],
        [{"masks_queries_logits": m, "class_queries_logits": c} for c, m in layers[:-1]],
    )
    weights = {"cross_entropy": 1, "mask": 20, "dice": 1}
    total = torch.stack(
        [
            weights[name.split("_", 1)[1].rstrip("_012")] * term
            for name, term in reference_losses.items()
        ]
    ).sum()
    ours = DenseCriterion(CLASSES, CONFIG)(output, targets)
    last = torch.stack([reference_losses[f"loss_{name}"] for name in weights])
    torch.testing.assert_close(torch.stack(ours[1:4]), last, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.total, total, rtol=1e-5, atol=0)
    pairs = zip(
        torch.autograd.grad(ours.total, inputs), torch.autograd.grad(total, inputs), strict=True
    )
    for our_gradient, their_gradient in pairs:
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-6)


BOX = (8, 20, 4, 24)


def corrupt_logits(layers):
    """Corrupt every mask logit whose 4 x 4 pixels are all inside the box."""
    changed = [(c, m.clone()) for c, m in layers]
    for _, m in changed:
        m[..., 2:5, 1:6] = 50 * torch.randn_like(m[..., 2:5, 1:6])
    return SegmenterOutput(*changed[-1], tuple(LayerPrediction(*layer) for layer in changed[:-1]))


@pytest.mark.parametrize("seed", range(3))
def test_ignored_pixels_affect_neither_matching_nor_loss(seed):
    output, targets, layers = example(seed)
    criterion = DenseCriterion(CLASSES, CONFIG)
    before = criterion(output, with_ignored(targets, BOX))
    flipped = [Target(target.labels, target.masks.clone()) for target in targets]
    for target in flipped:
        target.masks[:, BOX[0] : BOX[1], BOX[2] : BOX[3]] ^= True
    for after in (
        criterion(corrupt_logits(layers), with_ignored(targets, BOX)),
        criterion(output, with_ignored(flipped, BOX)),
    ):
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(before.total, criterion(output, targets).total)


def test_the_authors_count_ignored_pixels_as_background():
    output, targets, _ = example(0)
    criterion = DenseCriterion(CLASSES, DenseCriterionConfig(ignore_void=False))
    plain, with_ignored_pixels = (
        criterion(output, targets),
        criterion(output, with_ignored(targets, BOX)),
    )
    assert torch.equal(plain.total, with_ignored_pixels.total)


@pytest.mark.parametrize("objects", [(0,), (0, 0), (4, 0), (9,)], ids=str)
def test_any_number_of_objects_gives_finite_gradients(objects):
    output, targets, layers = example(1, objects)
    inputs = [logits.requires_grad_() for layer in layers for logits in layer]
    losses = DenseCriterion(CLASSES, CONFIG)(output, targets)
    assert losses.total.isfinite()
    assert all(g.isfinite().all() for g in torch.autograd.grad(losses.total, inputs))


def test_numbers_that_are_not_finite_are_reported_not_raised():
    output, targets, _ = example(0)
    output.class_logits[0, 1] = float("nan")
    output.mask_logits[0, 2] = float("inf")
    assert not DenseCriterion(CLASSES, CONFIG)(output, targets).total.isfinite()


def test_only_a_few_matched_masks_exist_at_full_size(monkeypatch):
    """Neither all queries nor all matched masks are float tensors at full size at a time."""
    monkeypatch.setattr("unimask.losses.points.MAX_FLOAT_PIXELS", {"cpu": 2 * 24 * 32})
    calls, saved_sizes = [], []
    real = dense_module.F.interpolate

    def record_call(x, size, **options):
        calls.append((x.shape[0], options["mode"]))
        return real(x, size, **options)

    monkeypatch.setattr(dense_module.F, "interpolate", record_call)
    output, targets, layers = example(0, (5, 4))
    layers[-1][1].requires_grad_()
    pack = lambda tensor: saved_sizes.append(tensor.numel()) or tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        DenseCriterion(CLASSES, CONFIG)(output, targets).total.backward()
    assert max(count for count, mode in calls if mode == "bilinear") == 2
    assert max(saved_sizes) < 24 * 32 * 2 * QUERIES


def test_the_network_determines_the_loss(monkeypatch):
    from conftest import TINY_MASKFORMER, TINY_RESNET

    assert isinstance(build_criterion(TINY_MASKFORMER), DenseCriterion)
    assert isinstance(build_criterion(TINY_RESNET), Criterion)
    assert isinstance(build_criterion(TINY_MASKFORMER, CriterionConfig()), Criterion)
    assert isinstance(build_criterion(TINY_RESNET, DenseCriterionConfig()), DenseCriterion)
