"""Read images with maps that number the objects of one class."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Integer

from unimask.datasets.interface import DatasetInfo, DatasetOptions
from unimask.datasets.maps.class_table import is_void, parse_name
from unimask.datasets.maps.dataset import MapDataset, Objects
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.map_file import merge_masks
from unimask.datasets.maps.mask_set import MapFile, MaskSet, read_masks
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.objects.layers import stack_masks
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.labels import PLACEHOLDER_NAMES, LabelSet

FORMAT = "instance ids"

IS_THING = (True, False)
"""Whether each class is a thing: the objects are, their background is not."""


def open_instance_ids(
    pairs: Pairs, folder: Path, folders: Sequence[Path], options: DatasetOptions, evidence: str = ""
) -> MapDataset:
    """Build a dataset of images whose maps number the objects of one class; 0 is background.

    The objects are a thing and the background is stuff, so that all three tasks are defined. Names
    come from `labels.json` beside the folders, {"thing": "nucleus", "stuff": "background"}, and
    default to "object" and "background".

    Args:
        pairs: Images and their maps.
        folder: Folder of the dataset.
        folders: Folders that may hold `labels.json`.
        options: Options with names of the thing and the stuff, which override the file's, and
            channels.
        evidence: Reason why values number objects, for the notes.

    Raises:
        DataError: `labels.json` is malformed, or the number of names is wrong.
    """
    if options.names is not None and len(options.names) != len(IS_THING):
        raise DataError(f"{folder}: instance ids have a thing and a stuff, so give two names")
    names = options.names or read_names(folders)
    ignores_background = is_void(names[1])
    labels = LabelSet(names[:1], IS_THING[:1]) if ignores_background else LabelSet(names, IS_THING)
    notes = "each value above 0 is an object"
    notes += f": {evidence}" if evidence else ""
    notes += ", 0 is ignored" if ignores_background else ""
    notes += pairs.missing_maps_note
    read = partial(read_objects, ignore_background=ignores_background)
    return MapDataset(pairs, folder, labels, read, DatasetInfo(FORMAT, notes=notes), options)


def read_objects(file: MapFile, *, ignore_background: bool = False) -> Objects:
    """Read the objects of a map, and its background as one segment.

    Args:
        file: Map file.
        ignore_background: Whether pixels of value 0 are ignored.

    Raises:
        DataError: The map cannot be read.
    """
    if isinstance(file, MaskSet):
        layers, count = stack_mask_set(file)
    else:
        numbers, count = renumber(read_numbers(file))
        layers = numbers[None]
    return add_background(layers, count, ignore_background=ignore_background)


def add_background(
    layers: Int[np.ndarray, "l h w"],
    count: int,
    *,
    ignore_background: bool = False,
    ignored: Bool[np.ndarray, "h w"] | None = None,
) -> Objects:
    """Return the objects of one class, and the pixels without an object as one segment.

    Args:
        layers: Object numbers from 1 to `count`; changed in place.
        count: Number of objects.
        ignore_background: Whether all pixels without an object are ignored.
        ignored: Ignored pixels without an object; None for none.
    """
    label_ids = np.zeros(count, np.int64)
    background = np.asarray(~layers.any(axis=0))
    if ignored is not None:
        background &= ~ignored
    if background.any() and not ignore_background:
        layers[-1][background] = count + 1
        label_ids = np.append(label_ids, 1)
    behind = layers[:-1] if len(layers) > 1 else None
    return Objects(layers[-1], label_ids, np.zeros(len(label_ids), bool), behind=behind)


def stack_mask_set(masks: MaskSet) -> tuple[Int[np.ndarray, "l h w"], int]:
    """Read one object per mask and count them; overlapping objects lie on several layers.

    Raises:
        DataError: A mask cannot be read, or differs in size.
    """
    read = read_masks(masks)
    height, width = read[0][1].shape
    merged, overlap = merge_masks(read, (height, width))
    if not overlap:
        numbers, count = renumber(merged)
        return numbers[None], count
    filled = [mask for _, mask in read if mask.any()]
    order = sorted(range(len(filled)), key=lambda place: -int(filled[place].sum()))
    by_area = ((place + 1, RunLength.from_mask(filled[place])) for place in order)
    return stack_masks(by_area, (height, width)), len(filled)


def renumber(ids: Integer[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
    """Renumber the objects from 1 in the order of their ids and count them; 0 stays 0."""
    if not ids.size or ids.max() >= 2**24:
        values, numbers = np.unique(ids, return_inverse=True)
        numbers = numbers.reshape(ids.shape) + (0 if 0 in values else 1)
        return np.asarray(numbers, np.int32), int(np.count_nonzero(values))
    # Look ids up in a table instead of sorting pixels: ids are small in nearly every file.
    present = np.bincount(ids.ravel()) > 0
    present[0] = False
    table = np.where(present, np.cumsum(present), 0).astype(np.int32)
    return table[ids], int(np.count_nonzero(present))


def read_names(folders: Sequence[Path]) -> tuple[str, str]:
    """Read the names of the thing and the stuff from the first `labels.json`.

    Raises:
        DataError: The file is malformed.
    """
    for path in (place / "labels.json" for place in folders):
        if not path.is_file():
            continue
        try:
            names = json.loads(path.read_text(encoding="utf-8-sig"))
            return parse_name(names["thing"]), parse_name(names["stuff"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                f'{path} should read {{"thing": "nucleus", "stuff": "background"}}'
            ) from None
    return PLACEHOLDER_NAMES
