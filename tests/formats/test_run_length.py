"""Run lengths: round trips, and equality with pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unimask.errors import DataError
from unimask.formats.run_length import RunLength, compress_counts, decompress_counts, encode_id_map

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
def test_masks_round_trip_through_every_encoding(mask):
    rle = RunLength.from_mask(mask)
    assert np.array_equal(rle.to_mask(), mask)
    assert RunLength.from_coco(rle.to_coco()) == rle
    assert RunLength.from_coco({"size": mask.shape, "counts": rle.counts.tolist()}) == rle
    assert RunLength.from_runs(rle.size, *rle.runs) == rle


@given(masks)
def test_the_span_contains_all_ones(mask):
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
def test_counts_round_trip(counts):
    assert decompress_counts(compress_counts(np.array(counts, np.uint32))).tolist() == counts


@given(masks)
def test_area_and_box_are_computed_from_the_pixels(mask):
    rle = RunLength.from_mask(mask)
    assert rle.area == mask.sum()
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0,) * 4
    assert rle.box == box


@given(id_maps)
def test_an_id_map_is_encoded_in_one_pass_as_segment_by_segment(ids):
    actual = encode_id_map(ids)
    assert actual.keys() == set(np.unique(ids).tolist()) - {0}
    for number, rle in actual.items():
        assert rle == RunLength.from_mask(ids == number)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_maps_without_pixels(shape):
    rle = RunLength.from_mask(np.zeros(shape, bool))
    assert rle.to_mask().shape == shape
    assert (rle.area, rle.box) == (0, (0.0, 0.0, 0.0, 0.0))
    assert encode_id_map(np.zeros(shape, int)) == {}


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
def test_invalid_run_lengths_are_refused(coco):
    with pytest.raises(DataError):
        RunLength.from_coco(coco)


HUGE = 2**63 + 6
"""Counts whose sum is 12 if 64-bit integers overflow."""


@pytest.mark.parametrize(
    "counts",
    [
        [2**62, 2**62, 2**62, 2**62, 12],
        [HUGE, 2**63 - 6, 12],
        [2**64, 12],
        [12, 2**64],
        [10**400],
        [-4, 16],
        [float("nan")],
        [float("inf")],
        [6.5, 5.5],
        [True, 11],
        ["12"],
        [[12]],
        {"12": 12},
        None,
    ],
    ids=str,
)
def test_counts_whose_sum_wraps_to_the_size_are_refused(counts):
    with pytest.raises(DataError, match="run length") as raised:
        RunLength.from_coco({"size": [3, 4], "counts": counts})
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "size",
    [[float("inf"), 4], [float("nan"), 4], [2**64, 2**64], [65536, 65536], [-3, -4], [12],
     [3, 4, 1], ["3", "4"], "34", None, {"3": 4}, [True, 12], [3.5, 4]],
    ids=str,
)  # fmt: skip
def test_sizes_beyond_any_mask_are_refused(size):
    with pytest.raises(DataError, match=r"run length|too many"):
        RunLength.from_coco({"size": size, "counts": [12]})


def test_whole_floats_and_arrays_are_sizes_and_counts():
    expected = RunLength((3, 4), np.array([5, 7], np.uint32))
    for size, counts in (([3.0, 4.0], [5.0, 7.0]), (np.array([3, 4]), np.array([5, 7]))):
        assert RunLength.from_coco({"size": size, "counts": counts}) == expected


@given(st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmno", max_size=60))
def test_any_compressed_text_is_a_mask_of_its_size_or_refused(text):
    try:
        rle = RunLength.from_coco({"size": [5, 7], "counts": text})
    except DataError:
        return
    assert int(rle.counts.astype(object).sum()) == 35 and rle.to_mask().shape == (5, 7)
