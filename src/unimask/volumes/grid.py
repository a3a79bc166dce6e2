"""Grids of volumes: number, spacing and place of voxels, without their values."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Shaped

from unimask.errors import DataError
from unimask.volumes.volume import Volume, axes_text, check_axes

MAX_SHIFT = 0.1
"""Largest distance of voxels of one grid from those of another that count as equal, in voxels."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Grid of a volume.

    Attributes:
        name: Path of the file or folder.
        shape: Number of voxels along each axis.
        affine: Position of voxels in mm (RAS), see `Volume`.
        modality: Modality of DICOM files, such as "CT"; "" if unknown.
        patient: Patient id of DICOM files, which is never written; "" if unknown.
    """

    name: str
    shape: tuple[int, int, int]
    affine: Float[np.ndarray, "4 4"]
    modality: str = ""
    patient: str = ""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    def __str__(self) -> str:
        spacing = " x ".join(f"{each:.3g}" for each in self.spacing)
        return f"{axes_text(self.shape)} voxels of {spacing} mm"


@dataclass(frozen=True, eq=False)
class Alignment:
    """Order and direction in which the axes of a grid are those of another one.

    Attributes:
        order: Axis of the grid for each axis of the other.
        steps: 1, or -1 for an axis that runs the other way.
        start: Index in the other grid of the first voxel after `order` and `steps`.
    """

    order: tuple[int, int, int]
    steps: tuple[int, int, int]
    start: tuple[int, int, int]

    def apply(
        self, values: Shaped[np.ndarray, "i j k"], shape: tuple[int, int, int]
    ) -> Shaped[np.ndarray, "x y z"]:
        """Return values on the other grid; voxels that they do not cover are 0."""
        turned = values.transpose(self.order)[tuple(slice(None, None, s) for s in self.steps)]
        if turned.shape == shape and not any(self.start):
            return turned
        placed = np.zeros(shape, values.dtype)
        target, source = [], []
        for start, count, side in zip(self.start, turned.shape, shape, strict=True):
            first, last = max(0, start), max(0, min(side, start + count))
            target.append(slice(first, last))
            source.append(slice(first - start, max(first, last) - start))
        placed[tuple(target)] = turned[tuple(source)]
        return placed


def on_one_grid(volumes: Sequence[Volume]) -> list[Volume]:
    """Return volumes with their values in the order of the voxels of the first.

    Raises:
        DataError: The voxels of their grids differ.
    """
    first = volumes[0]
    others = [
        replace(
            volume,
            values=align(grid_of(volume), grid_of(first)).apply(volume.values, first.shape),
            affine=first.affine,
        )
        for volume in volumes[1:]
    ]
    return [first, *others]


def grid_of(volume: Volume) -> Grid:
    """Return the grid of a volume."""
    return Grid(volume.name, volume.shape, volume.affine, volume.modality)


def check_grid(grid: Grid) -> Grid:
    """Return a grid after a test of its shape and affine.

    Raises:
        ImageError: It has no voxels, no spacing, or parallel axes.
    """
    check_axes(grid.name, grid.shape, grid.affine)
    return grid


def align(grid: Grid, target: Grid, *, may_be_smaller: bool = False) -> Alignment:
    """Find how the axes of a grid are those of another one with the same voxels.

    Args:
        grid: Grid whose axes may have another order and direction, such as that of labels.
        target: The other grid, such as that of the image.
        may_be_smaller: Whether `grid` may cover a part of `target`, as a DICOM SEG does.

    Raises:
        DataError: The voxels of the grids differ.
    """
    matrix = np.linalg.inv(grid.affine) @ target.affine
    rounded = np.rint(matrix)
    corners = np.array(list(itertools.product(*((0, side - 1) for side in target.shape), (1,))))
    shift = float(np.abs((matrix - rounded) @ corners.T).max())
    linear = np.abs(rounded[:3, :3])
    if shift > MAX_SHIFT or not ((linear.sum(0) == 1).all() and (linear.sum(1) == 1).all()):
        raise other_grid_error(grid, target)
    axes = [int(axis) for axis in linear.argmax(axis=0)]
    steps = [int(rounded[axis, place]) for place, axis in enumerate(axes)]
    starts = []
    for axis, step in zip(axes, steps, strict=True):
        first = round(float(rounded[axis, 3]))  # index in `grid` of the target's first voxel
        starts.append(-first if step > 0 else first - grid.shape[axis] + 1)
    found = Alignment(
        (axes[0], axes[1], axes[2]),
        (steps[0], steps[1], steps[2]),
        (starts[0], starts[1], starts[2]),
    )
    turned = tuple(grid.shape[axis] for axis in axes)
    if not may_be_smaller and (turned != target.shape or any(starts)):
        raise other_grid_error(grid, target)
    return found


def other_grid_error(grid: Grid, target: Grid) -> DataError:
    """Return the error for grids of different voxels."""
    details = f"{grid} instead of {target}"
    if str(grid) == str(target):
        details = f"{grid} at another place or angle"
    return DataError(
        f"{grid.name} is on another grid than {target.name} ({details}): resample it to that grid "
        "(labels by nearest neighbour)"
    )
