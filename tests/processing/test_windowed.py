"""Squares of EoMT: sizes, black padding, windows, and the mean of their class scores."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.config import PreprocessingConfig
from unimask.errors import SettingsError
from unimask.labels import LabelSet
from unimask.processing.preprocess import input_size, preprocess
from unimask.processing.windowed import (
    WindowScores,
    cut_windows,
    list_windows,
    segment_windows,
)

SIDE = 32
PAD = PreprocessingConfig(fixed_size=(SIDE, SIDE), square="pad")
WINDOWS = PreprocessingConfig(fixed_size=(SIDE, SIDE), square="windows")
sides = st.integers(1, 200)


@given(height=sides, width=sides)
def test_images_fit_into_a_square_or_fill_it(height, width):
    fitting, filling = (input_size((height, width), rules) for rules in (PAD, WINDOWS))
    assert max(fitting) == SIDE and min(filling) == SIDE
    scale = SIDE / max(height, width)
    assert fitting == tuple(max(1, round(side * scale)) for side in (height, width))


def test_padding_is_black_before_normalisation():
    white = np.full((20, 40, 3), 255, np.uint8)
    item = preprocess(white, PAD)
    assert item.padded_size == (SIDE, SIDE) and item.input_size == (16, 32)
    mean, std = (torch.tensor(values)[:, None, None] for values in (PAD.mean, PAD.std))
    restored = item.pixel_values * std + mean
    torch.testing.assert_close(restored[:, :16], torch.full((3, 16, 32), 255.0))
    torch.testing.assert_close(restored[:, 16:], torch.zeros(3, 16, 32), atol=1e-4, rtol=0)


@given(longest=st.integers(SIDE, 400))
def test_windows_cover_the_longer_side(longest):
    windows = list_windows((SIDE, longest), WINDOWS)
    assert windows[0].start == 0 and windows[-1].stop in (longest, longest - 1)
    assert all(window.stop - window.start == SIDE for window in windows)
    assert all(b.start <= a.stop for a, b in pairwise(windows))
    assert (len(windows) - 1) * SIDE < longest <= len(windows) * SIDE
    assert list_windows((longest, SIDE), WINDOWS) == windows
    assert not list_windows((SIDE, longest), PAD)


def test_windows_of_a_batch_follow_their_image():
    images = torch.arange(2 * 3 * SIDE * 70.0).view(2, 3, SIDE, 70)
    windows = list_windows((SIDE, 70), WINDOWS)
    parts = cut_windows(images, windows)
    assert parts.shape == (6, 3, SIDE, SIDE)
    assert torch.equal(parts[4], images[1, :, :, windows[1]])
    turned = cut_windows(images.transpose(2, 3), windows)
    assert torch.equal(turned[4], images[1, :, :, windows[1]].transpose(1, 2))


def dense_scores(classes, masks, windows, scaled, size):
    """Average the windows' scores in full, and resize them, as the rule is written."""
    probs = classes.softmax(-1)[..., :-1]
    masks = F.interpolate(masks, (SIDE, SIDE), mode="bilinear").sigmoid()
    totals, counts = torch.zeros(probs.shape[2], *scaled), torch.zeros(scaled)
    for part, window in zip(torch.einsum("nqk,nqhw->nkhw", probs, masks), windows, strict=True):
        place = (window, slice(None)) if scaled[0] > scaled[1] else (slice(None), window)
        totals[:, place[0], place[1]] += part
        counts[place] += 1
    return F.interpolate((totals / counts)[None], size, mode="bilinear")[0]


@settings(max_examples=25, deadline=None)
@given(height=st.integers(8, 90), width=st.integers(8, 90), seed=st.integers(0, 99))
def test_scores_are_the_mean_over_windows(height, width, seed):
    scaled = input_size((height, width), WINDOWS)
    windows = list_windows(scaled, WINDOWS)
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randn(len(windows), 5, 4, generator=generator)
    masks = 3 * torch.randn(len(windows), 5, SIDE // 4, SIDE // 4, generator=generator)
    expected = dense_scores(classes, masks, windows, scaled, (height, width))
    scores = WindowScores(classes, masks, windows, scaled)
    strips = list(scores.resized((height, width)))
    torch.testing.assert_close(torch.cat([part for _, part in strips], 1), expected)
    image = np.zeros((height, width, 3), np.uint8)
    labels = LabelSet(("a", "b", "c"), (False,) * 3)
    result = segment_windows(classes, masks, windows, preprocess(image, WINDOWS), labels)
    best = expected.topk(2, dim=0)
    clear = (best.values[0] - best.values[1] > 1e-5).numpy()
    assert (result.segmentation == best.indices[0].numpy())[clear].all()
    shares = (best.values[0] / expected.sum(0)).numpy()
    np.testing.assert_allclose(result.confidence, shares, atol=1e-4)


def test_classes_below_the_threshold_are_left_out():
    classes = torch.tensor([[[1.0, 1.0, 0.0]]])
    item = preprocess(np.zeros((SIDE, SIDE, 3), np.uint8), WINDOWS)
    arguments = classes, torch.zeros(1, 1, 8, 8), [slice(0, SIDE)], item
    labels = LabelSet(("a", "b"), (False, False))
    assert segment_windows(*arguments, labels).segments
    assert not segment_windows(*arguments, labels, threshold=0.6).segments


def test_logits_that_do_not_fit_the_labels_are_refused():
    item = preprocess(np.zeros((SIDE, SIDE, 3), np.uint8), WINDOWS)
    labels = LabelSet(("a",), (False,))
    with pytest.raises(SettingsError, match="class columns"):
        segment_windows(
            torch.zeros(1, 1, 3), torch.zeros(1, 1, 8, 8), [slice(0, SIDE)], item, labels
        )
