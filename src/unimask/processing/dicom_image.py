"""DICOM images: one frame as values, and how its file wants them to be displayed."""

from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Shaped

from unimask.errors import ImageError
from unimask.processing.dicom_file import (
    SEGMENTATION_CLASSES,
    count_frames,
    decode_frame,
    frame_group,
    number,
    numbers,
    pixel_size,
    read_dataset,
    rescaled,
    rescaling,
    text,
)


class DicomImage(NamedTuple):
    """First frame of a DICOM file.

    Attributes:
        values: Values of the modality, such as Hounsfield units, (h, w, 1); or RGB (h, w, 3).
        window: Values that the file displays as 0 and 255; None if it does not state them.
        bit_range: Smallest and largest value that its bits can hold; None for 8-bit values as they
            are, for real numbers and for colours.
        is_inverted: Whether low values are displayed white (MONOCHROME1).
        num_frames: Number of frames in the file.
    """

    values: Shaped[np.ndarray, "h w c"]
    window: tuple[float, float] | None
    bit_range: tuple[float, float] | None
    is_inverted: bool
    num_frames: int


class DicomFile:
    """DICOM file with an image, whose header is read.

    Args:
        stream: Open file.
        name: Name of the file in messages.

    Raises:
        ImageError: The file is damaged, or holds no image.
        MissingExtraError: pydicom is not installed.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.dataset = read_dataset(stream, name)
        if text(self.dataset, "SOPClassUID") in SEGMENTATION_CLASSES:
            raise ImageError(f"{name} is a DICOM SEG, which holds labels: choose the images")
        self.size = pixel_size(self.dataset, name)

    def decode(self) -> DicomImage:
        """Decode the first frame.

        Raises:
            ImageError: The pixels are damaged, or compressed in an unknown way.
        """
        stored = decode_frame(self.dataset, 0, self.name)
        frames = count_frames(self.dataset)
        if stored.ndim == 3:
            return DicomImage(stored, None, None, False, frames)
        slope, intercept = rescaling(self.dataset, 0)
        values = rescaled(stored, slope, intercept)[..., None]
        window = display_window(self.dataset)
        bit_range = find_bit_range(self.dataset, stored, slope, intercept)
        inverted = text(self.dataset, "PhotometricInterpretation") == "MONOCHROME1"
        return DicomImage(values, window, bit_range, inverted, frames)


def display_window(dataset: Any) -> tuple[float, float] | None:
    """Return the values that the first window of a file maps to black and white, if it has one."""
    item = frame_group(dataset, "FrameVOILUTSequence", 0) or dataset
    center, width = numbers(item, "WindowCenter", 1), numbers(item, "WindowWidth", 1)
    if center is None or width is None:
        return None
    if text(item, "VOILUTFunction") == "LINEAR_EXACT":
        low, high = center[0] - width[0] / 2, center[0] + width[0] / 2
    else:
        low, high = window_limits(center[0], width[0])
    return (low, high) if low < high else None


def window_limits(center: float, width: float) -> tuple[float, float]:
    """Return the values that a window maps to black and white (DICOM PS3.3, C.11.2.1.2.1)."""
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


def find_bit_range(
    dataset: Any, stored: Shaped[np.ndarray, "h w"], slope: float, intercept: float
) -> tuple[float, float] | None:
    """Return the range of the bits that a file stores; None for 8-bit values, which stay."""
    if stored.dtype == np.uint8 and (slope, intercept) == (1.0, 0.0):
        return None
    if stored.dtype.kind not in "iu":
        return None
    bits = int(number(dataset, "BitsStored", 8 * stored.dtype.itemsize))
    bits = min(max(bits, 1), 8 * stored.dtype.itemsize)
    signed = stored.dtype.kind == "i"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]
