"""NIfTI files: volumes with an affine in millimetres."""

from pathlib import Path
from typing import Any

import numpy as np

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.volumes.volume import Volume, axes_text, check_geometry

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
"""Endings of NIfTI files."""

MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
"""Millimetres of a unit of NIfTI headers."""


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file.

    Raises:
        ImageError: It is damaged, has several time points, or colours.
        MissingExtraError: nibabel is not installed.
    """
    nibabel = import_extra("nibabel", "medical")
    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Pair):
            raise ImageError(f"{path} is {type(image).__name__}, no NIfTI: convert it to NIfTI")
        shape = check_shape(image.shape, path)
        values = read_values(image, path).reshape(shape)
        affine = np.array(image.affine, np.float64)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # nibabel raises many kinds of errors
        message = f"{path} is damaged ({one_line(error)}): copy or download it again"
        raise ImageError(message) from error
    unit = image.header.get_xyzt_units()[0]
    affine[:3] *= MILLIMETRES.get(unit, 1.0)
    volume = Volume(str(path), "nifti", values, affine, header=image.header)
    return check_geometry(volume)


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


def read_values(image: Any, path: Path) -> np.ndarray:
    """Return the values, scaled as the header says; integers stay integers without a scale.

    Raises:
        ImageError: Voxels are colours or complex numbers.
    """
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        kind = "RGB colours" if dtype.fields else f"values of type {dtype}"
        raise ImageError(f"{path} has {kind} in its voxels: convert them to grey values")
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) == (1.0, 0.0):
        return np.asarray(image.dataobj.get_unscaled())
    return np.asarray(image.dataobj, np.float32)
