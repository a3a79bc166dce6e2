"""Run lengths: round trips, and equality with pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unimask.errors import DataError
from unimask.formats.run_length import RunLength, compress, expand, run_lengths_of_ids

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))
id_maps = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 4)
)


def assert_like_pycocotools(mask):
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    rle = RunLength.from_mask(mask)
    assert rle.to_coco() == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    assert RunLength.from_coco(theirs) == rle
    assert rle.area == coco.area(theirs)
    if rle.area:
        x, y, w, h = coco.toBbox(theirs)
        assert rle.box == (x, y, x + w, y + h)


@given(masks)
def test_a_mask_comes_back_from_every_form(mask):
    rle = RunLength.from_mask(mask)
    assert np.array_equal(rle.to_mask(), mask)
    assert RunLength.from_coco(rle.to_coco()) == rle
    assert RunLength.from_coco({"size": mask.shape, "counts": rle.counts.tolist()}) == rle
    assert RunLength.from_runs(rle.size, *rle.runs) == rle


@given(masks)
def test_the_span_holds_all_ones(mask):
    start, part = RunLength.from_mask(mask).span
    flat = np.zeros(mask.size, bool)
    flat[start : start + len(part)] = part
    assert np.array_equal(flat, mask.ravel(order="F"))
    assert not len(part) or (part[0] and part[-1])


@given(masks)
def test_pycocotools_writes_and_measures_the_same(mask):
    assert_like_pycocotools(mask)


def test_long_runs_have_the_strings_of_pycocotools():
    mask = np.zeros((700, 900), bool)
    mask[13:640, 7:880] = True
    mask[100:300, 100:101] = False
    assert_like_pycocotools(mask)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_counts_of_any_size_come_back(counts):
    assert expand(compress(np.array(counts, np.uint32))).tolist() == counts


@given(masks)
def test_area_and_box_are_those_of_the_pixels(mask):
    rle = RunLength.from_mask(mask)
    assert rle.area == mask.sum()
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0,) * 4
    assert rle.box == box


@given(id_maps)
def test_an_id_map_is_encoded_in_one_pass_as_segment_by_segment(ids):
    found = run_lengths_of_ids(ids)
    assert found.keys() == set(np.unique(ids).tolist()) - {0}
    for number, rle in found.items():
        assert rle == RunLength.from_mask(ids == number)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_maps_without_pixels(shape):
    rle = RunLength.from_mask(np.zeros(shape, bool))
    assert rle.to_mask().shape == shape
    assert (rle.area, rle.box) == (0, (0.0, 0.0, 0.0, 0.0))
    assert run_lengths_of_ids(np.zeros(shape, int)) == {}


@pytest.mark.parametrize(
    "coco",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": "P"},
        {"size": [2, 2], "counts": "1 é"},
        {"size": [2, 2], "counts": "oooooooo0"},
        {"size": [2, 2], "counts": None},
        {"size": [2, 2], "counts": [[1, 3]]},
        {"size": 4, "counts": [4]},
        {"counts": [4]},
    ],
)
def test_what_is_no_run_length_is_refused(coco):
    with pytest.raises(DataError):
        RunLength.from_coco(coco)
