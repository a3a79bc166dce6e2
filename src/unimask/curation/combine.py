"""Two labelled folders of the same pictures as one: stuff of the one, objects of the other."""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from unimask.datasets import Dataset, Sample
from unimask.datasets.found import open_picture
from unimask.datasets.packed import Stream
from unimask.errors import DataError
from unimask.labels import LabelSet


class Combined:
    """Pictures with the stuff of one dataset under the things of another.

    The classes are the things of `things` and those classes of `stuff` that are not called like
    one of them. What `stuff` calls like a thing is left to the objects: where no object lies
    there, the truth is unknown.

    Args:
        stuff: Labelled everywhere, usually semantic.
        things: Objects in the same pictures, partners by file stem.

    Raises:
        DataError: A picture has no partner, or partners cannot be told apart.
    """

    def __init__(self, stuff: Dataset, things: Dataset) -> None:
        self.stuff, self.things = stuff, things
        self.name, self.paths = stuff.name, stuff.paths
        self.partners = partners_of(stuff, things)
        chosen = [index for index, thing in enumerate(things.labels.is_thing) if thing]
        names = [things.labels.names[index] for index in chosen]
        kept = [index for index, name in enumerate(stuff.labels.names) if name not in names]
        self.labels = LabelSet(
            (*names, *(stuff.labels.names[index] for index in kept)),
            (True,) * len(names) + (False,) * len(kept),
            (
                *(things.labels.colour(index) for index in chosen),
                *(stuff.labels.colour(index) for index in kept),
            ),
        )
        self.thing_ids = placed(chosen, len(things.labels), 0)
        self.stuff_ids = placed(kept, len(stuff.labels), len(chosen))

    def __len__(self) -> int:
        return len(self.stuff)

    def __getitem__(self, index: int) -> Sample:
        """Read one picture with both its labels.

        Raises:
            DataError: The partners differ in size, or one cannot be read.
        """
        below, above = self.stuff[index], self.things[self.partners[index]]
        if below.size != above.size:
            raise DataError(
                f"{above.path} is {above.size[0]} x {above.size[1]}, but {below.path} is "
                f"{below.size[0]} x {below.size[1]}: they must be the same picture"
            )
        front, objects = without(above, self.thing_ids)
        behind, regions = without(below, self.stuff_ids)
        behind[behind > 0] += np.count_nonzero(objects)
        nowhere = np.logical_not(np.concatenate([front, behind]).any(axis=0))
        thing_ids = self.thing_ids[above.label_ids[objects]]
        stuff_ids = self.stuff_ids[below.label_ids[regions]]
        told = np.full(len(stuff_ids), np.nan)  # of stuff nobody asks
        return Sample(
            image=below.image,
            id_maps=np.concatenate([behind, front]),
            label_ids=np.concatenate([thing_ids, stuff_ids]),
            crowds=np.concatenate([above.crowds[objects], below.crowds[regions]]),
            ignored=nowhere if nowhere.any() else None,
            path=below.path,
            areas=None if above.areas is None else np.concatenate([above.areas[objects], told]),
        )

    def open_picture(self, index: int) -> Stream:
        """Open a picture's file, wherever it lies."""
        return open_picture(self.stuff, index)


def placed(chosen: list[int], count: int, first: int) -> np.ndarray:
    """Give the new label id of each old one, -1 where it is left out."""
    table = np.full(count, -1, np.int64)
    table[chosen] = np.arange(first, first + len(chosen))
    return table


def without(
    sample: Sample, kept: Int[np.ndarray, " k"]
) -> tuple[Int[np.ndarray, "l h w"], Bool[np.ndarray, " n"]]:
    """Leave out objects of classes that are not kept: give the maps, and which objects stay."""
    stays = kept[sample.label_ids] >= 0
    table = np.concatenate([[0], np.where(stays, np.cumsum(stays), 0)]).astype(np.int32)
    return table[sample.id_maps], stays


def partners_of(stuff: Dataset, things: Dataset) -> list[int]:
    """Find each picture in the other dataset, by file stem."""
    stems = [Path(path).stem for path in things.paths]
    doubled = [stem for stem, times in Counter(stems).items() if times > 1]
    if doubled:
        raise DataError(f"{things.name} has several pictures called {doubled[0]}: rename them")
    places = {stem: index for index, stem in enumerate(stems)}
    missing = [path for path in stuff.paths if Path(path).stem not in places]
    if missing:
        raise DataError(
            f"{missing[0]} is not in {things.name} ({len(missing)} are not): both folders must "
            "hold the same pictures"
        )
    return [places[Path(path).stem] for path in stuff.paths]
