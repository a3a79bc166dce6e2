"""Order and geometry of DICOM frames: positions along their normal, and the affine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from unimask.errors import ImageError
from unimask.processing.dicom_file import frame_group, numbers

SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines that count as equal."""

SAME_GAP = 0.02
"""Largest difference of the distances of slices from their median, as a share of it."""

ROUNDING = 0.11
"""Difference of distances in mm that positions rounded to 0.1 mm cause, with a margin."""

MIN_GAP = 1e-3
"""Distance in mm up to which two slices are at the same position."""


@dataclass(frozen=True, eq=False)
class FramePlace:
    """Where a frame is in the patient, in DICOM's coordinates: left, posterior, superior (LPS).

    Attributes:
        name: Name of the file in messages.
        position: Centre of the first pixel in mm.
        rows: Direction in which columns are counted, then that in which rows are (direction
            cosines of the row and of the column).
        spacing: Distances of rows and of columns in mm.
        thickness: Distance of slices, or their thickness, in mm; None if it is not stated.
    """

    name: str
    position: Float[np.ndarray, " 3"]
    rows: Float[np.ndarray, "2 3"]
    spacing: tuple[float, float]
    thickness: float | None


def read_place(dataset: Any, frame: int, name: str) -> FramePlace:
    """Read the place of a frame.

    Raises:
        ImageError: The file does not state it.
    """
    plane = frame_group(dataset, "PlanePositionSequence", frame) or dataset
    direction = frame_group(dataset, "PlaneOrientationSequence", frame) or dataset
    measures = frame_group(dataset, "PixelMeasuresSequence", frame) or dataset
    position = numbers(plane, "ImagePositionPatient", 3)
    rows = numbers(direction, "ImageOrientationPatient", 6)
    spacing = numbers(measures, "PixelSpacing", 2)
    if position is None or rows is None:
        raise ImageError(
            f"{name} states no position in the patient (ImagePositionPatient and "
            "ImageOrientationPatient): for single images use unimask predict"
        )
    if spacing is None or min(spacing) <= 0:
        raise ImageError(f"{name} states no PixelSpacing: correct its header")
    thickness = numbers(measures, "SpacingBetweenSlices", 1) or numbers(
        measures, "SliceThickness", 1
    )
    cosines = np.array(rows).reshape(2, 3)
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=1e-2):
        raise ImageError(f"{name} has an invalid ImageOrientationPatient: correct its header")
    depth = None if thickness is None or thickness[0] == 0 else abs(thickness[0])
    return FramePlace(name, np.array(position), cosines, (spacing[0], spacing[1]), depth)


def stack_frames(
    places: Sequence[FramePlace], name: str
) -> tuple[list[int], Float[np.ndarray, "4 4"]]:
    """Sort frames by position, and compute the affine of the volume.

    Args:
        places: Places of the frames in any order.
        name: Name of the volume in messages.

    Returns:
        Indices of the frames in ascending order along their normal, and the affine from column,
        row and slice to right, anterior, superior (RAS) in mm.

    Raises:
        ImageError: Directions or spacings differ, slices are missing, or several are at one
            position.
    """
    check_directions(places, name)
    across, down = places[0].rows
    normal = np.cross(across, down)
    positions = np.stack([place.position for place in places])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    check_gaps(heights[order], [places[index].name for index in order], name)
    affine = np.eye(4)
    affine[:3, 0] = across * places[0].spacing[1]
    affine[:3, 1] = down * places[0].spacing[0]
    if len(places) > 1:
        step = (positions[order[-1]] - positions[order[0]]) / (len(places) - 1)
        check_line(positions[order], step, name)
    else:
        step = normal * (places[0].thickness or 1.0)
    affine[:3, 2] = step
    affine[:3, 3] = positions[order[0]]
    return order.tolist(), np.diag((-1.0, -1.0, 1.0, 1.0)) @ affine


def check_directions(places: Sequence[FramePlace], name: str) -> None:
    """Test that all frames have one direction and one size of pixels.

    Raises:
        ImageError: They do not.
    """
    first = places[0]
    for place in places[1:]:
        if np.abs(place.rows - first.rows).max() > SAME_DIRECTION:
            raise ImageError(
                f"{name} is no regular volume: {place.name} and {first.name} have different "
                "orientations; move localizers and other planes away"
            )
        if not np.allclose(place.spacing, first.spacing, rtol=1e-3):
            raise ImageError(
                f"{name} has mixed spacing: PixelSpacing is {place.spacing} in {place.name} and "
                f"{first.spacing} in {first.name}; move the files that differ away"
            )


def check_gaps(heights: Float[np.ndarray, " n"], names: Sequence[str], name: str) -> None:
    """Test that slices are equally far apart.

    Args:
        heights: Ascending positions of the slices in mm.
        names: Names of their files.
        name: Name of the volume.

    Raises:
        ImageError: Slices are missing, several are at one position, or their distances differ.
    """
    gaps = np.diff(heights)
    if not len(gaps):
        return
    same = np.flatnonzero(gaps < MIN_GAP)
    if len(same):
        first = int(same[0])
        raise ImageError(
            f"{name} has several images at one position ({names[first]} and {names[first + 1]}), "
            "such as phases or echoes: keep one image per position"
        )
    usual = float(np.median(gaps))
    tolerance = max(SAME_GAP * usual, min(ROUNDING, 0.2 * usual))
    wrong = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if not len(wrong):
        return
    place = int(wrong[0])
    steps = gaps / usual
    is_multiple = np.abs(steps - np.round(steps)) <= max(0.1, tolerance / usual)
    if len(gaps) > 1 and is_multiple.all() and np.round(steps).min() >= 1:
        missing = int(np.round(steps - 1).sum())
        noun = "slice is" if missing == 1 else "slices are"
        raise ImageError(
            f"{name}: {missing} {noun} missing, the first between {names[place]} and "
            f"{names[place + 1]} ({gaps[place]:.4g} mm apart instead of {usual:.4g}): copy the "
            "series again"
        )
    raise ImageError(
        f"{name} has mixed spacing: slices are {gaps.min():.4g} to {gaps.max():.4g} mm apart; "
        "resample it to equal distances"
    )


def check_line(
    positions: Float[np.ndarray, "n 3"], step: Float[np.ndarray, " 3"], name: str
) -> None:
    """Test that slices follow each other on a straight line, but for rounded positions.

    Raises:
        ImageError: They are shifted against each other.
    """
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    distance = np.abs(positions - expected).max()
    length = float(np.linalg.norm(step))
    if distance > max(0.05 * length, min(ROUNDING, 0.2 * length)):
        raise ImageError(
            f"{name} is no regular volume: slices are shifted by up to {distance:.3g} mm against a "
            "regular grid; resample it"
        )
