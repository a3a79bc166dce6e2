"""DETR's losses against an independent reference in float64, and against `transformers`."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_DETR, TINY_MASKFORMER
from losses.test_boxes import plain_box
from losses.test_criterion import CLASSES, QUERIES, dice, softmax
from losses.test_dense import focal, upsample

from unimask.config import BoxCriterionConfig, DenseCriterionConfig
from unimask.errors import SettingsError
from unimask.losses import BoxCriterion, build_criterion
from unimask.losses.boxes import mask_boxes
from unimask.modeling.build import build_segmenter
from unimask.outputs import BoxPrediction, SegmenterOutput, Target

CONFIG = BoxCriterionConfig()
OBJECTS = pytest.mark.parametrize("objects", [(2, 0, 3), (1,), (0, 0), (5, 5)], ids=str)


def draw_example(objects, layers=3, size=(24, 32)):
    """Draw predictions of several layers, and rectangular objects with holes."""
    generator = torch.Generator().manual_seed(sum(objects) + len(objects))
    images = len(objects)
    predictions = tuple(
        BoxPrediction(
            torch.randn(images, QUERIES, CLASSES + 1, generator=generator),
            torch.rand(images, QUERIES, 4, generator=generator),
        )
        for _ in range(layers)
    )
    masks = 3 * torch.randn(images, QUERIES, 6, 8, generator=generator)
    targets = []
    for count in objects:
        drawn = torch.zeros(count, *size, dtype=torch.bool)
        for mask in drawn:
            top, left = (int(torch.randint(side - 6, (), generator=generator)) for side in size)
            filled = torch.rand(9, 11, generator=generator) > 0.3
            part = mask[top : top + 9, left : left + 11]
            part.copy_(filled[: part.shape[0], : part.shape[1]])
        targets.append(Target(torch.randint(CLASSES, (count,), generator=generator), drawn))
    last = predictions[-1].class_logits
    return SegmenterOutput(last, masks, boxes=predictions), targets


def giou(first, second):
    """Compute the generalized IoU of two boxes (centre, size)."""
    ends = [(box[:2] - box[2:] / 2, box[:2] + box[2:] / 2) for box in (first, second)]
    (a, b), (c, d) = ends
    overlap = np.clip(np.minimum(b, d) - np.maximum(a, c), 0, None).prod()
    union = (b - a).prod() + (d - c).prod() - overlap
    hull = (np.maximum(b, d) - np.minimum(a, c)).prod()
    return overlap / union - (hull - union) / hull


def reference_losses(output, targets):
    """Compute total, terms of the last layer, and its pairs; matching by exhaustive search."""
    count = max(1, sum(len(target.labels) for target in targets))
    total, masks = 0.0, output.mask_logits.double().numpy()
    for class_logits, boxes in output.boxes:
        entropy = weight_sum = l1_sum = giou_sum = focal_sum = dice_sum = 0.0
        pairs = []
        for index, target in enumerate(targets):
            probs, labels = softmax(class_logits[index].double().numpy()), target.labels.tolist()
            predicted = boxes[index].double().numpy()
            true_masks = target.masks.numpy()
            true = np.array([plain_box(mask) for mask in true_masks]).reshape(-1, 4)
            cost = np.array(
                [
                    [-probs[q, labels[n]] + 5 * abs(predicted[q] - t).sum()
                     - 2 * giou(predicted[q], t) for n, t in enumerate(true)]
                    for q in range(QUERIES)
                ]
            )  # fmt: skip
            best = min(
                itertools.permutations(range(QUERIES), len(labels)),
                key=lambda queries: sum(cost[q, n] for n, q in enumerate(queries)),
            )
            pairs.append(dict(enumerate(best)))
            query_labels = [CLASSES] * QUERIES
            for n, q in enumerate(best):
                query_labels[q] = labels[n]
                l1_sum += abs(predicted[q] - true[n]).sum()
                giou_sum += 1 - giou(predicted[q], true[n])
                upsampled = upsample(masks[index, q], *true_masks.shape[1:])
                focal_sum += focal(upsampled, true_masks[n])
                dice_sum += dice(upsampled, true_masks[n])
            for q in range(QUERIES):
                weight = 0.1 if query_labels[q] == CLASSES else 1.0
                entropy -= weight * np.log(probs[q, query_labels[q]])
                weight_sum += weight
        terms = [entropy / weight_sum, focal_sum, dice_sum, l1_sum, giou_sum]
        terms[1:] = [term / count for term in terms[1:]]
        layer = terms[0] + 5 * terms[3] + 2 * terms[4]
        total += layer
    mask_part = terms[1] + terms[2]
    return (total + mask_part, *terms[:3], layer + mask_part, *terms[3:]), pairs


@OBJECTS
def test_losses_equal_the_reference(objects):
    output, targets = draw_example(objects)
    losses = BoxCriterion(CLASSES, CONFIG)(output, targets)
    expected, _ = reference_losses(output, targets)
    np.testing.assert_allclose([float(value) for value in losses], expected, rtol=1e-5, atol=1e-6)


@OBJECTS
def test_losses_matches_and_gradients_equal_transformers(objects):
    module = pytest.importorskip("transformers.loss.loss_for_object_detection")
    matcher = module.HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    theirs = module.ImageLoss(matcher, CLASSES, 0.1, ["labels", "boxes", "masks"])
    output, targets = draw_example(objects)
    inputs = [value.requires_grad_() for layer in output.boxes for value in layer]
    inputs.append(output.mask_logits.requires_grad_())
    true = [
        {"class_labels": t.labels, "boxes": mask_boxes(t.masks), "masks": t.masks.float()}
        for t in targets
    ]
    layers = [{"logits": layer.class_logits, "pred_boxes": layer.boxes} for layer in output.boxes]
    last = {**layers[-1], "pred_masks": output.mask_logits}
    terms = theirs({**last, "auxiliary_outputs": layers[:-1]}, true)
    weights = {"loss_ce": 1, "loss_bbox": 5, "loss_giou": 2, "loss_mask": 1, "loss_dice": 1}
    total = sum(weights[name.rstrip("_012")] * term for name, term in terms.items())
    criterion = BoxCriterion(CLASSES, CONFIG)
    ours = criterion(output, targets)
    torch.testing.assert_close(ours.total, total, rtol=1e-5, atol=0)
    names = ("loss_ce", "loss_mask", "loss_dice", "loss_bbox", "loss_giou")
    found = (ours.class_loss, ours.mask_loss, ours.dice_loss, ours.box_loss, ours.giou_loss)
    for name, value in zip(names, found, strict=True):
        torch.testing.assert_close(value, terms[name].detach(), rtol=1e-5, atol=1e-6)
    matches = criterion.match(output.boxes, targets, [each["boxes"] for each in true])
    for layer, pairs in zip(layers, matches, strict=True):
        for found, expected in zip(pairs, matcher(layer, true), strict=True):
            assert [part.tolist() for part in found] == [part.tolist() for part in expected]
    gradients = zip(
        torch.autograd.grad(ours.total, inputs), torch.autograd.grad(total, inputs), strict=True
    )
    for found, expected in gradients:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def with_padding(targets, rows, columns):
    """Pad the ground truth at the bottom and right with ignored pixels."""
    padded = []
    for target in targets:
        count, height, width = target.masks.shape
        masks = torch.zeros(count, height + rows, width + columns, dtype=torch.bool)
        masks[:, :height, :width] = target.masks
        ignored = torch.ones(masks.shape[1:], dtype=torch.bool)
        ignored[:height, :width] = False
        padded.append(Target(target.labels, masks, ignored))
    return padded


def test_padding_changes_masks_by_the_known_pixels_only():
    output, targets = draw_example((2, 1), size=(24, 32))
    padded = with_padding(targets, 8, 0)
    authors = BoxCriterion(CLASSES, replace(CONFIG, ignore_void=False))(output, padded)
    expected, _ = reference_losses(output, padded)
    np.testing.assert_allclose([float(value) for value in authors], expected, rtol=1e-5)
    ours = BoxCriterion(CLASSES, CONFIG)(output, padded)
    assert ours.box_loss == authors.box_loss and ours.class_loss == authors.class_loss
    assert ours.mask_loss != authors.mask_loss


def test_ignored_pixels_affect_neither_boxes_nor_masks():
    output, targets = draw_example((2, 3))
    criterion = BoxCriterion(CLASSES, CONFIG)
    ignored = torch.zeros(24, 32, dtype=torch.bool)
    ignored[8:20, 4:24] = True
    changed = [Target(t.labels, t.masks ^ ignored, ignored) for t in targets]
    before = criterion(output, [Target(t.labels, t.masks, ignored) for t in targets])
    assert all(torch.equal(a, b) for a, b in zip(before, criterion(output, changed), strict=True))


def test_batches_without_objects_reach_every_parameter():
    network = build_segmenter(TINY_DETR).train()
    target = Target(torch.zeros(0, dtype=torch.long), torch.zeros(0, 64, 64, dtype=torch.bool))
    output = network(torch.randn(2, 3, 64, 64))
    assert len(output.boxes) == 3 and not output.auxiliary
    build_criterion(TINY_DETR)(output, [target, target]).total.backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_only_detrs_have_losses_of_boxes():
    assert isinstance(build_criterion(TINY_DETR), BoxCriterion)
    assert build_criterion(TINY_DETR, BoxCriterionConfig(box_weight=3)).box_weights == (3, 2)
    for network, config in ((TINY_DETR, DenseCriterionConfig()), (TINY_MASKFORMER, CONFIG)):
        with pytest.raises(SettingsError, match="BoxCriterionConfig"):
            build_criterion(network, config)


def test_prediction_computes_no_boxes():
    network = build_segmenter(TINY_DETR).eval()
    assert network(torch.randn(1, 3, 64, 64)).boxes == ()
