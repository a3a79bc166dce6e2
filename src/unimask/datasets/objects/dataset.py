"""Dataset of images with lists of objects, independent of the file format."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from jaxtyping import Bool, Int

from unimask.config import Window
from unimask.datasets.interface import DatasetInfo
from unimask.datasets.maps.class_table import is_void
from unimask.datasets.objects.annotations import Annotations, DescribeObject, check_image_positions
from unimask.datasets.objects.layers import stack_masks
from unimask.datasets.objects.outlines import merge_run_lengths
from unimask.datasets.orientation import explain_mismatch
from unimask.datasets.packed import File, Stream, file_path, open_file, read_file
from unimask.datasets.sample import Sample
from unimask.datasets.videos import Video
from unimask.errors import DataError
from unimask.formats.run_length import RunLength
from unimask.label_sets import add_known_colours
from unimask.labels import BACKGROUND, Colour, LabelSet, is_background

VOID_LABEL = -1
"""Label id of objects whose class is void, so that their pixels are ignored."""


class ObjectDataset:
    """Images whose objects are outlined one by one and may overlap.

    All classes are things, and pixels outside all objects are the stuff "background", so that all
    three tasks are defined: panoptic and semantic include it like any stuff, instance does not.
    Overlapping objects keep their whole masks, each on a layer of its own; a later layer is in
    front. The smaller object is in front of the larger one, unless the file states the order.

    Args:
        format: Name of the label format for the user.
        name: Name of the dataset.
        labels: Label set with one stuff class (see `build_object_labels`).
        images: File of each image.
        annotations: Objects of the images, in the same order of images.
        origin: Function that names an object in messages.
        channels: Number of channels of the images, 3 for RGB.
    """

    def __init__(
        self,
        format: str,
        name: str,
        labels: LabelSet,
        images: Sequence[File],
        annotations: Annotations,
        origin: DescribeObject,
        channels: int = 3,
    ) -> None:
        self.name, self.images, self.paths = name, images, list(map(file_path, images))
        self.labels, self.annotations, notes = remove_void(labels, annotations)
        self.origin, self.channels = origin, channels
        self.window: Window = None
        self.videos: Sequence[Video] = ()
        notes = f"objects may overlap; what none covers is background{notes}"
        self.info = DatasetInfo(format, notes=notes)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Read one image and rasterise its objects.

        Raises:
            DataError: The labels were made for an image of another size.
            ImageError: The image cannot be read.
            MissingExtraError: The extra `train` is not installed.
        """
        path = self.paths[index]
        image = read_file(self.images[index], self.channels, self.window)
        size = image.shape[:2]
        self.check_size(index, size)
        objects = self.annotations.objects_of_image(index)
        known = self.annotations.label_ids[objects] != VOID_LABEL
        void_objects, objects = objects[~known], objects[known]
        masks = [self.mask(index, int(number), size) for number in objects]
        label_ids = self.annotations.label_ids[objects].astype(np.int64)
        crowds, areas = self.annotations.crowds[objects], self.annotations.areas[objects]
        track_ids = self.annotations.numbers[objects]
        id_maps = self.stack_layers(index, self.sort_back_to_front(objects, masks), size)
        bare = ~id_maps.any(axis=0)
        ignored = self.union_mask(index, void_objects, size) & bare if len(void_objects) else None
        if ignored is not None:
            bare &= ~ignored
        if bare.any():
            id_maps[0][bare] = len(objects) + 1
            label_ids = np.append(label_ids, self.labels.is_thing.index(False))
            crowds, areas = np.append(crowds, False), np.append(areas, np.nan)
            track_ids = np.append(track_ids, -1)
        return Sample(
            image=image,
            id_maps=id_maps,
            label_ids=label_ids,
            crowds=crowds,
            ignored=ignored,
            path=path,
            areas=None if np.isnan(areas).all() else areas,
            track_ids=track_ids if self.videos else None,
        )

    def count_things(self) -> Int[np.ndarray, " n"]:
        """Count the objects of thing classes in each image, without crowds."""
        annotations, things = self.annotations, np.array((*self.labels.is_thing, False))
        counted = (things[annotations.label_ids] & ~annotations.crowds)[annotations.order]
        return np.diff(np.concatenate([[0], np.cumsum(counted)])[annotations.first_object])

    def label_digest(self, index: int) -> str:
        """Compute a digest of one image's objects."""
        return self.annotations.digest(index)

    def open_image(self, index: int) -> Stream:
        """Open an image's file, whether it is on disk or in a table cell."""
        return open_file(self.images[index])

    def check_size(self, index: int, size: tuple[int, int]) -> None:
        """Raise if an image differs in size from its labels.

        Raises:
            DataError: The sizes differ, or the labels state no size and a polygon lies outside.
        """
        height, width = self.annotations.sizes[index].tolist()
        if (height, width) == (0, 0):
            check_image_positions(self.annotations, index, size, self.origin)
        elif (height, width) != size:
            hint = explain_mismatch(self.images[index], size, (height, width))
            raise DataError(
                f"{self.paths[index]} has {size[1]} x {size[0]} pixels, but its labels in "
                f"{self.name} are for {width} x {height}"
                f"{hint or ': export labels and images together'}"
            )

    def mask(self, index: int, number: int, size: tuple[int, int]) -> RunLength:
        """Rasterise one object.

        Raises:
            DataError: Its mask has another size than the image.
        """
        try:
            return self.annotations.mask(number, size)
        except DataError as error:
            description = self.origin(index, int(self.annotations.numbers[number]))
            raise DataError(
                f"{description} {error}, but {self.paths[index]} is {size[0]} x {size[1]}: export "
                "labels and images together"
            ) from None

    def stack_layers(
        self, index: int, masks: list[tuple[int, RunLength]], size: tuple[int, int]
    ) -> Int[np.ndarray, "l h w"]:
        """Place numbered masks on layers; see `stack_masks`.

        Raises:
            DataError: So many masks overlap that their layers would exceed the memory limit.
        """
        try:
            return stack_masks(masks, size)
        except DataError as error:
            raise DataError(f"{self.paths[index]}: {error}") from None

    def union_mask(
        self, index: int, objects: Int[np.ndarray, " n"], size: tuple[int, int]
    ) -> Bool[np.ndarray, "h w"]:
        """Return the pixels that any of some objects covers."""
        return merge_run_lengths(
            [self.mask(index, int(number), size) for number in objects]
        ).to_mask()

    def sort_back_to_front(
        self, objects: Int[np.ndarray, " n"], masks: list[RunLength]
    ) -> list[tuple[int, RunLength]]:
        """Number objects from 1, sorted back to front: crowds, greater depth, then larger area."""
        annotations = self.annotations
        areas = np.array([mask.area for mask in masks], np.int64)
        keys = (-areas, -annotations.depths[objects], ~annotations.crowds[objects])
        return [(int(place) + 1, masks[place]) for place in np.lexsort(keys)]


def remove_void(labels: LabelSet, annotations: Annotations) -> tuple[LabelSet, Annotations, str]:
    """Remove void classes, such as "__ignore__", "void" and "unlabeled", from the label set.

    Pixels of their objects are ignored, unless an object of another class covers them.

    Returns:
        The remaining label set, the objects with its label ids or `VOID_LABEL`, and a note as the
        end of
            a sentence.
    """
    valid_ids = [index for index, name in enumerate(labels.names) if not is_void(name)]
    if len(valid_ids) == len(labels):
        return labels, annotations, ""
    void_names = [name for name in labels.names if is_void(name)]
    label_ids = np.full(len(labels), VOID_LABEL, np.int32)
    label_ids[valid_ids] = np.arange(len(valid_ids))
    relabelled = replace(annotations, label_ids=label_ids[annotations.label_ids])
    ignored = int((relabelled.label_ids == VOID_LABEL).sum())
    note = f"; {ignored} objects of {', '.join(void_names)} are neither object nor background"
    return select_labels(labels, valid_ids), relabelled, note


def select_labels(labels: LabelSet, label_ids: Sequence[int]) -> LabelSet:
    """Return a label set with only these label ids."""
    return LabelSet(
        tuple(labels.names[index] for index in label_ids),
        tuple(labels.is_thing[index] for index in label_ids),
        tuple(labels.colours[index] for index in label_ids) if labels.colours else (),
        tuple(labels.category_ids[index] for index in label_ids) if labels.category_ids else (),
    )


def build_object_labels(
    names: Sequence[str],
    colours: tuple[Colour | None, ...] = (),
    category_ids: tuple[int, ...] = (),
) -> LabelSet:
    """Return the label set of object classes: things, and "background" as stuff.

    A class named background is the stuff; if there is none, one is added at the end, with the
    smallest unused category id.

    Args:
        names: Class names.
        colours: Colour of each class; empty to use those of a known label set.
        category_ids: Category id of each class; empty if the dataset has none.
    """
    stuff = next((index for index, name in enumerate(names) if is_background(name)), None)
    if stuff is not None:
        things = tuple(index != stuff for index in range(len(names)))
        return LabelSet(tuple(names), things, colours, category_ids)
    if not names:
        return LabelSet((BACKGROUND,), (False,))
    things = add_known_colours(LabelSet(tuple(names), (True,) * len(names), colours))
    colours_with_background = (*things.colours, None) if things.colours else ()
    unused_id = next(number for number in count() if number not in category_ids)
    ids = (*category_ids, unused_id) if category_ids else ()
    return LabelSet((*names, BACKGROUND), (*things.is_thing, False), colours_with_background, ids)
