"""Read Label Studio's export "Brush labels to PNG": a mask per region, named by its task and label.

`task-1-annotation-2-by-3-tag-Car-0.png` is the first region of Car in annotation 2 of task 1, drawn
with the tag called "tag". The names do not tell the images of the tasks: images called 1.jpg or
task-1.jpg are taken for those of task 1. An export as JSON names the images, and is read instead.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from unimask.datasets.image_files import walk_folders
from unimask.datasets.interface import (
    ALL_IMAGES,
    Dataset,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
)
from unimask.datasets.maps.class_masks import open_class_masks
from unimask.datasets.maps.label_map import read_numbers
from unimask.datasets.maps.mask_set import MaskSet
from unimask.datasets.maps.partners import Pairs
from unimask.datasets.packed import File
from unimask.errors import DataError
from unimask.processing.images import IMAGE_SUFFIXES

FORMAT = "Label Studio brush masks"

MASK_NAME = re.compile(
    r"task-(\d{1,18})-annotation-(\d{1,18})-by-([^-]*)-([^-]+)-(.+)-(\d{1,9})\.png", re.DOTALL
)
"""Pattern of the name of a mask: task, annotation, annotator, tag, label, number of the region."""

IMAGE_STEM = re.compile(r"(?:task[-_ ]?)?0*(\d{1,18})", re.IGNORECASE)
"""Pattern of the name of a task's image."""


@dataclass(frozen=True, slots=True)
class BrushMask:
    """Mask of one region.

    Attributes:
        path: File of the mask.
        annotation: Number of the annotation, which grows with time.
        label: Label of the region.
    """

    path: Path
    annotation: int
    label: str


def find_label_studio_brush(folder: Path) -> DetectedDataset | None:
    """Detect masks by their names."""
    tasks: dict[int, list[BrushMask]] = defaultdict(list)
    for place, names in walk_folders(folder):
        for name in names:
            if match := MASK_NAME.fullmatch(name):
                mask = BrushMask(place / name, int(match[2]), match[5])
                tasks[int(match[1])].append(mask)
    if not tasks:
        return None
    opener = partial(open_brush_masks, folder, tasks)
    reason = "names of masks that Label Studio writes"
    return DetectedDataset(
        FORMAT, {ALL_IMAGES: opener}, (), Evidence.NAMES, reason, has_class_names=True
    )


def open_brush_masks(
    folder: Path,
    tasks: Mapping[int, Sequence[BrushMask]],
    options: DatasetOptions,
) -> Dataset:
    """Open the images of the tasks that have masks; the latest annotation of a task is read.

    Raises:
        DataError: The image of a task is not known.
    """
    names = tuple(sorted({mask.label for masks in tasks.values() for mask in masks}))
    images, pairs, num_older = find_task_images(folder), Pairs(), 0
    for task, masks in sorted(tasks.items()):
        if len(images.get(task, ())) != 1:
            raise DataError(
                f"{masks[0].path} is a mask of task {task}, but no single image is called {task} "
                f"or task-{task}: add the export of the tasks as JSON, which names their images"
            )
        latest = max(mask.annotation for mask in masks)
        own = [mask for mask in masks if mask.annotation == latest]
        num_older += len(masks) > len(own)
        files = sorted((mask.path, names.index(mask.label)) for mask in own)
        pairs.images.append(images[task][0])
        pairs.maps.append(MaskSet(tuple((label, path) for path, label in files)))
    notes = "the image of a task has the task's number as its name"
    notes += (
        f"; {num_older} tasks have several annotations, the latest is read" if num_older else ""
    )
    info = DatasetInfo(FORMAT, notes=notes)
    return open_class_masks(pairs, folder, names, read_brush_mask, info, options)


def find_task_images(folder: Path) -> dict[int, list[Path]]:
    """Return the images whose names are numbers of tasks."""
    images: dict[int, list[Path]] = defaultdict(list)
    for place, names in walk_folders(folder):
        for path in map(place.joinpath, names):
            match = IMAGE_STEM.fullmatch(path.stem)
            if match and path.suffix.lower() in IMAGE_SUFFIXES:
                images[int(match[1])].append(path)
    return images


def read_brush_mask(file: File, _: MaskSet) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that the brush touched, as Label Studio's own converters count them.

    Raises:
        DataError: The mask cannot be read, or has colours.
    """
    return read_numbers(file) > 0
