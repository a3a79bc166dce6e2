"""Class scores of tiles decide as the rules for whole images do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt

from unimask import postprocess
from unimask.processing.tiled.scores import (
    MAX_LEFT_OUT,
    TileLogits,
    semantic_scores,
    stuff_scores,
)


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


@pytest.mark.parametrize("pixels", [(160, 240), (1000, 1500), (70, 100)])
def test_stuff_borders_are_those_of_scores_at_every_pixel(pixels):
    random = torch.Generator().manual_seed(2)
    class_logits = 4 * torch.randn(12, 6, generator=random)
    blobs = 8 * torch.randn(1, 12, 6, 8, generator=random)
    mask_logits = F.interpolate(blobs, (41, 61), mode="bilinear")[0]
    tile = TileLogits(class_logits, mask_logits, (164, 244), (160, 240), pixels)
    is_thing = (False, True, False, True, False)
    classes, scores = stuff_scores(tile, is_thing)
    every, exact = semantic_scores(tile, resize_scores=False, with_total=False)
    others = exact[[is_thing[label] for label in every]].amax(0)
    expected = torch.cat([exact[[not is_thing[label] for label in every]], others[None]])

    assert classes == (0, 2, 4, 5)
    assert scores.shape == expected.shape
    differing = scores.argmax(0) != expected.argmax(0)
    assert differing.float().mean() < 0.01
    cell = torch.tensor(pixels) / torch.tensor([40, 60])
    assert distance_to_border(expected.argmax(0))[differing.numpy()].max(initial=0) <= cell.max()


def distance_to_border(labels: torch.Tensor) -> np.ndarray:
    values = labels.numpy()
    borders = np.zeros(values.shape, bool)
    borders[1:] |= values[1:] != values[:-1]
    borders[:, 1:] |= values[:, 1:] != values[:, :-1]
    return distance_transform_edt(~borders)
