"""Matched pairs and losses equal those of `transformers` for equal predictions and points."""

from contextlib import contextmanager

import pytest
import torch
from conftest import TINY_ONEFORMER
from losses.test_criterion import FixedCandidates

from unimask.config import CriterionConfig, DenseCriterionConfig
from unimask.losses import Criterion, DenseCriterion
from unimask.losses.point_sampler import PointSampler
from unimask.losses.points import sample_logits_shared
from unimask.modeling.build import build_segmenter
from unimask.modeling.text_encoder import TextMapper
from unimask.outputs import LayerPrediction, SegmenterOutput, Target

transformers = pytest.importorskip("transformers")

CLASSES, QUERIES, LAYERS, POINTS, WIDTH = 4, 12, 3, 40, 6
WEIGHTS = {"cross_entropy": 2, "mask": 5, "dice": 5, "contrastive": 0.5}
TERMS = ("cross_entropy", "mask", "dice")
OBJECTS = pytest.mark.parametrize("objects", [(5, 3), (12, 12), (1,)], ids=str)


class TwoSets(PointSampler):
    """Sampler with one fixed set of points for matching, and another for the losses."""

    def __init__(self, matching, loss):
        self.sets = matching, loss

    def matching_points(self, device):
        return self.sets[0]

    def candidates(self, known, device):
        return FixedCandidates(self.sets[1], None, 0, self.sets[1])


class Example:
    """Random predictions of several layers, targets and points."""

    def __init__(self, objects):
        generator = torch.Generator().manual_seed(len(objects))
        shapes = (len(objects), QUERIES, CLASSES + 1), (len(objects), QUERIES, 8, 10)
        self.layers = [
            LayerPrediction(
                torch.randn(shapes[0], generator=generator).requires_grad_(),
                torch.randn(shapes[1], generator=generator).mul(4).requires_grad_(),
            )
            for _ in range(LAYERS)
        ]
        self.targets = [
            Target(
                torch.randint(CLASSES, (count,), generator=generator),
                torch.rand(count, 32, 40, generator=generator) > 0.6,
            )
            for count in objects
        ]
        points = torch.rand(2, POINTS, 2, generator=generator)
        self.sampler = TwoSets(*points)
        both = torch.randn(2, len(objects), QUERIES, WIDTH, generator=generator)
        self.queries, self.texts = (each.requires_grad_() for each in both)

    @property
    def output(self):
        return SegmenterOutput(*self.layers[-1], auxiliary=tuple(self.layers[:-1]))

    @property
    def inputs(self):
        return [logits for layer in self.layers for logits in layer]

    def theirs(self, **more):
        """Return the arguments of `transformers`' losses."""
        names = ("class_queries_logits", "masks_queries_logits")
        return {
            **dict(zip(names, self.layers[-1], strict=True)),
            "mask_labels": [target.masks.float() for target in self.targets],
            "class_labels": [target.labels for target in self.targets],
            "auxiliary_predictions": [
                dict(zip(names, layer, strict=True)) for layer in self.layers[:-1]
            ],
            **more,
        }

    @contextmanager
    def points_in(self, loss, monkeypatch):
        """Make `transformers`' loss sample our points."""
        matching_points, loss_points = self.sampler.sets
        with monkeypatch.context() as patch:
            patch.setattr(torch, "rand", lambda *size, **_: matching_points.expand(*size))
            patch.setattr(
                loss,
                "sample_points_using_uncertainty",
                lambda logits, *_: loss_points.expand(len(logits), -1, -1),
            )
            yield


def their_mask2former():
    module = transformers.models.mask2former.modeling_mask2former
    config = transformers.Mask2FormerConfig(
        num_labels=CLASSES, num_queries=QUERIES, train_num_points=POINTS
    )
    return module.Mask2FormerLoss(config, weight_dict={})


def their_eomt():
    module = transformers.models.eomt.modeling_eomt
    config = transformers.EomtConfig(
        num_labels=CLASSES, num_queries=QUERIES, train_num_points=POINTS
    )
    return module.EomtLoss(config, weight_dict={})


def their_oneformer():
    """Build OneFormer's loss like its network does, from the configuration."""
    module = transformers.models.oneformer.modeling_oneformer
    config = transformers.OneFormerConfig()
    matcher = module.OneFormerHungarianMatcher(
        cost_class=config.class_weight,
        cost_mask=config.mask_weight,
        cost_dice=config.dice_weight,
        num_points=POINTS,
    )
    return module.OneFormerLoss(
        CLASSES,
        matcher,
        weight_dict={},
        eos_coef=config.no_object_weight,
        num_points=POINTS,
        oversample_ratio=config.oversample_ratio,
        importance_sample_ratio=config.importance_sample_ratio,
        contrastive_temperature=config.contrastive_temperature,
    )


def their_maskformer():
    module = transformers.models.maskformer.modeling_maskformer
    matcher = module.MaskFormerHungarianMatcher(cost_class=1.0, cost_dice=1.0, cost_mask=20.0)
    return module.MaskFormerLoss(CLASSES, matcher, weight_dict={}, eos_coef=0.1)


def weighted_sum(terms):
    """Sum the terms of all layers times their weights."""
    return sum(
        WEIGHTS[name.split("_", 1)[1].rstrip("_012")] * term.sum() for name, term in terms.items()
    )


def assert_same(ours, theirs, inputs, scales=((), ())):
    """Compare terms, total and gradients; `scales` are parameters of ours and of theirs."""
    last = torch.stack([theirs[f"loss_{name}"].sum() for name in TERMS])
    torch.testing.assert_close(torch.stack(ours[1:4]), last, rtol=1e-5, atol=1e-6)
    total = weighted_sum(theirs)
    torch.testing.assert_close(ours.total, total, rtol=1e-5, atol=0)
    our_grads = torch.autograd.grad(ours.total, [*inputs, *scales[0]])
    their_grads = torch.autograd.grad(total, [*inputs, *scales[1]])
    for our_gradient, their_gradient in zip(our_grads, their_grads, strict=True):
        their_gradient = their_gradient.to(our_gradient.dtype)
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-6)


@OBJECTS
@pytest.mark.parametrize("make", [their_mask2former, their_eomt])
def test_losses_and_gradients_equal_transformers(make, objects, monkeypatch):
    example, loss = Example(objects), make()
    with example.points_in(loss, monkeypatch):
        theirs = loss(**example.theirs())
    assert len(theirs) == 3 * LAYERS
    ours = Criterion(CLASSES, CriterionConfig())(
        example.output, example.targets, sampler=example.sampler
    )
    assert_same(ours, theirs, example.inputs)


@OBJECTS
def test_oneformer_losses_with_contrast_equal_transformers(objects, monkeypatch):
    example, loss = Example(objects), their_oneformer()
    contrast = {"contrastive_queries_logits": example.queries, "text_queries": example.texts}
    with example.points_in(loss, monkeypatch):
        theirs = loss(**example.theirs(**contrast))
    assert len(theirs) == 3 * LAYERS + 1
    # The scale is a parameter of their loss; in ours it scales the mapper's texts.
    monkeypatch.setattr(TextMapper, "encode", lambda mapper, sentences: example.texts)
    mapper = build_segmenter(TINY_ONEFORMER).text_mapper
    texts = mapper(torch.zeros(len(objects), 1, 1, dtype=torch.long))
    output = example.output._replace(object_queries=example.queries, text_queries=texts)
    ours = Criterion(CLASSES, CriterionConfig())(output, example.targets, sampler=example.sampler)
    scales = [mapper.logit_scale], [loss.logit_scale]
    assert_same(ours, theirs, [*example.inputs, example.queries, example.texts], scales)


FAMILIES = {
    "mask2former": (their_mask2former, Criterion(CLASSES, CriterionConfig())),
    "oneformer": (their_oneformer, Criterion(CLASSES, CriterionConfig())),
    "eomt": (their_eomt, Criterion(CLASSES, CriterionConfig())),
    "maskformer": (their_maskformer, DenseCriterion(CLASSES, DenseCriterionConfig())),
}


@OBJECTS
@pytest.mark.parametrize("family", FAMILIES)
def test_matched_pairs_equal_transformers(family, objects, monkeypatch):
    make, criterion = FAMILIES[family]
    example, loss = Example(objects), make()
    arguments = example.theirs()
    if family == "maskformer":
        compared = [criterion.resize_target(target, (8, 10))[0] for target in example.targets]
        read = lambda masks: masks.flatten(1)  # noqa: E731
        points_in = monkeypatch.context
    else:
        compared = [
            criterion.sample_target(target, None, points)[0]
            for target in example.targets
            for points in [example.sampler.matching_points(torch.device("cpu"))]
        ]
        read = lambda masks: sample_logits_shared(masks, example.sampler.sets[0])  # noqa: E731
        points_in = lambda: example.points_in(loss, monkeypatch)  # noqa: E731
    for layer in example.layers:
        with points_in():
            theirs = loss.matcher(
                layer.mask_logits,
                layer.class_logits,
                arguments["mask_labels"],
                arguments["class_labels"],
            )
        for index, pairs in enumerate(theirs):
            ours = criterion.matcher.match(
                layer.class_logits[index], read(layer.mask_logits[index]), compared[index]
            )
            assert [pair.tolist() for pair in ours] == [pair.tolist() for pair in pairs]
