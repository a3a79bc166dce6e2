"""The EXIF orientation of images: reading it, and turning images upright."""

import io
import struct
import warnings

from PIL import Image, ImageOps

from unimask.processing.intensities import PictureWarning

Stream = io.BytesIO | io.BufferedReader

ORIENTATION = 0x0112
"""EXIF tag of the orientation: 1 is upright, 2 to 8 are mirrored or turned."""

SWAPS_SIDES = (5, 6, 7, 8)
"""Orientations that exchange height and width."""

PNG_HEADER_BYTES = 8
PNG_TEXT_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
"""Chunks of a PNG that may hold EXIF or XMP data."""


def read_orientation(stream: Stream) -> int | None:
    """Read the EXIF orientation of an image file without decoding its pixels.

    Returns:
        1 to 8; None where the file has no orientation, or none that can be read.
    """
    try:
        with Image.open(stream) as picture:
            if picture.format == "PNG" and not has_metadata(stream):
                return None  # pillow would decode all pixels in search of later chunks
            orientation = picture.getexif().get(ORIENTATION)
    except Exception:  # EXIF parsers raise many kinds of errors; `upright` ignores such data too
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


def upright(picture: Image.Image, name: str) -> Image.Image:
    """Turn an image as its EXIF data ask; damaged data leave it as stored, with a warning."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # EXIF parsers raise many kinds of errors
        message = f"{name}: its EXIF data cannot be read ({error}); it is left as stored"
        warnings.warn(message, PictureWarning, stacklevel=4)
        return picture
