"""NRRD files, as 3D Slicer writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.volumes.grid import Grid
from unimask.volumes.volume import Volume, axes_text, check_geometry

SUFFIXES = (".nrrd", ".nhdr")
"""Endings of NRRD files."""

TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
"""Signs of the axes of a space in RAS."""


def read_nrrd(path: Path) -> Volume:
    """Read an NRRD file.

    Raises:
        ImageError: It is damaged, has other than 3 axes in space, or an unknown space.
        MissingExtraError: pynrrd is not installed.
    """
    nrrd = import_extra("nrrd", "medical")
    try:
        values, header = nrrd.read(str(path))
    except MemoryError:
        raise
    except Exception as error:  # pynrrd raises many kinds of errors
        message = f"{path} is damaged ({one_line(error)}): copy or download it again"
        raise ImageError(message) from error
    affine, axes = parse_affine(header, values.ndim, path)
    values = values.reshape(space_shape(values.shape, axes, path), order="A")
    return check_geometry(Volume(str(path), "nrrd", values, affine))


def read_nrrd_grid(path: Path) -> Grid:
    """Read the grid of an NRRD file from its header.

    Raises:
        ImageError: It is damaged, has other than 3 axes in space, or an unknown space.
        MissingExtraError: pynrrd is not installed.
    """
    nrrd = import_extra("nrrd", "medical")
    try:
        header = nrrd.read_header(str(path))
        sides = tuple(int(side) for side in header["sizes"])
    except Exception as error:  # pynrrd raises many kinds of errors
        message = f"{path} is damaged ({one_line(error)}): copy or download it again"
        raise ImageError(message) from error
    affine, axes = parse_affine(header, len(sides), path)
    return Grid(str(path), space_shape(sides, axes, path), affine)


def space_shape(sides: tuple[int, ...], axes: Sequence[int], path: Path) -> tuple[int, int, int]:
    """Return the sides along the axes in space.

    Raises:
        ImageError: There are not three, or others have several values, such as colours.
    """
    others = [side for axis, side in enumerate(sides) if axis not in axes]
    if len(axes) != 3 or any(side != 1 for side in others):
        raise ImageError(
            f"{path} is {axes_text(sides)} with {len(axes)} axes in space: save one grey "
            "volume of it"
        )
    return sides[axes[0]], sides[axes[1]], sides[axes[2]]


def parse_affine(header: dict[str, Any], ndim: int, path: Path) -> tuple[np.ndarray, list[int]]:
    """Return the result of `read_affine`.

    Raises:
        ImageError: The header is damaged, or the space unknown.
    """
    try:
        return read_affine(header, ndim, path)
    except (ValueError, TypeError, LookupError) as error:
        message = f"{path} has a damaged header ({one_line(error)}): save it again"
        raise ImageError(message) from error


def read_affine(header: dict[str, Any], ndim: int, path: Path) -> tuple[np.ndarray, list[int]]:
    """Return the affine to RAS, and the axes of the array that are in space.

    Without a space, axes count as left, posterior, superior.

    Raises:
        ImageError: The space is unknown.
    """
    space = str(header.get("space", "lps")).lower()
    if space not in TO_RAS:
        raise ImageError(
            f"{path} is in the space {space!r}: save it in left-posterior-superior, "
            "right-anterior-superior or left-anterior-superior"
        )
    affine = np.eye(4)
    directions = header.get("space directions")
    if directions is None:
        spacings = np.atleast_1d(np.asarray(header.get("spacings", np.ones(ndim)), np.float64))
        kinds = [str(kind) for kind in header.get("kinds", ["domain"] * ndim)]
        spatial = {"domain", "space", "none", "???"}
        axes = [axis for axis in range(ndim) if kinds[axis] in spatial]
        if len(axes) == 3:
            affine[:3, :3] = np.diag(np.nan_to_num(spacings[axes], nan=1.0))
    else:
        rows = [np.asarray(np.nan if row is None else row, np.float64) for row in directions]
        axes = [axis for axis, row in enumerate(rows) if np.isfinite(row).all()]
        if len(axes) == 3:
            affine[:3, :3] = np.stack([rows[axis] for axis in axes], axis=1)
    if len(axes) == 3:
        affine[:3, 3] = np.asarray(header.get("space origin", (0, 0, 0)), np.float64)
    return np.diag((*TO_RAS[space], 1)) @ affine, axes
