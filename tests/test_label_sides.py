"""Left and right in class names, in the spellings of published datasets."""

import pytest

from unimask.label_sides import mirrored_label_ids, one_sided_names


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("back_left_door", "back_right_door"),
        ("Left-arm", "Right-arm"),
        ("kidney_left", "kidney_right"),
        ("LeftShoe", "RightShoe"),
        ("leftLung", "rightLung"),
        ("LEFT ATRIUM", "RIGHT ATRIUM"),
        ("l_eye", "r_eye"),
        ("hand.L", "hand.R"),
        ("Left-Cerebellum-Cortex", "Right-Cerebellum-Cortex"),
    ],
)
def test_pairs_are_exchanged(left, right):
    assert mirrored_label_ids(("body", left, "hair", right)) == (0, 3, 2, 1)
    assert one_sided_names(("body", left, right)) == ()


@pytest.mark.parametrize(
    "names",
    [
        ("bright", "blight"),
        ("copyright", "cleft"),
        ("leftover", "rightover"),
        ("upright piano", "lightning"),
        ("L", "M", "XL"),
        ("road", "car"),
    ],
)
def test_other_names_are_left_alone(names):
    assert mirrored_label_ids(names) == tuple(range(len(names)))
    assert one_sided_names(names) == ()


@pytest.mark.parametrize(
    "name", ["left_turn_arrow", "LeftVentricle", "right of way", "aorta RIGHT"]
)
def test_a_side_without_a_counterpart_is_reported(name):
    assert mirrored_label_ids((name, "road")) == (0, 1)
    assert one_sided_names((name, "road")) == (name,)
