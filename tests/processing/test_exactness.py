"""Results equal the reference for any logits, except for ties closer than 1e-6.

The reference uses float64, on masks at full size that PyTorch resizes in float32.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unimask.processing import blocks, postprocess, semantic

TIE = 1e-6
CLASSES = 11
THINGS = tuple(number < 6 for number in range(CLASSES))
side = st.integers(1, 90)


@st.composite
def scenes(draw):
    """Draw logits of any smoothness and scale, and sizes of input and image."""
    size = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    queries = draw(st.integers(1, 30))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    class_logits = torch.randn(queries, CLASSES + 1, generator=generator)
    class_logits *= draw(st.sampled_from([0.3, 3.0, 9.0]))
    coarse = torch.randn(queries, 1, 5, 5, generator=generator)
    mask_logits = F.interpolate(coarse, size, mode="bicubic")[:, 0]
    mask_logits = draw(st.sampled_from([1.0, 8.0])) * mask_logits + draw(
        st.sampled_from([-6.0, 0.0, 3.0])
    )
    mask_logits += draw(st.sampled_from([0.0, 0.3])) * torch.randn(
        mask_logits.shape, generator=generator
    )
    padded = (4 * size[0], 4 * size[1])
    cut = draw(st.tuples(st.integers(0, 31), st.integers(0, 31)))
    shown = (max(1, padded[0] - cut[0]), max(1, padded[1] - cut[1]))
    return class_logits, mask_logits, padded, shown, draw(st.tuples(side, side))


def resized(maps, new_size):
    """Resize bilinearly."""
    return F.interpolate(maps[None], new_size, mode="bilinear", align_corners=False)[0]


def full_size(scene):
    """Resize whole masks in both steps."""
    _, mask_logits, padded, shown, original = scene
    return resized(resized(mask_logits, padded)[:, : shown[0], : shown[1]], original).double()


def actual(scene, task, **rules):
    """Run `postprocess` with small blocks, which need several grids."""
    class_logits, mask_logits, padded, shown, original = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SIDE", 8)
        patch.setattr(blocks, "MAX_GRID_BOUNDS", 2**10)
        patch.setattr(semantic, "MAX_CANDIDATE_CLASSES", 4)
        patch.setattr(semantic, "PROBE_CLASSES", 2)
        patch.setattr(semantic, "PROBE_QUERIES", 3)
        return postprocess(
            class_logits,
            mask_logits,
            task=task,
            labels=[str(number) for number in range(CLASSES)],
            is_thing=THINGS,
            padded_size=padded,
            input_size=shown,
            original_size=original,
            **rules,
        )


@settings(max_examples=60)
@given(scenes(), st.sampled_from(["masks", "scores"]))
def test_semantic(scene, resize):
    class_logits, mask_logits, padded, shown, original = scene
    probs = class_logits.double().softmax(-1)[:, :-1]
    if resize == "masks":
        scores = torch.einsum("qk,qhw->khw", probs, full_size(scene).sigmoid())
    else:
        masks = resized(mask_logits, padded).double().sigmoid()
        scores = torch.einsum("qk,qhw->khw", probs, masks)[:, : shown[0], : shown[1]]
        scores = resized(scores.float(), original).double()
    selected = torch.from_numpy(actual(scene, "semantic", resize=resize).segmentation).long()
    lost = scores.amax(0) - scores.gather(0, selected[None])[0]
    assert lost.max() < TIE * max(1.0, float(scores.max()))


@settings(max_examples=60)
@given(scenes(), st.sampled_from(["void", "winner"]))
def test_panoptic(scene, uncertain):
    class_logits, masks = scene[0], full_size(scene).sigmoid()
    scores, labels = class_logits.softmax(-1).max(-1)
    competes = (labels != CLASSES) & (scores > 0.3)
    scores, labels, masks = scores[competes].double(), labels[competes], masks[competes]
    result = actual(
        scene, "panoptic", object_threshold=0.3, overlap_threshold=0.0, uncertain_pixels=uncertain
    )
    if not len(scores):
        assert not len(result)
        return
    weighted = scores[:, None, None] * masks
    winner = weighted.argmax(0)
    half = masks.gather(0, winner[None])[0] >= 0.5
    close = (masks - 0.5).abs().amin(0) < TIE
    if len(weighted) > 1:
        best = weighted.topk(2, dim=0).values
        close |= best[0] - best[1] < TIE
    expected = labels[winner] + 1
    exists = (masks >= 0.5).flatten(1).any(1)[winner]
    if uncertain == "void":
        expected = expected.where(half, 0)
    # A segment exists if the query wins a pixel; segments that depend on ties are not compared.
    open_ = ((masks - 0.5).abs() < TIE).flatten(1).any(1)[winner]
    expected = expected.where(exists, 0)
    lookup = torch.zeros(len(result) + 1, dtype=torch.long)
    for segment in result.segments:
        lookup[segment.id] = segment.label_id + 1
    labels_by_pixel = lookup[torch.from_numpy(result.segmentation).long()]
    assert ((labels_by_pixel == expected) | close | open_).all()


@settings(max_examples=60)
@given(scenes())
def test_instance(scene):
    class_logits, masks = scene[0], full_size(scene)
    probs = class_logits.softmax(-1)[:, :-1]
    expected = []
    for score, pair in zip(
        *(part.tolist() for part in probs.flatten().topk(min(100, probs.numel()))), strict=True
    ):
        query, label = divmod(pair, CLASSES)
        inside = masks[query] > 0
        if THINGS[label] and inside.any():
            expected.append((score * float(masks[query].sigmoid()[inside].mean()), label, query))
    result = actual(scene, "instance")
    if len(result) != len(expected):  # a mask that consists of ties
        near = (masks.sigmoid() - 0.5).abs() < TIE
        assert near.any()
        return
    by_class = sorted(expected, key=lambda row: (row[1], -row[0]))
    segments = sorted(result.segments, key=lambda segment: (segment.label_id, -segment.score))
    for (score, label, query), segment in zip(by_class, segments, strict=True):
        assert segment.label_id == label and segment.score == pytest.approx(score, abs=1e-5)
        wrong = torch.from_numpy(segment.mask) != (masks[query] > 0)
        assert not (wrong & ((masks[query].sigmoid() - 0.5).abs() >= TIE)).any()
