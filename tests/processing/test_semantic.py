"""Semantic maps of many classes, of which most are never computed."""

import pytest
import torch

from unimask.processing.resize import Resizer
from unimask.processing.semantic import FAVOURITES, semantic_map, winners

SIZES = ((12, 20), (48, 80), (45, 80), (90, 300))


@pytest.mark.parametrize("confidence", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("no_object", [0.0, 30.0])
def test_leaving_classes_out_changes_nothing(confidence, no_object):
    generator = torch.Generator().manual_seed(0)
    classes = 5 * FAVOURITES
    class_logits = confidence * torch.randn(30, classes + 1, generator=generator)
    class_logits[:, -1] += no_object
    mask_logits = 5 * torch.randn(30, *SIZES[0], generator=generator)
    resizer = Resizer.between(*SIZES)
    labels = semantic_map(class_logits, mask_logits, resizer)
    masks = (resizer.rows @ mask_logits @ resizer.columns.T).sigmoid()
    scores = torch.einsum("qk,qhw->khw", class_logits.softmax(-1)[:, :-1], masks)
    best = scores.amax(0)
    chosen = scores.gather(0, labels.long()[None])[0]
    assert ((best - chosen) <= 1e-5 * best).all()


def test_a_class_that_was_not_tried_first_can_still_win():
    """Many classes are promising somewhere else; here only the last one is present at all."""
    classes = FAVOURITES + 4
    probs = torch.eye(classes)
    probs[-1] *= 0.1
    masks = torch.zeros(classes, 2)
    masks[-1, 1] = 1.0
    masks[0, 0] = 1.0
    found = winners(probs, masks, torch.ones(classes), lambda scores: scores)
    assert found.tolist() == [0, classes - 1]
