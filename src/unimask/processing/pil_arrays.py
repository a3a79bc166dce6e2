"""Conversion of decoded images to arrays in strips: Pillow stores RGB in 4 bytes per pixel."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from unimask.processing.orientation import TRANSPOSED_ORIENTATIONS, image_orientation, stored_view

STRIP_PIXELS = 2**20
"""Number of pixels converted at a time."""

ToArray = Callable[[Image.Image], np.ndarray]


def rgb_pixels(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the upright RGB pixels of a decoded image, without alpha."""
    return upright_pixels(image, name, rgb_strip)


def rgb_strip(strip: Image.Image) -> np.ndarray:
    """Convert a strip of an image to RGB, keeping the colours of transparent pixels."""
    if "transparency" in strip.info:
        strip = strip.convert("RGBA")
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def upright_pixels(
    image: Image.Image, name: str, convert: ToArray = np.asarray
) -> Shaped[np.ndarray, "h w c"]:
    """Return the pixels of a decoded image in its EXIF orientation.

    Args:
        image: Image to convert.
        name: Name of the image in messages.
        convert: Function that converts a strip of the image to an array, pixel by pixel.
    """
    width, height = image.size
    orientation = image_orientation(image, name)
    sample = np.atleast_3d(convert(image.crop((0, 0, 1, 1))))
    size = (width, height) if orientation in TRANSPOSED_ORIENTATIONS else (height, width)
    pixels = np.empty((*size, sample.shape[2]), sample.dtype)
    target = stored_view(pixels, orientation)
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        target[:] = np.atleast_3d(convert(image))
        return pixels
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        target[top:bottom] = np.atleast_3d(convert(image.crop((0, top, width, bottom))))
    return pixels
