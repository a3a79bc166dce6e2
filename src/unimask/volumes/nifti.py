"""NIfTI files: volumes with an affine in millimetres."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.volumes.grid import Grid
from unimask.volumes.volume import Volume, axes_text, check_geometry

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
"""Endings of NIfTI files."""

SPACE_UNITS = 7
"""Bits of the unit of space in a NIfTI header."""

MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres of a unit of NIfTI headers: metre, millimetre, micrometre; others count as mm."""

MAX_RATIO = 1100
"""Largest number of bytes that a byte of a gzip file can stand for, rounded up."""


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file.

    Raises:
        ImageError: It is damaged, has several time points, or colours.
        MissingExtraError: nibabel is not installed.
    """
    image, shape = open_nifti(path)
    with damage_as_image_error(path):
        values = read_values(image).reshape(shape)
    volume = Volume(str(path), "nifti", values, read_affine(image), header=image.header)
    return check_geometry(volume)


def read_nifti_grid(path: Path) -> Grid:
    """Read the grid of a NIfTI file from its header.

    Raises:
        ImageError: It is damaged, has several time points, or colours.
        MissingExtraError: nibabel is not installed.
    """
    image, shape = open_nifti(path)
    return Grid(str(path), shape, read_affine(image))


def open_nifti(path: Path) -> tuple[Any, tuple[int, int, int]]:
    """Open a file without reading its values; return nibabel's image and the shape in space.

    Raises:
        ImageError: It is damaged, has several time points, or colours.
        MissingExtraError: nibabel is not installed.
    """
    nibabel = import_extra("nibabel", "medical")
    with damage_as_image_error(path):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Pair):
            raise ImageError(f"{path} is {type(image).__name__}, no NIfTI: convert it to NIfTI")
        shape = check_shape(image.shape, path)
        check_dtype(image.get_data_dtype(), path)
        check_length(shape, image, path)
    return image, shape


@contextmanager
def damage_as_image_error(path: Path) -> Iterator[None]:
    """Raise the errors of nibabel, of which there are many kinds, as `ImageError`."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        message = f"{path} is damaged ({one_line(error)}): copy or download it again"
        raise ImageError(message) from error


def read_affine(image: Any) -> Float[np.ndarray, "4 4"]:
    """Return the affine in mm."""
    affine = np.array(image.affine, np.float64)
    affine[:3] *= MILLIMETRES.get(int(image.header["xyzt_units"]) & SPACE_UNITS, 1.0)
    return affine


def check_shape(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """Return the three sides of a volume; further ones of 1 are left out.

    Raises:
        ImageError: It has fewer or more dimensions.
    """
    if len(shape) < 3:
        raise ImageError(f"{path} is {axes_text(shape)}, no volume: use unimask predict")
    if any(side != 1 for side in shape[3:]):
        raise ImageError(
            f"{path} is {len(shape)}-D ({axes_text(shape)}), such as a time series: save one "
            "volume of it, for example nibabel.load(path).slicer[..., 0]"
        )
    return shape[0], shape[1], shape[2]


def check_length(shape: tuple[int, int, int], image: Any, path: Path) -> None:
    """Test that a file is long enough for its voxels, before memory for them is allocated.

    Raises:
        ImageError: It is shorter.
    """
    name = Path(image.file_map["image"].filename or path)
    size = name.stat().st_size * (MAX_RATIO if name.suffix == ".gz" else 1)
    if math.prod(shape) * image.get_data_dtype().itemsize > size:
        raise ImageError(f"{path} is too short for {axes_text(shape)} voxels: copy it again")


def check_dtype(dtype: np.dtype, path: Path) -> None:
    """Test that voxels are numbers.

    Raises:
        ImageError: Voxels are colours or complex numbers.
    """
    if dtype.kind not in "iuf":
        kind = "RGB colours" if dtype.fields else f"values of type {dtype}"
        raise ImageError(f"{path} has {kind} in its voxels: convert them to grey values")


def read_values(image: Any) -> np.ndarray:
    """Return the values, scaled as the header says; integers stay integers without a scale."""
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) == (1.0, 0.0):
        return np.asarray(image.dataobj.get_unscaled())
    return np.asarray(image.dataobj, np.float32)
