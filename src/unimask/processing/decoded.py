"""Decoded images as arrays, some rows at a time: pillow keeps four bytes for a colour pixel."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from unimask.processing.orientation import SWAPS_SIDES, picture_orientation, stored_view

STRIP_PIXELS = 2**20
"""Pixels that are converted at a time."""

ToArray = Callable[[Image.Image], np.ndarray]


def rgb_pixels(picture: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the RGB pixels of a decoded image, upright; alpha is dropped."""
    return upright_pixels(picture, name, rgb_strip)


def rgb_strip(strip: Image.Image) -> np.ndarray:
    """Convert a part of an image to RGB; the colours under transparent pixels stay."""
    if "transparency" in strip.info:
        strip = strip.convert("RGBA")
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def upright_pixels(
    picture: Image.Image, name: str, convert: ToArray = np.asarray
) -> Shaped[np.ndarray, "h w c"]:
    """Return the pixels of a decoded image, turned as its EXIF data ask.

    Args:
        picture: The image.
        name: What it is called in messages.
        convert: Makes an array of a part of it, pixel by pixel.
    """
    width, height = picture.size
    orientation = picture_orientation(picture, name)
    sample = np.atleast_3d(convert(picture.crop((0, 0, 1, 1))))
    size = (width, height) if orientation in SWAPS_SIDES else (height, width)
    pixels = np.empty((*size, sample.shape[2]), sample.dtype)
    target = stored_view(pixels, orientation)
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        target[:] = np.atleast_3d(convert(picture))
        return pixels
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        target[top:bottom] = np.atleast_3d(convert(picture.crop((0, top, width, bottom))))
    return pixels
