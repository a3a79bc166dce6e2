"""Confidence against a reference at full size in float64."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.errors import SettingsError
from unimask.processing import blocks, class_shares, postprocess
from unimask.processing.confidence import SEGMENT_TOLERANCE, SemanticConfidence

CLASSES = 5
LABELS = [str(number) for number in range(CLASSES)]
THINGS = (True, True, True, False, False)
PAIRS = ((8, 8), (32, 32), (30, 27), (51, 67))
side = st.integers(1, 80)


@st.composite
def scenes(draw):
    """Draw logits of any smoothness, and the sizes that lead to the image's."""
    size = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    queries = draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    class_logits = draw(st.sampled_from([0.3, 3.0, 9.0])) * torch.randn(
        queries, CLASSES + 1, generator=generator
    )
    coarse = torch.randn(queries, 1, 5, 5, generator=generator)
    mask_logits = F.interpolate(coarse, size, mode="bicubic")[:, 0]
    mask_logits = draw(st.sampled_from([1.0, 8.0])) * mask_logits - draw(
        st.sampled_from([6.0, 0.0, -3.0])
    )
    mask_logits += 0.2 * torch.randn(mask_logits.shape, generator=generator)
    padded = (4 * size[0], 4 * size[1])
    cut = draw(st.tuples(st.integers(0, 31), st.integers(0, 31)))
    shown = (max(1, padded[0] - cut[0]), max(1, padded[1] - cut[1]))
    return class_logits, mask_logits, padded, shown, draw(st.tuples(side, side))


def predicted(scene, task, **rules):
    """Return the result computed in small blocks, which need several grids."""
    class_logits, mask_logits, padded, shown, original = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SIDE", 8)
        patch.setattr(blocks, "MAX_GRID_BOUNDS", 2**8)
        patch.setattr(blocks, "MAX_BATCH_VALUES", 2**12)
        result = postprocess(
            class_logits,
            mask_logits,
            task=task,
            labels=LABELS,
            is_thing=THINGS,
            padded_size=padded,
            input_size=shown,
            original_size=original,
            **rules,
        )
        assert result.confidence.shape == original and result.confidence.dtype == np.float32
    return result


def resized(maps, new_size):
    return F.interpolate(maps[None], new_size, mode="bilinear", align_corners=False)[0]


def full_size(scene):
    _, mask_logits, padded, shown, original = scene
    return resized(resized(mask_logits, padded)[:, : shown[0], : shown[1]], original).double()


def shares(scene, resize="masks"):
    """Class scores of every pixel, divided by their sum."""
    class_logits, mask_logits, padded, shown, original = scene
    probs = class_logits.double().softmax(-1)[:, :-1]
    if resize == "masks":
        scores = torch.einsum("qk,qhw->khw", probs, full_size(scene).sigmoid())
    else:
        masks = resized(mask_logits, padded).double().sigmoid()
        scores = torch.einsum("qk,qhw->khw", probs, masks)[:, : shown[0], : shown[1]]
        scores = F.interpolate(scores[None], original, mode="bilinear", align_corners=False)[0]
    return (scores / scores.sum(0)).numpy()


def values_at_owner(values, owners):
    """Return values (n, h, w) at the owner of each pixel, 0 where it is negative."""
    chosen = np.take_along_axis(values, np.maximum(owners, 0)[None].astype(np.int64), 0)[0]
    return np.where(owners >= 0, chosen, 0)


@settings(max_examples=60)
@given(scenes(), st.sampled_from(["masks", "scores"]))
def test_semantic_confidence_is_the_share_of_the_class(scene, resize):
    result = predicted(scene, "semantic", resize=resize)
    expected = values_at_owner(shares(scene, resize), result.segmentation)
    # Float16 logits of up to 30 change a mask probability by up to 30 / 2^13.
    np.testing.assert_allclose(result.confidence, expected, atol=6e-3)
    assert np.abs(result.confidence - expected).mean() < 1e-3


@settings(max_examples=60)
@given(scenes(), st.sampled_from(["masks", "scores"]), st.sampled_from([0.0, 0.3, 0.55, 0.9, 1.0]))
def test_semantic_threshold_removes_exactly_the_uncertain_pixels(scene, resize, threshold):
    plain = predicted(scene, "semantic", resize=resize)
    result = predicted(scene, "semantic", resize=resize, threshold=threshold)
    expected = values_at_owner(shares(scene, resize), plain.segmentation)
    is_removed = result.segmentation == -1
    differs = is_removed != (expected < threshold)
    assert (np.abs(expected - threshold)[differs] < 2e-5).all()
    assert (result.segmentation == plain.segmentation)[~is_removed].all()
    assert (result.confidence[is_removed] == 0).all()
    assert (result.confidence[~is_removed] >= np.float32(threshold)).all()
    masks = sum((segment.mask for segment in result.segments), np.zeros(result.size, int))
    assert (masks == ~is_removed).all()


def test_no_semantic_threshold_changes_no_bit():
    scene = (torch.randn(9, CLASSES + 1), 5 * torch.randn(9, 8, 8), *PAIRS[1:])
    results = [predicted(scene, "semantic", **rules) for rules in ({}, {"threshold": None})]
    results.append(predicted(scene, "semantic", threshold=0.0))
    for other in results[1:]:
        assert [s.rle for s in results[0].segments] == [s.rle for s in other.segments]


@settings(max_examples=60)
@given(scenes(), st.sampled_from(["void", "winner"]))
def test_panoptic_confidence_is_that_of_the_winner(scene, uncertain):
    class_scores, labels = scene[0].double().softmax(-1).max(-1)
    competes = (labels != CLASSES) & (class_scores > 0.3)
    weighted = class_scores[:, None, None] * full_size(scene).sigmoid()
    rules = {"object_threshold": 0.3, "overlap_threshold": 0.2, "uncertain_pixels": uncertain}
    result = predicted(scene, "panoptic", **rules)
    expected = weighted[competes].numpy().max(0, initial=0)
    expected = np.where(result.segmentation > 0, expected, 0)
    np.testing.assert_allclose(result.confidence, expected, atol=4 * SEGMENT_TOLERANCE + 1e-5)
    assert ((result.confidence > 0) == (result.segmentation > 0)).all()


@settings(max_examples=60)
@given(scenes(), st.sampled_from([None, 0.2]))
def test_instance_confidence_is_that_of_the_segment_on_top(scene, threshold):
    masks = full_size(scene)
    probs = scene[0].double().softmax(-1)[:, :-1]
    result = predicted(scene, "instance", threshold=threshold)
    expected = np.zeros(result.size)
    for segment in reversed(result.segments):
        inside = masks > 0
        quality = (masks.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        totals = probs[:, segment.label_id] * quality
        query = int((totals - segment.score).abs().argmin())
        confidence = (probs[query, segment.label_id] * masks[query].sigmoid()).numpy()
        expected = np.where(segment.mask, confidence, expected)
    np.testing.assert_allclose(result.confidence, expected, atol=4 * SEGMENT_TOLERANCE + 1e-5)
    assert ((result.confidence > 0) == (result.segmentation > 0)).all()


@pytest.mark.parametrize(("scale", "threshold"), [(0.3, None), (0.3, 0.25), (3.0, 0.5)])
def test_confidence_of_pixel_classifiers_is_their_softmax(scale, threshold):
    scores = scale * torch.randn(CLASSES, 8, 8)
    certain = 1000.0 * (torch.eye(CLASSES, CLASSES + 1) - 1)
    scene = (certain, scores.log_softmax(0), *PAIRS[1:])
    result = predicted(scene, "semantic", threshold=threshold)
    softmax = full_size((None, scores, *PAIRS[1:])).softmax(0).numpy()
    expected = values_at_owner(softmax, result.segmentation)
    np.testing.assert_allclose(result.confidence, expected, atol=2e-3)
    if threshold is not None:
        clear = np.abs(softmax.max(0) - threshold) > 2e-5
        assert ((result.segmentation == -1) == (softmax.max(0) < threshold))[clear].all()
        assert 0 < (result.segmentation == -1).sum() < result.segmentation.size


def test_most_blocks_are_decided_by_their_bounds(monkeypatch):
    computed = []
    pixel_shares = class_shares.pixel_shares

    def counted(part, labels, blocks, classes):
        computed.append(len(blocks))
        return pixel_shares(part, labels, blocks, classes)

    monkeypatch.setattr(class_shares, "pixel_shares", counted)
    class_logits = torch.full((2, 3), -5.0)
    class_logits[0, 0] = class_logits[1, 1] = 5
    mask_logits = torch.full((2, 64, 64), -8.0)
    mask_logits[0, :, :32] = mask_logits[1, :, 32:] = 8
    sizes = {"padded_size": (256, 256), "input_size": (256, 256), "original_size": (512, 512)}
    options = {"labels": ("a", "b"), "is_thing": (True, True), "task": "semantic"}
    result = postprocess(class_logits, mask_logits, **sizes, **options, threshold=0.95)
    assert 0 < (result.segmentation == -1).sum() < 512 * 16
    assert sum(computed) <= 2 * 512 // 32  # of 16 x 16 blocks, one or two columns


def batch_logits():
    """Return confident predictions of overlapping discs."""
    generator = torch.Generator().manual_seed(0)
    y, x, radius = torch.rand(3, 40, 1, 1, generator=generator) * 64
    grid = torch.arange(64)
    distance = ((grid[:, None] - y) ** 2 + (grid - x) ** 2).sqrt()
    class_logits = 4 * torch.randn(40, CLASSES + 1, generator=generator)
    return class_logits, (3 * (radius / 4 - distance)).clamp(-25, 15)


@pytest.mark.parametrize("task", ["semantic", "panoptic", "instance"])
def test_a_result_keeps_few_logits_and_none_of_the_batch(task):
    class_logits, mask_logits = batch_logits()
    sizes = ((256, 256), (256, 256), (300, 300))
    result = predicted((class_logits, mask_logits, *sizes), task)
    dense = mask_logits.numel() * 4
    assert result.confidence_source.nbytes < 0.4 * dense
    assert len(pickle.dumps(replace(result))) < 0.5 * dense
    before = replace(result).confidence
    mask_logits.fill_(float("nan"))
    assert np.array_equal(replace(result).confidence, before)


@pytest.mark.parametrize("task", ["semantic", "panoptic", "instance"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_results_can_be_copied_and_pickled(task, dtype):
    class_logits, mask_logits = batch_logits()
    with torch.inference_mode():
        logits = class_logits.to(dtype), mask_logits.clamp(-60, 60).to(dtype)
        result = predicted((*logits, (256, 256), (250, 200), (90, 91)), task)
    unread, read = replace(result), replace(result)
    assert read.confidence is read.confidence
    for other in (pickle.loads(pickle.dumps(unread)), copy.deepcopy(unread), copy.copy(unread)):
        assert np.array_equal(other.confidence, read.confidence)


def test_confidence_follows_removed_and_renamed_segments():
    class_logits, mask_logits = batch_logits()
    result = predicted((class_logits, mask_logits, (256, 256), (256, 256), (200, 200)), "instance")
    assert len(result) > 2
    result = replace(result)
    fewer = replace(result, segments=result.segments[1:])
    gone = result.segmentation != fewer.segmentation
    assert gone.any()
    np.testing.assert_allclose(fewer.confidence[~gone], result.confidence[~gone], atol=1e-6)
    assert ((fewer.confidence > 0) == (fewer.segmentation > 0)).all()
    unknown = replace(result, segments=(replace(result.segments[0], id=77_000),))
    assert not unknown.confidence.any()


def test_huge_logits_have_a_confidence():
    scene = (torch.randn(4, CLASSES + 1), 1e30 * torch.randn(4, 8, 8), *PAIRS[1:])
    for task in ("semantic", "panoptic", "instance"):
        confidence = predicted(scene, task).confidence
        assert np.isfinite(confidence).all() and 0 <= confidence.min() <= confidence.max() <= 1


def test_results_without_logits_report_it():
    result = predicted((torch.randn(4, CLASSES + 1), torch.randn(4, 8, 8), *PAIRS[1:]), "panoptic")
    with pytest.raises(SettingsError, match="not predicted here") as error:
        _ = replace(result, confidence_source=None).confidence
    assert "\n" not in str(error.value)


def test_networks_with_one_class_are_certain():
    result = postprocess(
        torch.randn(3, 2),
        torch.randn(3, 8, 8),
        task="semantic",
        labels=["a"],
        is_thing=[True],
        padded_size=(32, 32),
        input_size=(32, 32),
        original_size=(40, 40),
        threshold=1.0,
    )
    assert isinstance(result.confidence_source, SemanticConfidence)
    assert (result.confidence == 1).all() and (result.segmentation == 0).all()
