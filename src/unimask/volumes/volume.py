"""A volume: its values, and where its voxels are in the patient."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped

from unimask.errors import ImageError

VolumeKind = Literal["nifti", "dicom", "nrrd", "tiff"]


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a regular grid in space.

    Attributes:
        name: Path of the file or folder.
        kind: Kind of the file.
        values: Values of the voxels in the order of the file's axes as nibabel returns them; of
            DICOM and TIFF column, row, slice.
        affine: Position of voxels in mm: right, anterior, superior (RAS) from the three indices.
        modality: Modality of DICOM files, such as "CT"; "" if unknown.
        is_inverted: Whether low values are displayed white (MONOCHROME1).
        header: Header of a NIfTI file as nibabel read it; None for other kinds.
        files: DICOM files of the slices, from the first index of the last axis to the last.
        frames: Index of the frame of each slice within its file, from 0.
    """

    name: str
    kind: VolumeKind
    values: Shaped[np.ndarray, "i j k"] = field(repr=False)
    affine: Float[np.ndarray, "4 4"]
    modality: str = ""
    is_inverted: bool = False
    header: Any = field(default=None, repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    frames: tuple[int, ...] = field(default=(), repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        i, j, k = self.values.shape
        return i, j, k

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


def check_geometry(volume: Volume) -> Volume:
    """Return a volume after a test of its values and its affine.

    Raises:
        ImageError: It has no voxels, values that are not real numbers, or no spacing.
    """
    if volume.values.dtype.kind not in "iuf":
        raise ImageError(
            f"{volume.name} has voxels of type {volume.values.dtype}: pass integers or floats"
        )
    check_axes(volume.name, volume.shape, volume.affine)
    return volume


def check_axes(name: str, shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]) -> None:
    """Test the shape and the affine of a volume.

    Raises:
        ImageError: It has no voxels, no spacing, or parallel axes.
    """
    if not all(shape):
        raise ImageError(f"{name} has no voxels ({axes_text(shape)})")
    matrix = affine[:3, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(affine).all() or min(lengths) <= 0:
        raise ImageError(f"{name} states no spacing of its voxels: correct its header")
    if abs(np.linalg.det(matrix / lengths)) < 1e-3:
        raise ImageError(f"{name} has parallel axes: correct the affine in its header")


def axes_text(shape: tuple[int, ...]) -> str:
    """Return a shape as text, such as "64 x 64 x 30"."""
    return " x ".join(map(str, shape))
