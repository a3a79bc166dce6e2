"""Define the interface of all writers, and the parts that several of them share."""

import json
from collections import Counter
from math import isnan
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from unimask.datasets import Sample
from unimask.datasets.interface import ALL_IMAGES
from unimask.formats.run_length import RunLength, encode_id_map
from unimask.labels import LabelSet, is_background
from unimask.visualization.palette import class_colour

HIDDEN_PIXELS = "pixels of objects behind others"
STUFF_AS_OBJECTS = "regions of stuff that are read back as objects"
SCORE_DECIMALS = 6


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

    def close(self) -> None:
        """Write the files that describe all splits, after the last one."""
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


class LabelledObject(NamedTuple):
    """Object of a sample that labelling tools can represent.

    Attributes:
        number: Number of the object in the sample.
        label_id: Label id of its class.
        is_thing: Whether the class is a thing.
        rle: Whole mask.
        layer: Layer of the sample on which it lies; greater ones are in front.
        score: Confidence from 0 to 1; None if unknown.
    """

    number: int
    label_id: int
    is_thing: bool
    rle: RunLength
    layer: int
    score: float | None


def labelled_objects(sample: Sample, labels: LabelSet, lost: Counter[str]) -> list[LabelledObject]:
    """Return the objects of a sample without crowds and background, from back to front.

    Crowds and ignored pixels are counted in `lost`.
    """
    if sample.ignored is not None:
        lost["pixels without ground truth"] += int(sample.ignored.sum())
    objects = []
    for layer, ids in enumerate(sample.id_maps):
        for number, rle in encode_id_map(ids).items():
            label = int(sample.label_ids[number - 1])
            is_thing = labels.is_thing[label]
            if sample.crowds[number - 1]:
                lost["crowds"] += 1
            elif is_thing or not is_background(labels.names[label]):
                score = object_score(sample, number)
                objects.append(LabelledObject(number, label, is_thing, rle, layer, score))
    return objects


def object_score(sample: Sample, number: int) -> float | None:
    """Return the confidence of an object, rounded for files; None if it has none."""
    score = float("nan") if sample.scores is None else float(sample.scores[number - 1])
    return None if isnan(score) else round(score, SCORE_DECIMALS)


def score_field(sample: Sample, number: int) -> dict[str, float]:
    """Return the field "score" of an object in COCO's files; empty if it has none."""
    score = object_score(sample, number)
    return {} if score is None else {"score": score}


def split_folder(folder: Path, split: str) -> Path:
    """Return the subfolder of a split; the folder itself if there are no splits."""
    return folder if split == ALL_IMAGES else folder / split


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


def label_path(folder: Path, file: str, suffix: str) -> Path:
    """Return the path of an image's label file, and create its folder.

    Args:
        folder: Folder of the label files.
        file: Name of the image in the dataset, which may include folders.
        suffix: Suffix of the label file.
    """
    path = folder / PurePosixPath(file).with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, and create its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
