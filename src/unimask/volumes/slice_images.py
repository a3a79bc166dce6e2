"""Images of slices, as networks see them: grey values, or neighbouring slices as channels."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Shaped, UInt8

from unimask.errors import SettingsError
from unimask.volumes.windows import to_grey

SLICES = (1, 3, 5)
"""Possible numbers of neighbouring slices."""

RGB = 3

GreySlice = Callable[[int], UInt8[np.ndarray, "h w"]]
"""Function that returns the grey values of the slice at a position."""


def count_channels(slices: int, num_images: int = 1) -> int:
    """Return the number of channels of slices; a single grey slice is repeated as RGB.

    Args:
        slices: Number of neighbouring slices.
        num_images: Number of images of a case, such as the sequences of an MRI.
    """
    return RGB if slices == num_images == 1 else slices * num_images


def check_slices(slices: int) -> int:
    """Return the number of neighbouring slices.

    Raises:
        SettingsError: It is none of 1, 3 and 5.
    """
    if slices not in SLICES:
        raise SettingsError(f"slices is {slices!r}: pass 1, 3 or 5 neighbouring slices")
    return slices


def stack_slices(
    images: Sequence[GreySlice], count: int, position: int, slices: int, channels: int
) -> UInt8[np.ndarray, "h w c"]:
    """Return a slice with its neighbours as channels; the first and the last slice are repeated.

    Args:
        images: Slices of the images of a case; the channels of one image follow those of another.
        count: Number of slices.
        position: Position of the slice.
        slices: Number of neighbouring slices with the slice itself in the middle.
        channels: Number of channels; a single one is repeated.
    """
    around = np.arange(position - slices // 2, position + slices // 2 + 1)
    places = np.clip(around, 0, count - 1).tolist()
    stacked = np.stack([image(place) for image in images for place in places], axis=2)
    if stacked.shape[2] == 1 < channels:
        return np.repeat(stacked, channels, axis=2)
    return stacked


def iterate_slices(
    views: Sequence[Shaped[np.ndarray, "n h w"]],
    limits: Sequence[tuple[float, float] | None],
    inverted: Sequence[bool],
    slices: int,
    channels: int,
) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    """Yield the images of all slices.

    Args:
        views: Slices of each image of a case.
        limits: Values of each image that become black and white; None for 8-bit values as they are.
        inverted: Whether black and white of each image are exchanged.
        slices: Number of neighbouring slices.
        channels: Number of channels; a single one is repeated.
    """
    images = [
        lru_cache(maxsize=slices)(partial(grey_slice, view, limit, is_inverted))
        for view, limit, is_inverted in zip(views, limits, inverted, strict=True)
    ]
    count = len(views[0])
    for position in range(count):
        yield stack_slices(images, count, position, slices, channels)


def grey_slice(
    view: Shaped[np.ndarray, "n h w"],
    limits: tuple[float, float] | None,
    is_inverted: bool,
    position: int,
) -> UInt8[np.ndarray, "h w"]:
    """Return the grey values of the slice at a position."""
    return to_grey(view[position], limits, is_inverted)
