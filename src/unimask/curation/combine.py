"""Combine two labelled folders of the same images: stuff of one, objects of the other."""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from unimask.datasets import Dataset, Sample
from unimask.datasets.interface import open_image
from unimask.datasets.packed import Stream
from unimask.errors import DataError
from unimask.labels import LabelSet


class CombinedDataset:
    """Images with the things of one dataset in front of the stuff of another.

    The classes are the things of `things`, and those classes of `stuff` whose names are not among
    them. Pixels that `stuff` labels with the name of a thing are ignored unless an object covers
    them.

    Args:
        stuff: Dataset that labels every pixel, usually semantic.
        things: Dataset of objects in the same images, which are matched by file stem.

    Raises:
        DataError: An image has no partner, or several.
    """

    def __init__(self, stuff: Dataset, things: Dataset) -> None:
        self.stuff, self.things = stuff, things
        self.name, self.paths = stuff.name, stuff.paths
        self.partners = match_images(stuff, things)
        selected_things = [index for index, thing in enumerate(things.labels.is_thing) if thing]
        names = [things.labels.names[index] for index in selected_things]
        selected_stuff = [
            index for index, name in enumerate(stuff.labels.names) if name not in names
        ]
        self.labels = LabelSet(
            (*names, *(stuff.labels.names[index] for index in selected_stuff)),
            (True,) * len(names) + (False,) * len(selected_stuff),
            (
                *(things.labels.colour(index) for index in selected_things),
                *(stuff.labels.colour(index) for index in selected_stuff),
            ),
        )
        self.thing_label_ids = label_id_table(selected_things, len(things.labels), 0)
        self.stuff_label_ids = label_id_table(
            selected_stuff, len(stuff.labels), len(selected_things)
        )

    def __len__(self) -> int:
        return len(self.stuff)

    def __getitem__(self, index: int) -> Sample:
        """Read one image with the labels of both datasets.

        Raises:
            DataError: The partners differ in size, or one of them cannot be read.
        """
        stuff, things = self.stuff[index], self.things[self.partners[index]]
        if stuff.size != things.size:
            raise DataError(
                f"{things.path} is {things.size[0]} x {things.size[1]}, but {stuff.path} is "
                f"{stuff.size[0]} x {stuff.size[1]}: they must be the same image"
            )
        thing_maps, kept_things = remove_classes(things, self.thing_label_ids)
        stuff_maps, kept_stuff = remove_classes(stuff, self.stuff_label_ids)
        stuff_maps[stuff_maps > 0] += np.count_nonzero(kept_things)
        unlabelled = np.logical_not(np.concatenate([thing_maps, stuff_maps]).any(axis=0))
        thing_ids = self.thing_label_ids[things.label_ids[kept_things]]
        stuff_ids = self.stuff_label_ids[stuff.label_ids[kept_stuff]]
        unknown_areas = np.full(len(stuff_ids), np.nan)  # only areas of things are used
        return Sample(
            image=stuff.image,
            id_maps=np.concatenate([stuff_maps, thing_maps]),
            label_ids=np.concatenate([thing_ids, stuff_ids]),
            crowds=np.concatenate([things.crowds[kept_things], stuff.crowds[kept_stuff]]),
            ignored=unlabelled if unlabelled.any() else None,
            path=stuff.path,
            areas=None
            if things.areas is None
            else np.concatenate([things.areas[kept_things], unknown_areas]),
        )

    def open_image(self, index: int) -> Stream:
        """Open an image's file, whether it is on disk or in a table cell."""
        return open_image(self.stuff, index)


def label_id_table(selected: list[int], count: int, first: int) -> np.ndarray:
    """Return a table from old label ids to new ones, -1 for classes that are left out."""
    table = np.full(count, -1, np.int64)
    table[selected] = np.arange(first, first + len(selected))
    return table


def remove_classes(
    sample: Sample, new_label_ids: Int[np.ndarray, " k"]
) -> tuple[Int[np.ndarray, "l h w"], Bool[np.ndarray, " n"]]:
    """Remove objects whose new label id is negative; also return which objects remain."""
    remains = new_label_ids[sample.label_ids] >= 0
    table = np.concatenate([[0], np.where(remains, np.cumsum(remains), 0)]).astype(np.int32)
    return table[sample.id_maps], remains


def match_images(stuff: Dataset, things: Dataset) -> list[int]:
    """Return the index of each image in the other dataset, matched by file stem."""
    stems = [Path(path).stem for path in things.paths]
    repeated = [stem for stem, times in Counter(stems).items() if times > 1]
    if repeated:
        raise DataError(f"{things.name} has several images called {repeated[0]}: rename them")
    indices = {stem: index for index, stem in enumerate(stems)}
    missing = [path for path in stuff.paths if Path(path).stem not in indices]
    if missing:
        raise DataError(
            f"{missing[0]} is not in {things.name} ({len(missing)} are not): both folders must "
            "hold the same images"
        )
    return [indices[Path(path).stem] for path in stuff.paths]
