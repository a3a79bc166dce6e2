"""Read label maps saved as numpy arrays; shapes and dtypes are checked before the data is read."""

import zipfile
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from unimask.datasets.packed import File, file_path, open_file
from unimask.errors import DataError, ImageError, one_line
from unimask.processing.images import MAX_PIXELS
from unimask.processing.multichannel import open_array

RGB, RGBA = 3, 4

DEFAULT_ARRAY_NAME = "arr_0.npy"
"""Name that `numpy.savez` assigns to an unnamed array."""


def read_map_array(file: File) -> Shaped[np.ndarray, "h w ..."]:
    """Read a map of numbers (h, w) or of 8-bit colours (h, w, 3) saved by numpy.

    Raises:
        DataError: The file cannot be read, or its array is not a label map.
    """
    if file.suffix.lower() == ".npz":
        array = read_npz(file)
    else:
        try:
            array = open_array(file_path(file))
        except ImageError as error:
            raise DataError(str(error)) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{file} holds {array.dtype}, not numbers: save an array of whole numbers")
    return np.asarray(check_plane(array, file))


def check_plane(array: Shaped[np.ndarray, "..."], file: File) -> Shaped[np.ndarray, "h w ..."]:
    """Drop an axis of length 1, and return a plane (h, w) or colours (h, w, 3).

    Raises:
        DataError: The array is neither, is empty or too large, or has a varying alpha channel.
    """
    shape = array.shape
    if array.ndim == 3 and 1 in (shape[0], shape[2]):
        array = array[..., 0] if shape[2] == 1 else array[0]
    coloured = array.ndim == 3 and array.shape[2] in (RGB, RGBA) and array.dtype == np.uint8
    if array.ndim != 2 and not coloured:
        raise DataError(
            f"{file} has shape {shape}: a label map is (h, w) or (h, w, 1); number objects or "
            "classes in one plane"
        )
    if 0 in shape:
        raise DataError(f"{file} has shape {shape}, and so no pixels: export it again")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise DataError(f"{file} has shape {shape}, more than {MAX_PIXELS:,} pixels: cut it")
    if coloured and array.shape[2] == RGBA and not (array[..., RGB] == 255).all():
        raise DataError(f"{file} has an alpha channel: save (h, w) numbers, or (h, w, 3) colours")
    return array[..., :RGB] if coloured else array


def read_npz(file: File) -> Shaped[np.ndarray, "..."]:
    """Read the only array of a .npz file after checking its shape in the header.

    Raises:
        DataError: The archive is damaged, or holds several arrays or one that is too large.
    """
    try:
        with open_file(file) as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            if DEFAULT_ARRAY_NAME not in names and len(names) != 1:
                raise DataError(f"{file} holds {len(names)} arrays: save one map per file")
            with archive.open(
                DEFAULT_ARRAY_NAME if DEFAULT_ARRAY_NAME in names else names[0]
            ) as member:
                check_header(member, file)
            with archive.open(
                DEFAULT_ARRAY_NAME if DEFAULT_ARRAY_NAME in names else names[0]
            ) as member:
                return np.lib.format.read_array(member, allow_pickle=False)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # zipfile and numpy raise many types of exceptions for damaged files
        reason = one_line(error)
        raise DataError(f"{file} is not an array of numbers ({reason}): save it again") from error


def check_header(member: Any, file: File) -> None:
    """Raise by the header alone if an array holds objects or too many values.

    Raises:
        DataError: The array has a dtype or shape that label maps do not have.
    """
    version = np.lib.format.read_magic(member)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(member)
    size = 1
    for length in shape:
        size *= length
    if dtype.hasobject or size > RGBA * MAX_PIXELS:
        raise DataError(f"{file} has shape {shape} of {dtype}: save a label map (h, w) of numbers")


def to_whole_numbers(pixels: Shaped[np.ndarray, "h w"], file: object) -> Integer[np.ndarray, "h w"]:
    """Return non-negative whole numbers as an integer array, whatever dtype they are stored in.

    Raises:
        DataError: There are negative, fractional, infinite or too large values.
    """
    kind = pixels.dtype.kind
    if kind == "b":
        return pixels.astype(np.uint8)
    if kind == "u" and pixels.dtype.itemsize < 8:
        return pixels
    if kind == "f" and not (np.isfinite(pixels).all() and (np.trunc(pixels) == pixels).all()):
        raise DataError(
            f"{file} has negative or fractional values, or NaN: save whole numbers from 0; cut "
            "probabilities first (mask > 0.5)"
        )
    if pixels.size and pixels.min() < 0:
        raise DataError(
            f"{file} has negative or fractional values, the least {pixels.min():g}: number from "
            "0, and write 255 where nothing is known"
        )
    if pixels.size and float(pixels.max()) >= 2**31:
        raise DataError(f"{file} has the value {pixels.max():g}: number classes or objects from 0")
    return pixels.astype(np.int32)
