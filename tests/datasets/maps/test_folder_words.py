"""Roles and splits from the names of folders and files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.datasets.maps.folder_words import (
    parse_key,
    role_from_names,
    split_from_names,
    split_words,
)


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
    assert split_words(name) == words


def test_role_from_the_innermost_and_split_from_the_outermost_folder():
    assert (
        role_from_names(("labels", "images")) == "image"
        and role_from_names(("images", "mask_images")) == "map"
    )
    assert role_from_names(("train",)) is None and role_from_names(()) is None
    assert (
        split_from_names(("valid", "train")) == "val"
        and split_from_names(("Tile 1", "images")) is None
    )


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
    assert parse_key(image)[0] == parse_key(mask)[0]
    assert parse_key(image)[1] != parse_key(mask)[1]


@given(
    st.text("abcLl01", min_size=1), st.sampled_from(["_mask", "_labelIds", "_L", "-gt", " labels"])
)
def test_role_suffixes_do_not_change_the_key(stem, suffix):
    assert parse_key(stem + suffix)[0] == parse_key(stem)[0]
