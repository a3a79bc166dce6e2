"""Arrange masks that may overlap on few layers of disjoint masks, preserving their order."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from unimask.errors import DataError
from unimask.formats.run_length import RunLength

MAX_LAYER_VALUES = 2**29
"""Maximum number of values in all layers of an image, of four bytes each."""


def stack_masks(
    masks: Iterable[tuple[int, RunLength]], size: tuple[int, int]
) -> Int[np.ndarray, "l h w"]:
    """Place numbered masks on layers, each above all masks that it overlaps.

    Disjoint masks share the first layer, so that most images need one layer. Masks are not
    flattened: each is complete on its layer.

    Args:
        masks: Number and mask of each object, from back to front.
        size: Height and width of the image.

    Returns:
        The numbers as int32, 0 for none; one empty layer if there are no masks.

    Raises:
        DataError: So many masks overlap that their layers would exceed the memory limit.
    """
    # Column-major, the order of run lengths, so that a mask occupies one contiguous range of
    # memory.
    layers = [np.zeros(size[0] * size[1], np.int32)]
    for number, mask in masks:
        start, inside = mask.span
        place = slice(start, start + len(inside))
        level = len(layers)
        while level and not (layers[level - 1][place] * inside).any():
            level -= 1
        if level == len(layers):
            if (level + 1) * layers[0].size > MAX_LAYER_VALUES:
                raise DataError(
                    f"{level + 1} objects lie over one another in an image of {size[1]} x "
                    f"{size[0]}: remove duplicates, or cut the image into tiles"
                )
            layers.append(np.zeros_like(layers[0]))
        np.copyto(layers[level][place], number, where=inside)
    return np.stack([layer.reshape(size[1], size[0]).T for layer in layers])
