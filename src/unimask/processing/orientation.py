"""EXIF orientation of images: reading it, and rotating images upright."""

import io
import struct
import warnings

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from unimask.processing.intensities import ImageWarning

Stream = io.BytesIO | io.BufferedReader

ORIENTATION = 0x0112
"""EXIF tag of the orientation: 1 is upright, 2 to 8 are mirrored or rotated."""

TRANSPOSED_ORIENTATIONS = (5, 6, 7, 8)
"""Orientations that swap height and width."""

UPRIGHT_FORMATS = ("JXL",)
"""Formats whose decoders turn images upright, so that EXIF orientations do not count."""

PNG_HEADER_BYTES = 8
PNG_TEXT_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
"""Chunks of a PNG that may hold EXIF or XMP data."""


def read_orientation(stream: Stream) -> int | None:
    """Read the EXIF orientation of an image file without decoding its pixels.

    Returns:
        1 to 8, or None if the file has no readable orientation.
    """
    try:
        with Image.open(stream) as image:
            if image.format == "PNG" and not has_metadata(stream):
                return None  # Pillow would decode all pixels to find later chunks
            if image.format in UPRIGHT_FORMATS:
                return None
            orientation = image.getexif().get(ORIENTATION)
    except Exception:  # EXIF parsers raise many kinds of errors; `rotate_upright` ignores them too
        return None
    return orientation if orientation in range(1, 9) else None


def has_metadata(stream: Stream) -> bool:
    """Return whether a PNG has chunks that may hold EXIF data, before or after its pixels."""
    position = stream.tell()
    try:
        stream.seek(PNG_HEADER_BYTES)
        while len(header := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind in PNG_TEXT_CHUNKS:
                return True
            stream.seek(length + 4, 1)
        return False
    finally:
        stream.seek(position)


def image_orientation(image: Image.Image, name: str) -> int:
    """Return the orientation of a decoded image; warn and return 1 if its EXIF data are damaged."""
    if image.format in UPRIGHT_FORMATS:
        return 1
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception as error:  # EXIF parsers raise many kinds of errors
        warn_about_exif(name, error)
        return 1
    return orientation if orientation in range(1, 9) else 1


def stored_view(
    pixels: Shaped[np.ndarray, "h w c"], orientation: int
) -> Shaped[np.ndarray, "i j c"]:
    """Return a view of upright pixels in the stored order of a file with `orientation`."""
    if orientation in TRANSPOSED_ORIENTATIONS:
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 6, 7) else 1
    across = -1 if orientation in (2, 3, 7, 8) else 1
    return pixels[::down, ::across]


def rotate_upright(image: Image.Image, name: str) -> Image.Image:
    """Rotate an image to its EXIF orientation; warn and leave it as is if the data are damaged."""
    if image.format in UPRIGHT_FORMATS:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # EXIF parsers raise many kinds of errors
        warn_about_exif(name, error)
        return image


def warn_about_exif(name: str, error: Exception) -> None:
    """Warn that an image is not rotated to its EXIF orientation."""
    message = f"{name}: its EXIF data cannot be read ({error}); it is left as stored"
    warnings.warn(message, ImageWarning, stacklevel=5)
