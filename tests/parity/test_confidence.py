"""Confidence against the scores and probabilities of `transformers` for the same logits."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unimask.processing import postprocess

CLASSES, SIDE = 6, 384
"""`transformers` resizes all masks to this side before anything else."""


def predictions(task, original, **rules):
    """Logits of 20 queries, and the result for them."""
    generator = torch.Generator().manual_seed(3)
    class_logits = 4 * torch.randn(20, CLASSES + 1, generator=generator)
    coarse = 10 * torch.randn(20, 1, 6, 6, generator=generator)
    mask_logits = F.interpolate(coarse, (96, 96), mode="bicubic")[:, 0] - 2
    result = postprocess(
        class_logits,
        mask_logits,
        task=task,
        labels=[str(number) for number in range(CLASSES)],
        is_thing=[number < 4 for number in range(CLASSES)],
        padded_size=(SIDE, SIDE),
        input_size=(SIDE, SIDE),
        original_size=original,
        **rules,
    )
    outputs = SimpleNamespace(
        class_queries_logits=class_logits[None], masks_queries_logits=mask_logits[None]
    )
    return result, outputs


def test_semantic_confidence_is_the_share_in_their_scores():
    transformers = pytest.importorskip("transformers")
    processor = transformers.Mask2FormerImageProcessor()
    result, outputs = predictions("semantic", (211, 300), resize="scores")
    (theirs,) = processor.post_process_semantic_segmentation(
        outputs, target_sizes=[(211, 300)], return_segmentation_scores=True
    )
    shares = theirs["segmentation_scores"] / theirs["segmentation_scores"].sum(0)
    same = result.segmentation == theirs["segmentation"].numpy()
    assert same.mean() > 0.9999
    difference = np.abs(result.confidence - shares.amax(0).numpy())
    assert difference.max() < 2e-3 and difference.mean() < 1e-4


def test_panoptic_confidence_is_their_weighted_mask_probability(monkeypatch):
    transformers = pytest.importorskip("transformers")
    processor = transformers.Mask2FormerImageProcessor()
    module = sys.modules[type(processor).post_process_panoptic_segmentation.__module__]
    weighted = []
    compute_segments = module.compute_segments

    def recorded(mask_probs, pred_scores, *arguments, **options):
        weighted.append((mask_probs * pred_scores.view(-1, 1, 1)).amax(0).numpy())
        return compute_segments(mask_probs, pred_scores, *arguments, **options)

    monkeypatch.setattr(module, "compute_segments", recorded)
    result, outputs = predictions(
        "panoptic", (SIDE, SIDE), object_threshold=0.5, overlap_threshold=0.3
    )
    (theirs,) = processor.post_process_panoptic_segmentation(
        outputs, threshold=0.5, overlap_mask_area_threshold=0.3, label_ids_to_fuse={4, 5}
    )
    assert len(result) == len(theirs["segments_info"]) > 3
    owned = result.segmentation > 0
    np.testing.assert_allclose(result.confidence[owned], weighted[0][owned], atol=2e-5)
    assert (result.confidence[~owned] == 0).all() and 0 < owned.mean() < 1
