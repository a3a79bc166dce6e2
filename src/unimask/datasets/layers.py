"""Masks that may overlap onto layers that do not: as few as keep what is in front in front."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from unimask.errors import DataError
from unimask.formats.run_length import RunLength

MOST_VALUES = 2**29
"""Of all layers of an image: they take four bytes each."""


def stack_masks(
    masks: Iterable[tuple[int, RunLength]], size: tuple[int, int]
) -> Int[np.ndarray, "l h w"]:
    """Put numbered masks on layers, each above all that it overlaps.

    Disjoint masks share the first layer, so most pictures need one. Nothing is flattened: each
    mask is whole on its layer.

    Args:
        masks: Numbers and masks, what is behind first.
        size: Height and width of the picture.

    Returns:
        The numbers, 0 for none, as int32; one empty layer if there is no mask.

    Raises:
        DataError: So many masks lie over one another that their layers would fill the memory.
    """
    # Column by column, the order of run lengths: a mask is one stretch of memory.
    layers = [np.zeros(size[0] * size[1], np.int32)]
    for number, mask in masks:
        start, inside = mask.span
        place = slice(start, start + len(inside))
        level = len(layers)
        while level and not (layers[level - 1][place] * inside).any():
            level -= 1
        if level == len(layers):
            if (level + 1) * layers[0].size > MOST_VALUES:
                raise DataError(
                    f"{level + 1} objects lie over one another in an image of {size[1]} x "
                    f"{size[0]}: remove duplicates, or cut the image into tiles"
                )
            layers.append(np.zeros_like(layers[0]))
        np.copyto(layers[level][place], number, where=inside)
    return np.stack([layer.reshape(size[1], size[0]).T for layer in layers])
