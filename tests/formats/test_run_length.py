import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unimask.errors import DataError
from unimask.formats.run_length import RunLength, run_lengths_of_ids

pycocotools = pytest.importorskip("pycocotools.mask")

SIDES = st.integers(1, 20)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(bool, size))
IDS = st.tuples(SIDES, SIDES).flatmap(lambda s: arrays(np.int32, s, elements=st.integers(0, 4)))


@given(MASKS)
def test_a_mask_comes_back(mask):
    rle = RunLength.from_mask(mask)
    assert np.array_equal(rle.to_mask(), mask)
    assert RunLength.from_coco(rle.to_coco()) == rle
    assert RunLength.from_coco({"size": rle.size, "counts": rle.counts.tolist()}) == rle


@given(MASKS)
def test_strings_areas_and_boxes_are_those_of_pycocotools(mask):
    rle, theirs = RunLength.from_mask(mask), pycocotools.encode(np.asfortranarray(mask, np.uint8))
    assert rle.to_coco()["counts"] == theirs["counts"].decode()
    assert rle.area == pycocotools.area(theirs)
    if rle.area:
        x, y, width, height = pycocotools.toBbox(theirs)
        assert rle.box == (x, y, x + width, y + height)
    else:
        assert rle.box == (0, 0, 0, 0)


def test_long_runs_have_the_strings_of_pycocotools():
    mask = np.zeros((700, 900), bool)
    mask[13:640, 7:880] = True
    mask[100:300, 100:101] = False
    theirs = pycocotools.encode(np.asfortranarray(mask, np.uint8))
    assert RunLength.from_mask(mask).to_coco()["counts"] == theirs["counts"].decode()


@settings(max_examples=60)
@given(IDS)
def test_an_id_map_is_encoded_in_one_pass_as_segment_by_segment(ids):
    encoded = run_lengths_of_ids(ids)
    assert encoded.keys() == set(np.unique(ids).tolist()) - {0}
    for number, rle in encoded.items():
        assert rle == RunLength.from_mask(ids == number)


@pytest.mark.parametrize("counts", [[3, 4], [5, -1, 8], "0"])
def test_counts_that_do_not_add_up_are_refused(counts):
    with pytest.raises(DataError):
        RunLength.from_coco({"size": [3, 4], "counts": counts})
