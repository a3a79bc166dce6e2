"""DICOM files: headers, values that may be empty, and decoded frames."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped

from unimask.errors import ImageError, MissingExtraError, one_line
from unimask.extras import import_extra
from unimask.formats.bounded_reader import BoundedReader

MARK_START, MARK = 128, b"DICM"
"""Mark after the preamble of a DICOM file."""

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
"""Suffixes of DICOM files, some of which have no preamble."""

FIRST_GROUPS = (b"\x02\0", b"\x08\0")
"""First bytes of DICOM files without a preamble: group 2 or 8, little-endian."""

SEGMENTATION_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
)
"""SOP classes of DICOM SEG: segmentation, and label map segmentation."""


def is_dicom(header: bytes, name: str) -> bool:
    """Return whether a file is DICOM, by its first 132 bytes or by its suffix."""
    if header[MARK_START : MARK_START + len(MARK)] == MARK:
        return True
    return Path(name).suffix.lower() in DICOM_SUFFIXES


def read_dataset(source: BinaryIO | Path, name: str, *, pixels: bool = True) -> Any:
    """Read a DICOM file as a data set of pydicom; files without preamble are accepted.

    Args:
        source: Open file or path.
        name: Name of the file in messages.
        pixels: Whether to read pixel data too.

    Raises:
        ImageError: The file is damaged or not DICOM.
        MissingExtraError: pydicom is not installed.
    """
    pydicom = import_extra("pydicom", "medical")
    if isinstance(source, Path):
        try:
            stream = BoundedReader(source)
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{name} cannot be opened ({reason}): check the path") from error
        with stream:
            return read_dataset(stream, name, pixels=pixels)
    try:
        dataset = pydicom.dcmread(source, stop_before_pixels=not pixels, force=True)
        known = bool(dataset.get("SOPClassUID")) or dataset.get("Rows") is not None
    except MemoryError:
        raise
    except Exception as error:  # pydicom raises many kinds of errors
        raise damaged(name, error) from error
    if not known:
        raise ImageError(f"{name} is no DICOM file: it has neither a SOP class nor rows of pixels")
    return dataset


def damaged(name: str, error: Exception) -> ImageError:
    """Return the error for a file that cannot be decoded."""
    return ImageError(f"{name} is damaged ({one_line(error)}): copy or download it again")


def element(dataset: Any, keyword: str) -> Any:
    """Return the value of an element; None if it is missing, empty or damaged."""
    try:
        value = dataset.get(keyword)
        return None if value is None or len(str(value)) == 0 else value
    except MemoryError:
        raise
    except Exception:  # pydicom converts values when they are read, with many kinds of errors
        return None


def text(dataset: Any, keyword: str) -> str:
    """Return an element as text, "" if it is missing or empty."""
    value = element(dataset, keyword)
    return "" if value is None else str(value)


def numbers(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return an element as finite numbers; None if they are missing, fewer or damaged."""
    value = element(dataset, keyword)
    try:
        parts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        found = tuple(float(part) for part in list(parts)[:count])  # type: ignore[arg-type]
    except (ValueError, TypeError, LookupError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def number(dataset: Any, keyword: str, default: float) -> float:
    """Return the first number of an element, or a default if it is missing or empty."""
    found = numbers(dataset, keyword, 1)
    return default if found is None else found[0]


def count_frames(dataset: Any) -> int:
    """Return the number of frames, 1 for classic files."""
    return max(1, int(number(dataset, "NumberOfFrames", 1)))


def frame_group(dataset: Any, group: str, frame: int) -> Any:
    """Return a functional group of a frame, the frame's own or the shared one; None if missing.

    Args:
        dataset: Data set of a file with several frames.
        group: Keyword of the group's sequence.
        frame: Index of the frame, from 0.
    """
    try:
        frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
        shared = dataset.get("SharedFunctionalGroupsSequence") or ()
        for groups in (frames[frame : frame + 1], shared[:1]):
            for item in groups:
                for found in item.get(group) or ():
                    return found
    except MemoryError:
        raise
    except Exception:  # pydicom converts values when they are read, with many kinds of errors
        return None
    return None


def pixel_size(dataset: Any, name: str) -> tuple[int, int]:
    """Return the height and width of the frames.

    Raises:
        ImageError: The file holds no pixels.
    """
    height, width = (int(number(dataset, key, 0)) for key in ("Rows", "Columns"))
    if height < 1 or width < 1:
        kind = text(dataset, "Modality") or "DICOM"
        raise ImageError(f"{name} holds no image ({kind} without pixels): choose an image file")
    return height, width


def rescaling(dataset: Any, frame: int) -> tuple[float, float]:
    """Return slope and intercept from stored values to those of the modality, such as HU."""
    item = frame_group(dataset, "PixelValueTransformationSequence", frame) or dataset
    slope = number(item, "RescaleSlope", 1.0)
    return slope if slope else 1.0, number(item, "RescaleIntercept", 0.0)


def decode_frame(dataset: Any, frame: int, name: str) -> Shaped[np.ndarray, "h w *c"]:
    """Decode the stored values of a frame; colours become RGB.

    Raises:
        ImageError: The pixel data are damaged, or of a compression that cannot be decoded.
    """
    pixels = import_extra("pydicom.pixels", "medical")
    try:
        index = frame if count_frames(dataset) > 1 else 0
        values = pixels.pixel_array(dataset, index=index)
        if text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
            values = pixels.apply_color_lut(values, dataset)
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:  # decoders raise many kinds of errors
        if "missing dependencies" in str(error):
            message = f"{name} is compressed as {syntax_name(dataset)}: pip install python-gdcm"
            raise ImageError(message) from error
        if "not support" in str(error):
            raise ImageError(
                f"{name} is compressed as {syntax_name(dataset)}, which needs another decoder: pip "
                "install pylibjpeg pylibjpeg-libjpeg (GPL), or decompress it first"
            ) from error
        raise damaged(name, error) from error
    return np.asarray(values)


def syntax_name(dataset: Any) -> str:
    """Return the name of the compression of the pixel data."""
    syntax = element(getattr(dataset, "file_meta", {}), "TransferSyntaxUID")
    return str(getattr(syntax, "name", syntax))


def rescaled(
    stored: Shaped[np.ndarray, "h w"], slope: float, intercept: float
) -> Shaped[np.ndarray, "h w"]:
    """Apply slope and intercept; the result is of integers if both are whole numbers.

    Args:
        stored: Stored values.
        slope: Factor of the stored values.
        intercept: Value of a stored 0.
    """
    if (slope, intercept) == (1.0, 0.0):
        return stored
    whole = slope == round(slope) and intercept == round(intercept)
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2 and whole:
        low, high = np.iinfo(stored.dtype).min, np.iinfo(stored.dtype).max
        ends = sorted((low * slope + intercept, high * slope + intercept))
        if ends[0] >= -(2**31) and ends[1] < 2**31:
            return stored.astype(np.int32) * np.int32(slope) + np.int32(intercept)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def is_header_without_preamble(header: bytes) -> bool:
    """Return whether a file starts like DICOM without a preamble."""
    return header[:2] in FIRST_GROUPS and len(header) >= 8
