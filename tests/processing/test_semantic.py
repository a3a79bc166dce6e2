"""Semantic maps of many classes, most of which are pruned."""

import pytest
import torch
import torch.nn.functional as F

from unimask.processing import blocks
from unimask.processing.resize import Resizer
from unimask.processing.semantic import MAX_CANDIDATE_CLASSES, semantic_map

SIZES = ((12, 20), (48, 80), (45, 80), (90, 300))


@pytest.mark.parametrize("confidence", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("no_object", [0.0, 30.0])
def test_removing_impossible_classes_changes_no_pixel(confidence, no_object):
    generator = torch.Generator().manual_seed(0)
    classes = 10 * MAX_CANDIDATE_CLASSES
    class_logits = confidence * torch.randn(30, classes + 1, generator=generator)
    class_logits[:, -1] += no_object
    mask_logits = 5 * torch.randn(30, *SIZES[0], generator=generator)
    resizer = Resizer.between(*SIZES)
    labels = semantic_map(class_logits, mask_logits, resizer).T
    masks = F.interpolate(mask_logits[None], SIZES[1], mode="bilinear")[:, :, :45]
    masks = F.interpolate(masks, SIZES[3], mode="bilinear")[0].sigmoid()
    scores = torch.einsum("qk,qhw->khw", class_logits.softmax(-1)[:, :-1], masks)
    best = scores.amax(0)
    selected = scores.gather(0, labels.long()[None])[0]
    assert ((best - selected) <= 1e-5 * best).all()


def test_classes_outside_the_probe_can_be_the_argmax():
    """Many classes are strong at the left; the last one is weak, but alone at the right."""
    count = 4 * MAX_CANDIDATE_CLASSES
    class_logits = torch.full((count, count + 1), -20.0)
    class_logits.fill_diagonal_(5)
    class_logits[-1, -1] = 8  # mostly "no object"
    mask_logits = torch.full((count, 2, 2), -9.0)
    mask_logits[:, :, 0] = 9
    mask_logits[-1] = -9
    mask_logits[-1, :, 1] = 3
    labels = semantic_map(class_logits, mask_logits, Resizer.linear((2, 2), (8, 30))).T
    assert (labels[:, 0] == 0).all() and (labels[:, -1] == count - 1).all()


@pytest.mark.parametrize("task", ["masks", "scores"])
def test_small_pieces_give_an_equal_map(monkeypatch, task):
    generator = torch.Generator().manual_seed(0)
    class_logits = 3 * torch.randn(30, 41, generator=generator)
    mask_logits = 5 * torch.randn(30, *SIZES[0], generator=generator)
    steps = (Resizer.between(*SIZES), None)
    if task == "scores":
        steps = (Resizer.linear(*SIZES[:2]), Resizer.linear(*SIZES[2:]))
    whole = semantic_map(class_logits, mask_logits, *steps)
    monkeypatch.setattr(blocks, "MAX_BATCH_VALUES", 3000)
    monkeypatch.setattr(blocks, "MAX_GRID_BOUNDS", 500)
    assert (semantic_map(class_logits, mask_logits, *steps) == whole).float().mean() > 0.9999
