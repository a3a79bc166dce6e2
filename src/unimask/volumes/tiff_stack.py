"""TIFF stacks of microscopy: one grey page per slice."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from unimask.errors import ImageError, one_line
from unimask.extras import import_extra
from unimask.volumes.volume import Volume, check_geometry

SUFFIXES = (".tif", ".tiff")
"""Endings of TIFF files."""

MILLIMETRES = {
    "micron": 1e-3,
    "micrometer": 1e-3,
    "micrometre": 1e-3,
    "um": 1e-3,
    "\\u00b5m": 1e-3,
    "\N{MICRO SIGN}m": 1e-3,
    "\N{GREEK SMALL LETTER MU}m": 1e-3,
    "nm": 1e-6,
    "mm": 1.0,
    "cm": 10.0,
    "inch": 25.4,
}
"""Millimetres of a unit of ImageJ or of OME."""

STACK_AXES = "ZIQTY"
"""Codes of tifffile for the first axis of a stack; T is what programs write without knowing."""


def read_tiff_stack(path: Path) -> Volume:
    """Read a TIFF stack; pages are slices, and its spacing is that of ImageJ or OME, if stated.

    Raises:
        ImageError: It is damaged, has one page, colours or further axes.
        MissingExtraError: tifffile is not installed.
    """
    tifffile = import_extra("tifffile", "medical")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape, axes = check_axes(series, path)
            pages = np.asarray(series.asarray()).reshape(shape)
            spacing = read_spacing(file)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # tifffile raises many kinds of errors
        message = f"{path} is damaged ({one_line(error)}): copy or download it again"
        raise ImageError(message) from error
    del axes
    affine = np.diag((-spacing[0], -spacing[1], spacing[2], 1.0))
    return check_geometry(Volume(str(path), "tiff", pages.T, affine))


def check_axes(series: Any, path: Path) -> tuple[tuple[int, int, int], str]:
    """Return the shape (slices, rows, columns) of a stack, and its axes.

    Raises:
        ImageError: It has one page, colours or further axes.
    """
    pairs = [(c, n) for c, n in zip(series.axes, series.shape, strict=True) if n != 1 or c in "YX"]
    axes = "".join(code for code, _ in pairs)
    if "S" in axes:
        raise ImageError(f"{path} has RGB colours (axes {axes}): convert it to grey values")
    if axes == "YX":
        raise ImageError(f"{path} has one page, no stack: use unimask predict")
    if len(axes) != 3 or axes[1:] != "YX" or axes[0] not in STACK_AXES:
        raise ImageError(f"{path} has the axes {axes}: save one channel and time as a stack ZYX")
    sides = [side for _, side in pairs]
    return (sides[0], sides[1], sides[2]), axes


def read_spacing(file: Any) -> tuple[float, float, float]:
    """Return the spacing of columns, rows and slices in mm, 1 where it is unknown."""
    ome = file.ome_metadata if file.is_ome else None
    if ome:
        x, y, z = (ome_size(ome, axis) for axis in "XYZ")
        return x, y, z
    imagej = file.imagej_metadata or {}
    unit = MILLIMETRES.get(str(imagej.get("unit", "")).strip().lower())
    if unit is None:
        return 1.0, 1.0, 1.0
    tags = file.pages[0].tags
    x, y = (unit / resolution(tags, name) for name in ("XResolution", "YResolution"))
    return x, y, positive(imagej.get("spacing")) * unit


def resolution(tags: Any, name: str) -> float:
    """Return the pixels per unit of a resolution tag, 1 if it is missing or invalid."""
    tag = tags.get(name)
    numerator, denominator = (1, 1) if tag is None else tag.value
    return positive(numerator / denominator if denominator else None)


def ome_size(xml: str, axis: str) -> float:
    """Return a physical size of OME metadata in mm, 1 if it is missing or invalid."""
    size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', xml)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', xml)
    factor = MILLIMETRES.get((unit[1] if unit else "um").strip().lower())
    if size is None or factor is None:
        return 1.0
    return positive(size[1]) * factor


def positive(value: Any) -> float:
    """Return a positive finite number, 1 if the value is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 1.0
    return found if np.isfinite(found) and found > 0 else 1.0
