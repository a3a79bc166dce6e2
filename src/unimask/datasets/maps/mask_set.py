"""Read several black and white masks of one image as one map of numbers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

from unimask.datasets.maps.map_array import to_whole_numbers
from unimask.datasets.maps.map_file import StoredMap, merge_masks, read_map_file
from unimask.datasets.packed import File
from unimask.errors import DataError

MAX_BLACK, MIN_WHITE = 24, 231
"""Highest value that counts as black, and lowest value that counts as white, in blurred masks."""

MASK_THRESHOLD = 128
"""Threshold at and above which a pixel of a blurred mask belongs to the object."""

MAX_BLURRED_SHARE = 0.25
"""Maximum share of the pixels of a blurred mask that are neither black nor white."""


@dataclass(frozen=True, slots=True)
class MaskSet:
    """Masks of one image.

    Attributes:
        masks: Number for the pixels of each mask, and its file.
    """

    masks: tuple[tuple[int, File], ...]

    def __str__(self) -> str:
        more = len(self.masks) - 1
        return f"{self.masks[0][1]}" + (f" (and {more} more)" if more else "")

    @property
    def suffix(self) -> str:
        """Suffix of the first file."""
        return self.masks[0][1].suffix


MapFile = File | MaskSet


def first_file(file: MapFile) -> File:
    """Return the file of a map, or the first file of a mask set."""
    return file.masks[0][1] if isinstance(file, MaskSet) else file


def read_mask_set(masks: MaskSet) -> StoredMap:
    """Read masks as one map: 0 outside all masks, the smaller mask in front where masks overlap.

    Raises:
        DataError: A mask cannot be read, is not black and white, or differs in size.
    """
    read = read_masks(masks)
    size = read[0][1].shape
    numbers, _ = merge_masks(read, (size[0], size[1]))
    return StoredMap(numbers)


def read_masks(masks: MaskSet) -> list[tuple[int, Bool[np.ndarray, "h w"]]]:
    """Read the masks of one image, each with its number.

    Raises:
        DataError: A mask cannot be read, is not black and white, or differs in size.
    """
    read = [(number, read_mask(file)) for number, file in masks.masks]
    size = read[0][1].shape
    for (_, mask), (_, file) in zip(read, masks.masks, strict=True):
        if mask.shape != size:
            raise DataError(
                f"{file} is {mask.shape[0]} x {mask.shape[1]}, but {masks.masks[0][1]} of the same "
                f"image is {size[0]} x {size[1]}: export the masks again in one size"
            )
    return read


def read_mask(file: File) -> Bool[np.ndarray, "h w"]:
    """Read a black and white mask.

    Raises:
        DataError: The mask cannot be read, or has more than two values.
    """
    mask = to_mask(read_map_file(file).pixels, file)
    if mask is None:
        raise DataError(
            f"{file} is one of several masks of its image, and not black and white: pass --masks "
            "(masks=) the one folder or ending to read"
        )
    return mask


def to_mask(pixels: Shaped[np.ndarray, "h w ..."], file: File) -> Bool[np.ndarray, "h w"] | None:
    """Return which pixels of a mask are not black; None if it has more than two values.

    Greys between black and white, as resizing and lossy compression create, are thresholded at 128.
    """
    if pixels.ndim == 3:
        is_grey = (pixels == pixels[..., :1]).all()
        if not is_grey and len(np.unique(pixels[pixels.any(axis=2)], axis=0)) > 1:
            return None
        pixels = pixels.max(axis=2)
    values = np.unique(to_whole_numbers(pixels, file))
    if len(values) - (0 in values) <= 1:
        return pixels != 0
    between = (pixels > MAX_BLACK) & (pixels < MIN_WHITE)
    if values[0] > MAX_BLACK or values[-1] < MIN_WHITE or values[-1] > 255:
        return None
    is_blurred = len(values) > 3 or bool(((values > MAX_BLACK) & (values < MIN_WHITE)).sum() == 0)
    return pixels >= MASK_THRESHOLD if is_blurred and between.mean() <= MAX_BLURRED_SHARE else None
