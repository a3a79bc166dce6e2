"""The three tasks against a float32 reference of the authors' rules."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from unimask.errors import SettingsError, TaskError
from unimask.processing import postprocess

LABELS = ("cat", "dog", "sky", "road")
THINGS = (True, True, False, False)
SIZES = [
    # logits, padded, input, original (heights and widths)
    ((8, 12), (32, 48), (30, 41), (57, 80)),
    ((16, 16), (64, 64), (64, 64), (64, 64)),
    ((24, 40), (96, 160), (90, 160), (300, 533)),
    ((24, 8), (96, 32), (96, 27), (41, 11)),
    ((8, 8), (32, 32), (1, 32), (1, 40)),
]


def logits_of(seed: int, size: tuple[int, int], queries: int = 12):
    generator = torch.Generator().manual_seed(seed)
    class_logits = 4 * torch.randn(queries, len(LABELS) + 1, generator=generator)
    coarse = 6 * torch.randn(queries, 1, 4, 4, generator=generator)
    smooth = F.interpolate(coarse, size, mode="bicubic", align_corners=False)[:, 0]
    return class_logits, smooth + 0.2 * torch.randn(queries, *size, generator=generator)


def full_size(mask_logits, padded, shown, original):
    """Resize whole masks in two bilinear steps, like the authors."""
    masks = F.interpolate(mask_logits[None], padded, mode="bilinear", align_corners=False)
    masks = masks[:, :, : shown[0], : shown[1]]
    return F.interpolate(masks, original, mode="bilinear", align_corners=False)[0]


def arguments(sizes, task, **changes):
    _, padded, shown, original = sizes
    return {
        "task": task,
        "labels": LABELS,
        "is_thing": THINGS,
        "padded_size": padded,
        "input_size": shown,
        "original_size": original,
    } | changes


@pytest.mark.parametrize("resize", ["masks", "scores"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_semantic(sizes, resize):
    class_logits, mask_logits = logits_of(1, sizes[0])
    _, padded, shown, original = sizes
    probs = class_logits.softmax(-1)[:, :-1]
    if resize == "masks":
        masks = full_size(mask_logits, padded, shown, original).sigmoid()
        scores = torch.einsum("qk,qhw->khw", probs, masks)
    else:
        masks = F.interpolate(mask_logits[None], padded, mode="bilinear", align_corners=False)
        scores = torch.einsum("qk,qhw->khw", probs, masks[0].sigmoid())
        scores = scores[:, : shown[0], : shown[1]]
        scores = F.interpolate(scores[None], original, mode="bilinear", align_corners=False)[0]
    result = postprocess(class_logits, mask_logits, **arguments(sizes, "semantic", resize=resize))
    differs = torch.from_numpy(result.segmentation) != scores.argmax(0)
    best = scores.topk(2, dim=0).values
    assert (best[0] - best[1])[differs].abs().max() < 1e-5 if differs.any() else True
    assert differs.float().mean() < 1e-3
    assert all(segment.score is None for segment in result.segments)


def reference_panoptic(class_logits, masks, object_threshold, overlap_threshold, uncertain="void"):
    """Reference of the authors' `panoptic_inference`; also returns pixels close to a tie.

    That of MaskFormer (uncertain="winner") lacks the cut at one half.
    """
    scores, labels = class_logits.softmax(-1).max(-1)
    keep = (labels != len(LABELS)) & (scores > object_threshold)
    scores, labels, masks = scores[keep], labels[keep], masks[keep].sigmoid()
    ids = torch.zeros(masks.shape[-2:], dtype=torch.int32)
    info, stuff = [], {}
    if not len(scores):
        return ids, info, torch.zeros_like(ids, dtype=torch.bool)
    weighted = scores[:, None, None] * masks
    winner = weighted.argmax(0)
    for query in range(len(scores)):
        label = int(labels[query])
        won, own = int((winner == query).sum()), int((masks[query] >= 0.5).sum())
        mask = (winner == query) & (masks[query] >= (0.5 if uncertain == "void" else 0))
        if not (won and own and mask.sum()) or won / own < overlap_threshold:
            continue
        if not THINGS[label]:
            if label in stuff:
                ids[mask] = stuff[label]
                continue
            stuff[label] = len(info) + 1
        info.append((len(info) + 1, label))
        ids[mask] = len(info)
    top = weighted.topk(min(2, len(weighted)), dim=0).values
    tie = (masks - 0.5).abs().min(0).values < 1e-5
    if len(top) > 1:
        tie |= (top[0] - top[1]) < 1e-5
    return ids, info, tie


@pytest.mark.parametrize("uncertain", ["void", "winner"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_panoptic(sizes, seed, uncertain):
    class_logits, mask_logits = logits_of(seed, sizes[0])
    masks = full_size(mask_logits, *sizes[1:])
    ids, info, tie = reference_panoptic(class_logits, masks, 0.5, 0.3, uncertain)
    rules = {"object_threshold": 0.5, "overlap_threshold": 0.3, "uncertain_pixels": uncertain}
    result = postprocess(class_logits, mask_logits, **arguments(sizes, "panoptic", **rules))
    actual = torch.from_numpy(result.segmentation)
    assert [(s.id, s.label_id) for s in result.segments] == info
    assert ((actual == ids) | tie).all()
    assert tie.float().mean() < 0.01


def test_maskformer_assigns_every_pixel():
    """A query confident in one corner gets that corner in Mask2Former, all pixels in MaskFormer."""
    class_logits = torch.tensor([[9.0, 0, 0, 0, 0]])
    mask_logits = torch.full((1, 8, 8), -3.0)
    mask_logits[:, :4, :4] = 5
    sizes = ((8, 8), (32, 32), (32, 32), (32, 32))
    areas = {}
    for uncertain in ("void", "winner"):
        options = arguments(sizes, "panoptic", uncertain_pixels=uncertain)
        (segment,) = postprocess(class_logits, mask_logits, **options).segments
        areas[uncertain] = segment.area
    assert areas["winner"] == 32 * 32 and 16 * 16 <= areas["void"] < 20 * 20


def test_a_query_that_wins_too_few_pixels_is_dropped():
    class_logits = torch.tensor([[9.0, 0, 0, 0, 0]])
    sizes = ((8, 8), (32, 32), (32, 32), (32, 32))
    options = arguments(sizes, "panoptic", uncertain_pixels="winner")
    assert len(postprocess(class_logits, torch.full((1, 8, 8), -3.0), **options)) == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_instance(sizes, seed):
    class_logits, mask_logits = logits_of(seed, sizes[0])
    masks = full_size(mask_logits, *sizes[1:])
    probs = class_logits.softmax(-1)[:, :-1]
    scores, pairs = probs.flatten().topk(20)
    expected = []
    for score, pair in zip(scores.tolist(), pairs.tolist(), strict=True):
        query, label = divmod(pair, len(LABELS))
        inside = masks[query] > 0
        if THINGS[label] and inside.any():
            quality = masks[query].sigmoid()[inside].mean().item()
            expected.append((score * quality, label, inside.numpy(), query))
    expected.sort(key=lambda item: -item[0])
    result = postprocess(class_logits, mask_logits, **arguments(sizes, "instance", top_k=20))
    assert len(result) == len(expected)
    np.testing.assert_allclose(result.scores, [item[0] for item in expected], atol=1e-5)
    for segment, (_, label, mask, query) in zip(result.segments, expected, strict=True):
        assert segment.label_id == label
        near = (masks[query].abs() < 1e-4).numpy()
        assert ((segment.mask == mask) | near).all()
    strict = postprocess(
        class_logits, mask_logits, **arguments(sizes, "instance", top_k=20, threshold=0.3)
    )
    assert len(strict) == sum(item[0] >= 0.3 for item in expected)


@pytest.mark.parametrize("minimum", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_hidden_instances_are_left_out_on_request(seed, minimum):
    logits = logits_of(seed, SIZES[0][0], queries=30)
    everything = postprocess(*logits, **arguments(SIZES[0], "instance"))
    actual = postprocess(*logits, **arguments(SIZES[0], "instance", min_visible=minimum))
    taken, visible = np.zeros(SIZES[0][3], bool), []
    for segment in everything.segments:
        mask = segment.rle.to_mask()
        if (mask & ~taken).sum() >= minimum * mask.sum():
            taken |= mask
            visible.append((segment.score, segment.rle))
    assert 0 < len(visible) < len(everything.segments)
    assert [(segment.score, segment.rle) for segment in actual.segments] == visible
    assert [segment.id for segment in actual.segments] == list(range(1, len(visible) + 1))


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_small_blocks_give_equal_results(monkeypatch, task):
    logits = logits_of(0, SIZES[2][0])
    rules = arguments(SIZES[2], task, object_threshold=0.5, overlap_threshold=0.3)
    whole = postprocess(*logits, **rules)
    monkeypatch.setattr("unimask.processing.instance.MAX_PARTIAL_PIXELS", 5000)
    monkeypatch.setattr("unimask.processing.blocks.MAX_BATCH_VALUES", 3000)
    monkeypatch.setattr("unimask.processing.blocks.MAX_GRID_BOUNDS", 100)
    strips = postprocess(*logits, **rules)
    assert len(whole) == len(strips) > 0
    for one, other in zip(whole.segments, strips.segments, strict=True):
        assert one.rle == other.rle
        assert one.score == pytest.approx(other.score, abs=1e-6)


@settings(max_examples=25)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.integers(0, 100),
)
def test_any_size_of_image_works_for_every_task(logits_size, original, seed):
    class_logits, mask_logits = logits_of(seed, logits_size, queries=5)
    padded = (4 * logits_size[0], 4 * logits_size[1])
    shown = (max(1, padded[0] - seed % 4), max(1, padded[1] - seed % 3))
    for task in ("panoptic", "instance", "semantic"):
        sizes = (logits_size, padded, shown, original)
        result = postprocess(class_logits, mask_logits, **arguments(sizes, task))
        assert result.segmentation.shape == original
        areas = sum(segment.area for segment in result.segments)
        if task == "semantic":
            assert areas == original[0] * original[1]
        if task == "panoptic":
            assert areas == (result.segmentation > 0).sum()


def test_no_confident_query_is_an_empty_result():
    class_logits = torch.zeros(3, 5)
    class_logits[:, -1] = 20
    sizes = SIZES[0]
    masks = torch.zeros(3, *sizes[0])
    for task in ("panoptic", "instance"):
        result = postprocess(class_logits, masks, **arguments(sizes, task))
        assert len(result) == 0 and not result.segmentation.any()


def test_invalid_arguments_are_named():
    class_logits, masks = logits_of(0, (8, 12))
    with pytest.raises((TaskError, TypeCheckError), match="panotic"):
        postprocess(class_logits, masks, **arguments(SIZES[0], "panotic"))
    with pytest.raises(SettingsError, match=r"threshold is 1\.5: pass a number from 0 to 1"):
        postprocess(class_logits, masks, **arguments(SIZES[0], "semantic", threshold=1.5))
    with pytest.raises(SettingsError, match="one column"):
        postprocess(class_logits[:, 1:], masks, **arguments(SIZES[0], "panoptic"))
    with pytest.raises((SettingsError, TypeCheckError), match=r"queries|Type-check"):
        postprocess(class_logits[1:], masks, **arguments(SIZES[0], "panoptic"))
    with pytest.raises((SettingsError, TypeCheckError), match=r"one image|Type-check"):
        postprocess(class_logits[None], masks[None], **arguments(SIZES[0], "panoptic"))
    with pytest.raises(SettingsError, match="NaN"):
        postprocess(class_logits, masks / 0, **arguments(SIZES[0], "panoptic"))
    with pytest.raises(SettingsError, match="pass some"):
        postprocess(class_logits[:0], masks[:0], **arguments(SIZES[0], "semantic"))


def test_segments_name_the_queries_that_predicted_them():
    class_logits = torch.full((3, 3), -5.0)
    class_logits[[0, 1, 2], [2, 1, 0]] = 5.0  # query 0 is "no object"
    mask_logits = torch.full((3, 2, 2), -5.0)
    mask_logits[1, :, 0] = mask_logits[2, :, 1] = 5.0
    arguments = {"labels": ["cell", "road"], "is_thing": [True, True]}
    sizes = dict.fromkeys(("padded_size", "input_size", "original_size"), (8, 8))
    for task, expected in (
        ("instance", {"cell": (2,), "road": (1,)}),
        ("panoptic", {"cell": (2,), "road": (1,)}),
        ("semantic", {"cell": (), "road": ()}),
    ):
        result = postprocess(
            class_logits,
            mask_logits,
            task=task,
            threshold=0.5 if task != "semantic" else None,
            **arguments,
            **sizes,
        )
        assert {segment.label: segment.queries for segment in result.segments} == expected
