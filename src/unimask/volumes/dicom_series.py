"""Volumes of DICOM series: one frame per file, or many frames in one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from unimask.errors import ImageError
from unimask.processing.dicom_file import (
    SEGMENTATION_CLASSES,
    count_frames,
    decode_frame,
    number,
    pixel_size,
    read_dataset,
    rescaled,
    rescaling,
    text,
)
from unimask.processing.images import MAX_PIXELS
from unimask.volumes.dicom_folder import DicomHeader, check_equal, choose_series, read_headers
from unimask.volumes.dicom_stack import read_place, stack_frames
from unimask.volumes.grid import Grid
from unimask.volumes.volume import Volume, check_geometry

EQUAL_ELEMENTS = ("Rows", "Columns", "PhotometricInterpretation", "SamplesPerPixel", "Modality")
"""Elements in which all files of a volume agree."""


def read_dicom(path: Path, series: str | int | None) -> Volume:
    """Read a series of a folder, or a file with several frames.

    Frames are sorted by their positions, whatever the names and numbers of the files.

    Args:
        path: Folder or file.
        series: Number of the series from 1, or start of its UID; None for the only one.

    Raises:
        ImageError: The files are damaged, or no regular volume of grey values.
        MissingExtraError: pydicom is not installed.
    """
    keys, affine = arrange_frames(path, series)
    first = keys[0][0].dataset
    volume = Volume(
        str(path),
        "dicom",
        decode_slices(keys).transpose(2, 1, 0),
        affine,
        modality=text(first, "Modality"),
        is_inverted=text(first, "PhotometricInterpretation") == "MONOCHROME1",
        files=tuple(header.path for header, _ in keys),
        frames=tuple(frame for _, frame in keys),
    )
    return check_geometry(volume)


def read_dicom_grid(path: Path, series: str | int | None) -> Grid:
    """Read the grid of a series from the headers of its files.

    Args:
        path: Folder or file.
        series: Number of the series from 1, or start of its UID; None for the only one.

    Raises:
        ImageError: The files are damaged, or no regular volume of grey values.
        MissingExtraError: pydicom is not installed.
    """
    keys, affine = arrange_frames(path, series)
    first = keys[0][0].dataset
    height, width = pixel_size(first, str(path))
    shape = width, height, len(keys)
    return Grid(str(path), shape, affine, text(first, "Modality"), text(first, "PatientID"))


def arrange_frames(
    path: Path, series: str | int | None
) -> tuple[list[tuple[DicomHeader, int]], Float[np.ndarray, "4 4"]]:
    """Return the frames of a series in the order of their positions, and the affine.

    Raises:
        ImageError: The files are damaged, or no regular volume of grey values.
    """
    headers = choose_series(read_headers(path), series, str(path))
    name = str(path)
    check_kind(headers[0].dataset, name)
    check_equal(headers, EQUAL_ELEMENTS, name)
    frames = [count_frames(header.dataset) for header in headers]
    if len(headers) > 1 and max(frames) > 1:
        raise ImageError(
            f"{name} has {len(headers)} files, some with several frames: choose one file"
        )
    if path.is_file() and frames == [1]:
        raise ImageError(
            f"{name} is a single slice: pass the folder of its series, or use unimask predict"
        )
    keys = [(header, frame) for header in headers for frame in range(count_frames(header.dataset))]
    places = [read_place(header.dataset, frame, header.path.name) for header, frame in keys]
    order, affine = stack_frames(places, name)
    return [keys[index] for index in order], affine


def check_kind(dataset: Any, name: str) -> None:
    """Test that a file holds an image of grey values.

    Raises:
        ImageError: It holds labels, colours or no pixels.
    """
    if text(dataset, "SOPClassUID") in SEGMENTATION_CLASSES:
        raise ImageError(f"{name} is a DICOM SEG, which holds labels: choose the images")
    height, width = pixel_size(dataset, name)
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name} has slices of {height} x {width} pixels: more than {MAX_PIXELS:,}"
        )
    colours = text(dataset, "PhotometricInterpretation")
    if number(dataset, "SamplesPerPixel", 1) != 1 or colours == "PALETTE COLOR":
        raise ImageError(f"{name} has RGB voxels ({colours}): convert them to grey values")


def decode_slices(keys: Sequence[tuple[DicomHeader, int]]) -> Shaped[np.ndarray, "n h w"]:
    """Decode frames as values of the modality, in one array of the smallest dtype that fits.

    Raises:
        ImageError: A file is damaged.
    """
    path, dataset = None, None
    slices: list[np.ndarray] = []
    for header, frame in keys:
        if header.path != path:
            path, dataset = header.path, read_dataset(header.path, str(header.path))
        stored = decode_frame(dataset, frame, str(path))
        if stored.shape != pixel_size(header.dataset, str(path)):
            raise ImageError(f"{path} holds pixels of another shape than its header states")
        slices.append(compact(rescaled(stored, *rescaling(dataset, frame))))
    return np.stack(slices)


def compact(values: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h w"]:
    """Return 32-bit integers as 16-bit ones if they fit."""
    limits = np.iinfo(np.int16)
    if values.dtype == np.int32 and values.min() >= limits.min and values.max() <= limits.max:
        return values.astype(np.int16)
    return values
