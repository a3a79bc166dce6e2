"""Images with other channels than RGB: reading from arrays and files, and display."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageSequence

from unimask.errors import ImageError, one_line
from unimask.processing.intensities import stretch_channels
from unimask.processing.pil_arrays import upright_pixels

RGB = 3

SAMPLES_PER_PIXEL = 277
"""TIFF tag of the number of channels."""

SUPPORTED_LAYOUTS = "save it as .npy, an array (h, w, channels), or as TIFF with a page per channel"


def read_stack(image: Image.Image, name: str, channels: int) -> Shaped[np.ndarray, "h w c"]:
    """Return a decoded image's channels as stored: its bands, or the pages of a TIFF.

    Args:
        image: Open image; palettes are converted to RGB, alpha stays a channel.
        name: Name of the image in messages.
        channels: Required number of channels.

    Raises:
        ImageError: The number of channels differs, or Pillow cannot read all of them.
    """
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages > 1:
        check_channels(pages, channels, name, "pages")
        return stack_pages(iterate_pages(image, name), image.size, pages)
    stored = getattr(image, "tag_v2", {}).get(SAMPLES_PER_PIXEL, 1)
    if image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    bands = len(image.getbands())
    if stored > bands:
        raise ImageError(
            f"of the {stored} channels of {name} pillow reads only {bands}: {SUPPORTED_LAYOUTS}"
        )
    check_channels(bands, channels, name, "channels")
    return upright_pixels(image, name)


def stack_pages(
    layers: Iterator[Shaped[np.ndarray, "h w"]], size: tuple[int, int], count: int
) -> Shaped[np.ndarray, "h w c"]:
    """Stack pages as channels, one decoded at a time.

    Args:
        layers: Pages of the image.
        size: Width and height of the pages.
        count: Number of pages.
    """
    first = next(layers)
    pixels = np.empty((size[1], size[0], count), first.dtype)
    pixels[..., 0] = first
    for channel, layer in enumerate(layers, start=1):
        pixels[..., channel] = layer
    return pixels


def iterate_pages(image: Image.Image, name: str) -> Iterator[Shaped[np.ndarray, "h w"]]:
    """Yield the pages of a TIFF, each as one channel.

    Raises:
        ImageError: A page has several channels, or differs from the first in size.
    """
    size = image.size
    for page in ImageSequence.Iterator(image):
        if page.size != size or len(page.getbands()) != 1:  # checked before decoding
            raise ImageError(f"{name} has pages of several channels or sizes: {SUPPORTED_LAYOUTS}")
        yield np.array(page)


def check_channels(actual: int, channels: int, name: str, kind: str) -> None:
    """Raise ImageError if the number of channels differs from the model's."""
    if actual != channels:
        count = f"{actual} {kind if actual > 1 else kind[:-1]}"
        raise ImageError(
            f"{name} has {count}, but the model reads {channels} channels: {SUPPORTED_LAYOUTS}"
        )


def open_array(path: Path) -> Shaped[np.ndarray, "..."]:
    """Open an array saved by NumPy as a memory map, without unpickling.

    Raises:
        ImageError: The file is damaged, or holds objects.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # parsing the header raises many kinds
        reason = one_line(error)
        raise ImageError(f"{path} is no array of numbers ({reason}): save it again") from error


def to_displayable(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Convert an image for display: RGB as it is, else its first three channels.

    Each of these is mapped from its own 0.1 and 99.9 percentiles. A single channel becomes grey;
    with two channels, blue is 0.
    """
    if image.shape[2] == RGB:
        return image
    rgb = stretch_channels(image[..., :RGB], "auto", "the image")
    if rgb.shape[2] == 1:
        return np.repeat(rgb, RGB, axis=2)
    return np.pad(rgb, ((0, 0), (0, 0), (0, RGB - rgb.shape[2])))
