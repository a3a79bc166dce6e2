"""Planes in which a volume is sliced, displayed as in radiology."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from unimask.errors import SettingsError
from unimask.extras import import_extra

PlaneName = Literal["sagittal", "coronal", "axial"]
PLANES: tuple[PlaneName, ...] = ("sagittal", "coronal", "axial")
"""Planes by the anatomical axis on which they are perpendicular: right, anterior, superior."""

SAME_SPACING = 1.01
"""Ratio of spacings up to which they count as equal."""

Axis = str | int


@dataclass(frozen=True)
class Plane:
    """Direction of slicing, and how slices are displayed.

    Slices are displayed as in radiology whatever the order of the voxels: axial slices from
    inferior to superior with anterior on top, coronal ones from posterior to anterior and sagittal
    ones from left to right with superior on top. The patient's right, or anterior in sagittal
    slices, is on the left of the image.

    Attributes:
        name: Anatomical plane to which the slices are closest.
        axis: Axis of the array on which the slices are perpendicular.
        order: Axes of the array that are slices, rows and columns.
        steps: 1 or -1 for each of them; -1 reverses the axis.
        spacing: Distances of slices, rows and columns in mm.
    """

    name: PlaneName
    axis: int
    order: tuple[int, int, int]
    steps: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def view(self, values: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "n h w"]:
        """Return the slices of an array as a view, which can be written to."""
        slices, rows, columns = (slice(None, None, step) for step in self.steps)
        return values.transpose(self.order)[slices, rows, columns]

    def index(self, position: int, shape: tuple[int, int, int]) -> int:
        """Return the index along the array's axis of a slice.

        Args:
            position: Position of the slice in `view`.
            shape: Shape of the array.
        """
        return position if self.steps[0] > 0 else shape[self.axis] - 1 - position


def choose_plane(affine: Float[np.ndarray, "4 4"], axis: Axis) -> Plane:
    """Return the plane of slicing.

    Args:
        affine: Affine of the volume.
        axis: "axial", "coronal", "sagittal", the index of an axis of the array, or "auto": the axis
            with the largest spacing; axial if that is not unique, else coronal.

    Raises:
        MissingExtraError: nibabel is not installed.
        SettingsError: The axis is unknown.
    """
    orientations = import_extra("nibabel.orientations", "medical")
    found = orientations.io_orientation(affine)
    world = [int(each) for each in found[:, 0]]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if axis == "auto":
        thick = [index for index in range(3) if spacing[index] * SAME_SPACING >= spacing.max()]
        chosen = max(thick, key=lambda index: world[index])
    elif axis in PLANES:
        chosen = world.index(PLANES.index(axis))
    elif isinstance(axis, int) and not isinstance(axis, bool) and 0 <= axis < 3:
        chosen = axis
    else:
        raise SettingsError(
            f"axis {axis!r} is unknown: pass auto, axial, coronal, sagittal, 0, 1 or 2"
        )
    columns, rows = sorted((i for i in range(3) if i != chosen), key=lambda index: world[index])
    order = (chosen, rows, columns)
    # Rows and columns run to the patient's inferior, posterior and left, slices the other way.
    steps = tuple(
        int(found[index, 1]) * sign for index, sign in zip(order, (1, -1, -1), strict=True)
    )
    distances = tuple(float(spacing[index]) for index in order)
    return Plane(PLANES[world[chosen]], chosen, order, steps, distances)  # type: ignore[arg-type]
