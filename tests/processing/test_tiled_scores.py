"""Class scores of tiles decide as the rules for whole images do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unimask import postprocess
from unimask.processing.tiled.scores import MAX_LEFT_OUT, TileLogits, semantic_scores


@pytest.mark.parametrize("resize", ["masks", "scores"])
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_semantic_scores_decide_as_post_processing(resize, threshold):
    random = torch.Generator().manual_seed(0)
    class_logits = 3 * torch.randn(12, 6, generator=random)
    mask_logits = 4 * torch.randn(12, 16, 24, generator=random)
    sizes = (64, 96), (60, 90), (75, 121)
    expected = postprocess(
        class_logits,
        mask_logits,
        task="semantic",
        labels=list("abcde"),
        is_thing=[True] * 5,
        padded_size=sizes[0],
        input_size=sizes[1],
        original_size=sizes[2],
        resize=resize,
        threshold=threshold,
    ).segmentation
    classes, scores = semantic_scores(
        TileLogits(class_logits, mask_logits, *sizes),
        resize_scores=resize == "scores",
        with_total=threshold is not None,
    )
    if threshold is None:
        labels = torch.tensor(classes)[scores.argmax(0)]
    else:
        best, index = scores[:-1].max(0)
        labels = torch.tensor(classes[:-1])[index].where(best >= threshold * scores[-1], -1)
        assert 0.1 < (expected == -1).mean() < 0.9
    assert np.mean(labels.numpy() == expected) > 0.9999


@pytest.mark.parametrize("resize_scores", [False, True])
def test_scores_in_blocks_equal_those_of_whole_maps(resize_scores):
    random = torch.Generator().manual_seed(1)
    class_logits = 3 * torch.randn(40, 5, generator=random)
    mask_logits = 6 * torch.randn(40, 33, 40, generator=random) - 6
    padded, used, pixels = (132, 160), (130, 151), (201, 233)
    tile = TileLogits(class_logits, mask_logits, padded, used, pixels)
    classes, scores = semantic_scores(tile, resize_scores=resize_scores, with_total=False)

    maps = F.interpolate(mask_logits[None], padded, mode="bilinear")[..., : used[0], : used[1]]
    if not resize_scores:
        maps = F.interpolate(maps, pixels, mode="bilinear")
    probs = class_logits.softmax(-1)[:, :-1]
    expected = torch.einsum("qk,qij->kij", probs, maps[0].sigmoid())
    if resize_scores:
        expected = F.interpolate(expected[None], pixels, mode="bilinear")[0]
    assert classes == (0, 1, 2, 3)
    assert (scores - expected).abs().max() < MAX_LEFT_OUT
    assert (scores - expected).abs().mean() < 1e-3
