"""What every writer does, and what several write alike."""

import json
from collections import Counter
from pathlib import Path
from typing import Protocol

from unimask.datasets import Sample
from unimask.datasets.objects import is_background
from unimask.formats.run_length import RunLength, run_lengths_of_ids
from unimask.labels import LabelSet
from unimask.visualization.palette import class_colour

HIDDEN = "pixels of objects behind others"


class Writer(Protocol):
    """Takes samples one by one.

    Attributes:
        lost: What the format had no place for, counted in words.
    """

    lost: Counter[str]

    def pictures(self, split: str) -> Path:
        """Give the folder of a split's pictures."""
        ...

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write one picture's labels; the picture itself is called `file`."""
        ...

    def finish(self, split: str) -> None:
        """Write what is common to a split."""
        ...


def lost_stuff(labels: LabelSet) -> frozenset[int]:
    """Return the stuff that lists of objects have no place for.

    A background is none of it: what no object covers is read as background again.
    """
    return frozenset(
        label
        for label, name in enumerate(labels.names)
        if not labels.is_thing[label] and not is_background(name)
    )


def object_masks(sample: Sample) -> dict[int, RunLength]:
    """Give the objects that have pixels, whole where they overlap, by their numbers."""
    masks = {i: rle for layer in sample.id_maps for i, rle in run_lengths_of_ids(layer).items()}
    return dict(sorted(masks.items()))


def corner_and_size(rle: RunLength) -> list[int]:
    """Give a mask's box as COCO writes it: x, y, width, height."""
    x0, y0, x1, y1 = (int(edge) for edge in rle.box)
    return [x0, y0, x1 - x0, y1 - y0]


def categories(labels: LabelSet) -> list[dict]:
    """Describe classes as COCO does; those without a colour of their own get a drawing's."""
    return [
        {
            "id": index + 1,
            "name": name,
            "supercategory": name,
            "isthing": int(labels.is_thing[index]),
            "color": list(class_colour(index, labels.colour(index))),
        }
        for index, name in enumerate(labels.names)
    ]


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
