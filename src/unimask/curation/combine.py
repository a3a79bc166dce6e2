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


class Combined:
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
        self.partners = partners_of(stuff, things)
        chosen = [index for index, thing in enumerate(things.labels.is_thing) if thing]
        names = [things.labels.names[index] for index in chosen]
        stuff_chosen = [index for index, name in enumerate(stuff.labels.names) if name not in names]
        self.labels = LabelSet(
            (*names, *(stuff.labels.names[index] for index in stuff_chosen)),
            (True,) * len(names) + (False,) * len(stuff_chosen),
            (
                *(things.labels.colour(index) for index in chosen),
                *(stuff.labels.colour(index) for index in stuff_chosen),
            ),
        )
        self.thing_ids = placed(chosen, len(things.labels), 0)
        self.stuff_ids = placed(stuff_chosen, len(stuff.labels), len(chosen))

    def __len__(self) -> int:
        return len(self.stuff)

    def __getitem__(self, index: int) -> Sample:
        """Read one image with the labels of both datasets.

        Raises:
            DataError: The partners differ in size, or one of them cannot be read.
        """
        below, above = self.stuff[index], self.things[self.partners[index]]
        if below.size != above.size:
            raise DataError(
                f"{above.path} is {above.size[0]} x {above.size[1]}, but {below.path} is "
                f"{below.size[0]} x {below.size[1]}: they must be the same image"
            )
        front, objects = without(above, self.thing_ids)
        behind, regions = without(below, self.stuff_ids)
        behind[behind > 0] += np.count_nonzero(objects)
        nowhere = np.logical_not(np.concatenate([front, behind]).any(axis=0))
        thing_ids = self.thing_ids[above.label_ids[objects]]
        stuff_ids = self.stuff_ids[below.label_ids[regions]]
        unknown = np.full(len(stuff_ids), np.nan)  # only areas of things are used
        return Sample(
            image=below.image,
            id_maps=np.concatenate([behind, front]),
            label_ids=np.concatenate([thing_ids, stuff_ids]),
            crowds=np.concatenate([above.crowds[objects], below.crowds[regions]]),
            ignored=nowhere if nowhere.any() else None,
            path=below.path,
            areas=None if above.areas is None else np.concatenate([above.areas[objects], unknown]),
        )

    def open_image(self, index: int) -> Stream:
        """Open an image's file, whether it is on disk or in a table cell."""
        return open_image(self.stuff, index)


def placed(chosen: list[int], count: int, first: int) -> np.ndarray:
    """Return a table from old label ids to new ones, -1 for classes that are left out."""
    table = np.full(count, -1, np.int64)
    table[chosen] = np.arange(first, first + len(chosen))
    return table


def without(
    sample: Sample, kept: Int[np.ndarray, " k"]
) -> tuple[Int[np.ndarray, "l h w"], Bool[np.ndarray, " n"]]:
    """Remove objects whose class is negative in `kept`; also return which objects remain."""
    stays = kept[sample.label_ids] >= 0
    table = np.concatenate([[0], np.where(stays, np.cumsum(stays), 0)]).astype(np.int32)
    return table[sample.id_maps], stays


def partners_of(stuff: Dataset, things: Dataset) -> list[int]:
    """Return the index of each image in the other dataset, matched by file stem."""
    stems = [Path(path).stem for path in things.paths]
    doubled = [stem for stem, times in Counter(stems).items() if times > 1]
    if doubled:
        raise DataError(f"{things.name} has several images called {doubled[0]}: rename them")
    places = {stem: index for index, stem in enumerate(stems)}
    missing = [path for path in stuff.paths if Path(path).stem not in places]
    if missing:
        raise DataError(
            f"{missing[0]} is not in {things.name} ({len(missing)} are not): both folders must "
            "hold the same images"
        )
    return [places[Path(path).stem] for path in stuff.paths]
