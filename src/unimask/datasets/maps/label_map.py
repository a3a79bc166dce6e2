"""Read one label map as numbers, or as colours packed into numbers."""

import numpy as np
from jaxtyping import Int, Integer, Shaped, UInt8

from unimask.datasets.maps.map_array import to_whole_numbers
from unimask.datasets.maps.map_file import StoredMap, read_map_file
from unimask.datasets.maps.mask_set import MapFile, MaskSet, first_file, read_mask_set
from unimask.datasets.orientation import check_orientation, explain_mismatch
from unimask.datasets.packed import File, file_path
from unimask.errors import DataError

LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".webp"})
"""Suffixes of formats whose compression may mix the values of neighbouring labels."""

Codes = Integer[np.ndarray, "h w"]


def read_numbers(file: MapFile) -> Codes:
    """Read a map of numbers: one channel, palette indices, or three equal channels.

    Raises:
        DataError: The map cannot be read, has colours, or has negative or fractional values.
    """
    pixels = read_stored_map(file).pixels
    if pixels.ndim == 3:
        if not is_grey(pixels):
            raise DataError(
                f"{file} is a colour image; a mask of numbers has one channel: export it so, or "
                "pass format='semantic maps' if its colours are classes"
            )
        pixels = pixels[..., 0]
    return to_whole_numbers(pixels, file)


def read_colours(file: MapFile) -> Codes:
    """Read a map whose colours are classes, packed as red * 65536 + green * 256 + blue.

    Raises:
        DataError: The map cannot be read, or has more than 8 bits per channel.
    """
    pixels, palette, _ = read_stored_map(file)
    if palette is not None:
        return pack_colours(palette)[pixels]
    if pixels.dtype != np.uint8:
        raise DataError(f"{file} has {pixels.dtype} values where 8-bit colours are: export it so")
    if pixels.ndim == 2:
        return pixels.astype(np.int32) * 0x010101
    return pack_colours(pixels)


def read_channels(file: MapFile) -> UInt8[np.ndarray, "h w 3"]:
    """Read a map whose three channels hold separate numbers.

    Raises:
        DataError: The map cannot be read, or does not have three channels of 8 bits.
    """
    pixels = read_stored_map(file).pixels
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DataError(f"{file} should have three channels of 8 bits: download it again")
    return pixels


def read_stored_map(file: MapFile) -> StoredMap:
    """Return a map's stored pixels; several masks of one image are merged into one map.

    Raises:
        DataError: The map cannot be read, or is not a label map.
    """
    return read_mask_set(file) if isinstance(file, MaskSet) else read_map_file(file)


def is_grey(pixels: Shaped[np.ndarray, "h w 3"]) -> bool:
    """Return whether the three channels are equal everywhere."""
    return bool((pixels[..., 0] == pixels[..., 1]).all() & (pixels[..., 0] == pixels[..., 2]).all())


def pack_colours(colours: UInt8[np.ndarray, "*any 3"]) -> Int[np.ndarray, "*any"]:
    """Pack each colour into one number."""
    packed = colours[..., 0].astype(np.int32)
    for channel in (1, 2):  # in place: large maps must fit into memory
        packed <<= 8
        packed |= colours[..., channel]
    return packed


def format_hex(code: int) -> str:
    """Format a packed colour as #rrggbb."""
    return f"#{code:06x}"


def check_size(codes: Codes, file: MapFile, size: tuple[int, int], image: File) -> None:
    """Raise if a map differs from its image in size, or if EXIF makes their alignment ambiguous.

    Raises:
        DataError: The sizes differ, or the EXIF orientation allows two alignments.
    """
    if codes.shape == size:
        return check_orientation(image, size, first_file(file))
    hint = explain_mismatch(image, size, codes.shape)
    raise DataError(
        f"{file} is {codes.shape[0]} x {codes.shape[1]}, but its image {file_path(image).name} is "
        f"{size[0]} x {size[1]}{hint or ': export the mask again at the size of the image'}"
    )
