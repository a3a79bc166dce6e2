"""Define the interface of all writers, and the parts that several of them share."""

import json
from collections import Counter
from pathlib import Path
from typing import Protocol

from unimask.datasets import Sample
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.labels import LabelSet, is_background
from unimask.visualization.palette import class_colour

HIDDEN_PIXELS = "pixels of objects behind others"


class Writer(Protocol):
    """Writer of samples, one by one, in one format.

    Attributes:
        lost: Number of items that the format cannot represent, by a description of their kind.
    """

    lost: Counter[str]

    def image_folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        ...

    def add(self, split: str, sample: Sample, file: str) -> None:
        """Write the labels of one image, whose file in the new dataset is `file`."""
        ...

    def finish(self, split: str) -> None:
        """Write the files that describe a whole split."""
        ...


def unsupported_stuff(labels: LabelSet) -> frozenset[int]:
    """Return the label ids of stuff that lists of objects cannot represent.

    A background is not among them: what no object covers is read as background again.
    """
    return frozenset(
        label
        for label, name in enumerate(labels.names)
        if not labels.is_thing[label] and not is_background(name)
    )


def object_masks(sample: Sample) -> dict[int, RunLength]:
    """Return the mask of each object that has pixels, by object number; masks may overlap."""
    masks = {i: rle for layer in sample.id_maps for i, rle in encode_id_map(layer).items()}
    return dict(sorted(masks.items()))


def to_xywh(rle: RunLength) -> list[int]:
    """Return a mask's box in COCO's format: x, y, width, height."""
    x0, y0, x1, y1 = (int(edge) for edge in rle.box)
    return [x0, y0, x1 - x0, y1 - y0]


def category_records(labels: LabelSet) -> list[dict]:
    """Return COCO's category records; classes without a colour get the one used for drawing."""
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
    """Write a JSON file, and create its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
