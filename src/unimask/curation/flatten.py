"""One object per pixel, for formats that have no place for two."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from unimask.datasets import Sample


class Flat(NamedTuple):
    """A sample without overlaps.

    Attributes:
        numbers: The number of the object in front at each pixel, 0 for none.
        covered: Pixels of objects that lie behind others.
    """

    numbers: Int[np.ndarray, "h w"]
    covered: int


def flatten(sample: Sample, is_thing: Bool[np.ndarray, " k"]) -> Flat:
    """Put things before stuff, and smaller objects before larger ones; equal ones by number.

    So an object inside another stays visible, as in panoptic annotations drawn by hand.

    Args:
        sample: The picture and its objects.
        is_thing: Per class of its dataset.
    """
    if len(sample.id_maps) == 1:
        return Flat(sample.id_maps[0], 0)
    count = len(sample.label_ids)
    areas = np.zeros(count + 1, np.int64)
    for layer in sample.id_maps:
        areas += np.bincount(layer.ravel(), minlength=count + 1)
    order = np.lexsort((-np.arange(count), -areas[1:], is_thing[sample.label_ids]))
    rank = np.zeros(count + 1, np.int32)
    rank[order + 1] = np.arange(1, count + 1)
    owner = np.zeros(count + 1, np.int32)
    owner[rank] = np.arange(count + 1)
    front = owner[rank[sample.id_maps].max(axis=0)] if count else sample.id_maps.max(axis=0)
    covered = int(np.count_nonzero(sample.id_maps)) - int(np.count_nonzero(front))
    return Flat(front, covered)
