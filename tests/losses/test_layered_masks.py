"""Losses and gradients of factored masks equal those of computed masks."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_RESNET, TINY_SWIN

from unimask.config import CriterionConfig
from unimask.losses import Criterion, DenseCriterion, PixelCriterion
from unimask.losses import layered_masks as module
from unimask.losses.layered_masks import features_at, layer_runs
from unimask.losses.point_sampler import PointCandidates, PointSampler
from unimask.losses.points import sample_logits
from unimask.modeling.build import build_segmenter
from unimask.outputs import (
    FactoredOutput,
    LayerPrediction,
    MaskFactors,
    SegmenterOutput,
    Target,
)

CLASSES, QUERIES, LAYERS, DIM = 3, 5, 4, 6
CONFIG = CriterionConfig(num_points=200)


def example(objects, *, ignored=False, dtype=torch.float32):
    """Return factors, class logits and targets."""
    generator = torch.Generator().manual_seed(len(objects))

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    images = len(objects)
    factors = draw(images, LAYERS * QUERIES, DIM), draw(images, LAYERS * QUERIES, 1)
    features = draw(images, DIM, 6, 8).detach().contiguous(memory_format=torch.channels_last)
    classes = [draw(images, QUERIES, CLASSES + 1) for _ in range(LAYERS)]
    void = torch.zeros(24, 32, dtype=torch.bool)
    void[4:15, 3:30] = ignored
    targets = [
        Target(
            torch.randint(CLASSES, (count,), generator=generator),
            torch.rand(count, 24, 32, generator=generator) > 0.5,
            void,
        )
        for count in objects
    ]
    return (*factors, features.requires_grad_()), classes, targets


def drawn(factors, classes):
    """Return the same predictions with computed masks."""
    embed, own, features = factors
    masks = torch.baddbmm(own, embed, features.flatten(2)).unflatten(-1, features.shape[-2:])
    layers = [
        LayerPrediction(*pair) for pair in zip(classes, masks.split(QUERIES, dim=1), strict=True)
    ]
    return SegmenterOutput(*layers[-1], tuple(layers[:-1]))


class SeededCandidates(PointCandidates):
    """Candidates of which each mask selects points by the seed `num_selected`."""

    def select(self, logits):
        generator = torch.Generator().manual_seed(self.num_selected)
        return torch.rand(len(logits), 40, 2, generator=generator)


class Points(PointSampler):
    """Sampler of different points for each image and layer."""

    def __init__(self):
        self.matched = self.drawn = 0

    def matching_points(self, device):
        self.matched += 1
        return torch.rand(60, 2, generator=torch.Generator().manual_seed(self.matched))

    def candidates(self, known, device):
        self.drawn += 1
        return SeededCandidates(torch.zeros(1, 2), None, self.drawn, torch.zeros(1, 2))


@pytest.mark.parametrize("matching", ["points", "cells"])
@pytest.mark.parametrize("at_once", [1, 2 * 3 * 48, 2**25])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("objects", [(2, 0, 3), (1,), (0, 0), (7, 2)], ids=str)
def test_losses_and_gradients_equal_those_of_computed_masks(
    objects, ignored, at_once, matching, monkeypatch
):
    monkeypatch.setattr(module, "MAX_MASK_PIXELS", at_once)
    factors, classes, targets = example(objects, ignored=ignored)
    criterion = Criterion(CLASSES, replace(CONFIG, matching=matching))
    inputs = [*factors, *classes]
    output = FactoredOutput(tuple(classes), MaskFactors(*factors))
    actual = criterion(output, targets, sampler=Points())
    expected = criterion(drawn(factors, classes), targets, sampler=Points())
    torch.testing.assert_close(actual, expected)
    pairs = (torch.autograd.grad(losses.total, inputs) for losses in (actual, expected))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_sampled_features_equal_sampled_masks(layout):
    """Points inside, near the border, and far outside."""
    features = torch.randn(1, DIM, 6, 9).contiguous(memory_format=layout)[0]
    points = 1.6 * torch.rand(500, 2) - 0.3
    read, inside = features_at(features, points)
    expected = sample_logits(features, points.expand(DIM, -1, -1))
    torch.testing.assert_close(read.T, expected)
    ones = sample_logits(torch.ones(1, 6, 9), points[None])[0]
    torch.testing.assert_close(inside, ones)
    assert (ones == 0).any() and ((ones > 0) & (ones < 1)).any()


def test_small_layers_are_computed_together():
    assert layer_runs(10, 20 * 256**2) == [slice(0, 10)]
    assert layer_runs(3, 500 * 256**2) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert layer_runs(4, 2**24) == [slice(0, 2), slice(2, 4)]
    assert layer_runs(2, 0) == [slice(0, 2)]


def test_no_mask_is_saved_for_backward():
    factors, classes, targets = example((2, 3))
    saved_tensors = []
    output = FactoredOutput(tuple(classes), MaskFactors(*factors))
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved_tensors.append(t) or t, lambda t: t
    ):
        Criterion(CLASSES, CONFIG)(output, targets)
    assert any(tensor is factors[2] for tensor in saved_tensors)
    masks = [t for t in saved_tensors if t.shape[-2:] == (6, 8) and t is not factors[2]]
    assert not masks and not any(t.shape[-1] == 6 * 8 for t in saved_tensors if t.ndim)


def test_layers_without_weight_have_no_gradient():
    factors, _, _ = example((2, 3))
    queries = [[torch.arange(count)] * LAYERS for count in (2, 3)]
    masks = module.FactoredMasks(MaskFactors(*factors), LAYERS)
    fixed = PointCandidates(torch.zeros(1, 2), None, 0, torch.full((4, 2), 0.4))
    sampled = masks.sample_uncertain(queries, [[fixed] * LAYERS] * 2)
    grads = torch.autograd.grad(sampled[1][2][0].sum(), factors)
    expected = drawn(factors, [factors[0][:, :QUERIES]] * LAYERS).auxiliary[2].mask_logits
    sampled = sample_logits(expected[1, :3], torch.full((3, 4, 2), 0.4))
    for one, other in zip(grads, torch.autograd.grad(sampled.sum(), factors), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_reported_not_raised(value):
    (embed, own, features), classes, targets = example((2, 5))
    embed = embed.detach().clone()
    embed[0, -QUERIES:] = value
    output = FactoredOutput(tuple(classes), MaskFactors(embed, own, features))
    assert not Criterion(CLASSES, CONFIG)(output, targets).total.isfinite()


def test_half_precision_features_have_half_precision_gradients():
    factors, classes, targets = example((2, 3))
    half = [factor.detach().bfloat16().requires_grad_() for factor in factors]
    exact = [factor.detach().float().requires_grad_() for factor in half]
    grads = []
    for parts in (half, exact):
        output = FactoredOutput(tuple(classes), MaskFactors(*parts))
        sampler = Points()
        grads.append(
            torch.autograd.grad(
                Criterion(CLASSES, CONFIG)(output, targets, sampler=sampler)[0], parts
            )
        )
    for one, other in zip(*grads, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize(
    "config", [TINY_RESNET, TINY_SWIN, TINY_ONEFORMER], ids=["resnet", "swin", "oneformer"]
)
def test_networks_return_factors_instead_of_masks(config):
    network = build_segmenter(replace(config, num_classes=CLASSES)).train()
    images = torch.randn(2, 3, 64, 96)
    torch.manual_seed(0)  # of stochastic depth
    output = network(images)
    torch.manual_seed(0)
    factored = network(images, factored=True)
    layers = [*(layer.class_logits for layer in output.auxiliary), output.class_logits]
    torch.testing.assert_close(list(factored.class_logits), layers)
    parts = factored.masks
    masks = torch.baddbmm(parts.bias, parts.embed, parts.features.flatten(2))
    expected = [*(layer.mask_logits for layer in output.auxiliary), output.mask_logits]
    torch.testing.assert_close(masks, torch.cat(expected, dim=1).flatten(2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(factored.object_queries, output.object_queries)


def test_losses_declare_whether_they_accept_factors():
    assert Criterion.takes_factors
    assert not DenseCriterion.takes_factors and not PixelCriterion.takes_factors
