"""Grids of volumes: labels whose axes have another order are turned as by nibabel."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from medical_files import rotation

from unimask.errors import DataError
from unimask.volumes.grid import Grid, align

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="needs nibabel"),
]

SHAPE = (3, 4, 5)
ORIENTATIONS = st.permutations(range(3)).flatmap(
    lambda order: st.tuples(*(st.sampled_from(("RL", "AP", "SI")[axis]) for axis in order))
)


def affine_of(angle, spacing=(0.7, 0.9, 2.5)):
    affine = np.eye(4)
    affine[:3, :3] = rotation((angle, -angle / 2, angle)) * spacing
    affine[:3, 3] = 3, -40, 12.5
    return affine


def turned(values, affine, codes):
    """Return values and affine with the axes of an orientation, by nibabel."""
    import nibabel
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

    change = ornt_transform(axcodes2ornt(tuple("RAS")), axcodes2ornt(codes))
    return nibabel.apply_orientation(values, change), affine @ inv_ornt_aff(change, values.shape)


@given(first=ORIENTATIONS, second=ORIENTATIONS, angle=st.floats(-0.4, 0.4), data=st.data())
def test_values_are_turned_and_placed_as_their_affines_say(first, second, angle, data):
    values = np.arange(60, dtype=np.int16).reshape(SHAPE) + 1
    expected, affine = turned(values, affine_of(angle), first)
    image = Grid("image", expected.shape, affine)
    whole, own = turned(values, affine_of(angle), second)
    found = align(Grid("labels", whole.shape, own), image).apply(whole, image.shape)
    assert (found == expected).all()

    box = [sorted(data.draw(st.tuples(*[st.integers(0, side)] * 2))) for side in whole.shape]
    box = [(low, max(high, low + 1)) if low < side else (side - 1, side)
           for (low, high), side in zip(box, whole.shape, strict=True)]  # fmt: skip
    part = whole[tuple(slice(low, high) for low, high in box)]
    shifted = own.copy()
    shifted[:3, 3] += own[:3, :3] @ [low for low, _ in box]
    grid = Grid("part", part.shape, shifted)
    found = align(grid, image, may_be_smaller=True).apply(part, image.shape)
    assert (found == np.where(np.isin(expected, part), expected, 0)).all()
    if part.shape != whole.shape:
        with pytest.raises(DataError, match="part is on another grid than image"):
            align(grid, image)


@given(
    part=st.sampled_from(["shift", "spacing", "angle"]),
    size=st.floats(0.3, 2.0) | st.floats(-0.7, -0.3),
)
def test_other_voxels_get_one_line(part, size):
    image = Grid("image", SHAPE, affine_of(0.1))
    other = affine_of(0.1)
    if part == "shift":
        other[:3, 3] += other[:3, 0] * (0.5 if abs(size - round(size)) < 0.15 else size)
    elif part == "spacing":
        other[:3, :3] *= 1 + abs(size)
    else:
        other = affine_of(0.1 + size)
    for smaller in (False, True):
        with pytest.raises(DataError, match="labels is on another grid than image") as raised:
            align(Grid("labels", SHAPE, other), image, may_be_smaller=smaller)
        assert "\n" not in str(raised.value)
