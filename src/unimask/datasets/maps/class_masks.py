"""Read images with a black and white mask per object, each of a known class."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.mask_set import MapFile, MaskSet
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.objects.layers import stack_masks
from unimask.datasets.packed import File
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.labels import BACKGROUND, LabelSet

ReadMask = Callable[[File, MaskSet], Bool[np.ndarray, "h w"]]
"""Function that reads one mask of a set."""


def open_class_masks(
    pairs: Pairs,
    folder: Path,
    names: tuple[str, ...],
    read: ReadMask,
    info: DatasetInfo,
    options: DatasetOptions,
) -> MapDataset:
    """Build a dataset of images with a mask per object; pixels outside all masks are background.

    Args:
        pairs: Images and their masks, whose numbers are label ids.
        folder: Folder of the dataset.
        names: Names of the classes of the objects.
        read: Function that reads one mask.
        info: Description of the dataset.
        options: Options with the images' channels.
    """
    labels = LabelSet((*names, BACKGROUND), (*(True,) * len(names), False))
    read_map = partial(read_class_masks, read, len(names))
    return MapDataset(pairs, folder, labels, read_map, info, options)


def read_class_masks(read: ReadMask, background: int, file: MapFile) -> Objects:
    """Read the masks of one image; where they overlap, the smaller one is in front.

    Raises:
        DataError: A mask cannot be read, or differs in size from the others.
    """
    if not isinstance(file, MaskSet):
        raise DataError(f"{file} is not a set of masks")
    masks = [(label, read(path, file)) for label, path in file.masks]
    height, width = masks[0][1].shape
    for (_, path), (_, mask) in zip(file.masks, masks, strict=True):
        if mask.shape != (height, width):
            raise DataError(
                f"{path} is {mask.shape[0]} x {mask.shape[1]}, but {file.masks[0][1]} of the same "
                f"image is {height} x {width}: export the masks again"
            )
    filled = [(label, RunLength.from_mask(mask)) for label, mask in masks if mask.any()]
    order = sorted(range(len(filled)), key=lambda place: -filled[place][1].area)
    layers = stack_masks(((place + 1, filled[place][1]) for place in order), (height, width))
    label_ids = np.array([label for label, _ in filled], np.int64)
    bare = ~layers.any(axis=0)
    if bare.any():
        layers[-1][bare] = len(filled) + 1
        label_ids = np.append(label_ids, background)
    behind = layers[:-1] if len(layers) > 1 else None
    return Objects(layers[-1], label_ids, np.zeros(len(label_ids), bool), behind=behind)
