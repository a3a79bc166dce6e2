"""Panoptic map of a whole image: objects over stuff, each pixel in at most one segment."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from unimask.formats.run_length import RunLength, find_runs
from unimask.tiling.seams import JoinedObject


def paste_objects(
    ids: Int[np.ndarray, "w h"], objects: Sequence[JoinedObject], overlap_threshold: float
) -> list[JoinedObject]:
    """Write objects into a transposed map; those with higher scores are on top.

    Args:
        ids: Transposed map of int32, 0 or less at pixels without an object. Accepted objects are
            numbered from 1 in it.
        objects: Objects in descending order of score.
        overlap_threshold: Minimum share of its mask that an object must get, or it is left out.

    Returns:
        The accepted objects.
    """
    accepted = []
    for item in objects:
        window = item.mask.window
        part = ids[window.column : window.right, window.row : window.bottom]
        free = item.mask.rle.to_mask().T & (part <= 0)
        count = int(free.sum())
        if count and count >= overlap_threshold * item.mask.area:
            accepted.append(item)
            part[free] = len(accepted)
    return accepted


def encode_segments(
    ids: Int[np.ndarray, "w h"], num_objects: int
) -> tuple[dict[int, RunLength], dict[int, RunLength]]:
    """Return the masks of objects by their number, and those of stuff by its class.

    Args:
        ids: Transposed map: numbers of objects, 0 for void, -1 - class for stuff.
        num_objects: Largest number of an object.
    """
    runs = find_runs(ids.reshape(-1))
    rles = runs.encode_masks((ids.shape[1], ids.shape[0]))
    objects = {number: rles[number] for number in range(1, num_objects + 1) if number in rles}
    return objects, {-1 - value: rle for value, rle in rles.items() if value < 0}
