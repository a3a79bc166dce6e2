"""DETR's panoptic rule against a plain implementation with PIL's nearest resizing."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unimask import postprocess
from unimask.processing.resize import Resizer

IS_THING = (True, False, False, True)


def expected_map(classes, masks, padded, size, original, threshold=0.85, is_thing=IS_THING):
    """Compute label and query per pixel as `PostProcessPanoptic` describes, with whole masks."""
    scores, labels = classes.softmax(-1).max(-1)
    queries = [q for q in range(len(labels)) if labels[q] < len(is_thing) and scores[q] > threshold]
    if not queries:
        return np.full(original, -1)
    resized = F.interpolate(masks[None], padded, mode="bilinear")[0, :, : size[0], : size[1]]
    merge = True
    while queries:
        winner = np.array(queries)[resized[queries].argmax(0).numpy()]
        if merge:
            for query in queries:
                same = [q for q in queries if labels[q] == labels[query]]
                if not is_thing[int(labels[query])]:
                    winner[winner == query] = same[0]
        image = Image.fromarray(winner.astype(np.int32)).resize(original[::-1], Image.NEAREST)
        result, merge = np.asarray(image), False
        large = [query for query in queries if (result == query).sum() > 4]
        if large == queries:
            return result
        queries = large
    return np.full(original, -1)


def found_map(result):
    found = np.full(result.size, -1)
    for segment in result.segments:
        assert len(segment.queries) == 1
        found[segment.mask] = segment.queries[0]
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    original=st.tuples(st.integers(3, 70), st.integers(3, 70)),
    spread=st.sampled_from([1.0, 8.0]),
)
def test_pixels_belong_to_the_query_of_the_plain_implementation(seed, size, original, spread):
    generator = torch.Generator().manual_seed(seed)
    classes = 6 * torch.randn(9, 5, generator=generator)
    coarse = spread * torch.randn(1, 9, 3, 3, generator=generator)
    masks = F.interpolate(coarse, tuple(-(-side // 4) for side in size), mode="bilinear")[0]
    result = postprocess(
        classes,
        masks.contiguous(),
        task="panoptic",
        labels=["a", "b", "c", "d"],
        is_thing=IS_THING,
        padded_size=size,
        input_size=size,
        original_size=original,
        object_threshold=0.85,
        uncertain_pixels="logits",
    )
    expected = expected_map(classes, masks, size, size, original)
    found = found_map(result)
    assert (found != expected).mean() <= 0.002  # logits that are equal up to rounding


@pytest.mark.parametrize("lengths", [(7, 3), (3, 7), (640, 427), (801, 1333), (5, 5)], ids=str)
def test_nearest_resizing_is_that_of_pil(lengths):
    length, new_length = lengths
    values = np.arange(length, dtype=np.int32)[None].repeat(2, 0)
    expected = np.asarray(Image.fromarray(values).resize((new_length, 2), Image.NEAREST))[0]
    found = Resizer.nearest((2, length), (2, new_length)).columns.inputs[:, 0]
    assert found.tolist() == expected.tolist()
