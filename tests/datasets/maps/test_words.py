"""What names say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.datasets.maps.words import key_of, role_of, split_of, words_in


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trainannot", ["train", "annot"]),
        ("valAnnot", ["val", "annot"]),
        ("images_prepped_train", ["images", "prepped", "train"]),
        ("JPEGImages", ["jpegimages"]),
        ("SegmentationClass", ["segmentationclass"]),
        ("Tile 1", ["tile"]),
        ("train2017", ["train"]),
        ("contest", ["contest"]),
    ],
)
def test_words(name, words):
    assert words_in(name) == words


def test_the_innermost_name_tells_the_role_and_the_outermost_the_split():
    assert role_of(("labels", "images")) == "image" and role_of(("images", "mask_images")) == "map"
    assert role_of(("train",)) is None and role_of(()) is None
    assert split_of(("valid", "train")) == "val" and split_of(("Tile 1", "images")) is None


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("0001TP_006690", "0001TP_006690_L"),
        ("aachen_000000_000019_leftImg8bit", "aachen_000000_000019_gtFine_labelIds"),
        ("119_sat", "119_mask"),
        ("image_7", "mask_7"),
        ("cells.v2", "cells.v2_label"),
        ("image", "mask"),
    ],
)
def test_partners_share_a_name(image, mask):
    assert key_of(image)[0] == key_of(mask)[0]
    assert key_of(image)[1] != key_of(mask)[1]


@given(
    st.text("abcLl01", min_size=1), st.sampled_from(["_mask", "_labelIds", "_L", "-gt", " labels"])
)
def test_marks_never_change_the_name(stem, mark):
    assert key_of(stem + mark)[0] == key_of(stem)[0]
