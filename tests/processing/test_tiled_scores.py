"""Class scores of tiles decide as the rules for whole images do."""

import numpy as np
import pytest
import torch

from unimask import postprocess
from unimask.processing.tiled.scores import TileLogits, semantic_scores


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
