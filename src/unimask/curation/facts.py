"""What one labelled picture holds."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from unimask.datasets import Dataset
from unimask.datasets.sample import Sample
from unimask.errors import UnimaskError


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """A picture that could be read, in numbers.

    Attributes:
        path: Its file.
        size: Height and width.
        objects: Objects of each class, crowds left out.
        visible: Of these, the objects that have a pixel.
        areas: Pixels of each class; pixels of overlapping objects count for each.
        things: Objects of all thing classes, crowds left out.
        crowds: Objects that stand for many.
        hidden: Objects without a pixel.
        doubled: Objects with the mask and the class of another one.
        ignored: Pixels of unknown truth.
        overlapping: Pixels of more than one object.
        digest: The same for pictures of the same pixels, whatever their files.
    """

    path: Path
    size: tuple[int, int]
    objects: Int[np.ndarray, " k"]
    visible: Int[np.ndarray, " k"]
    areas: Int[np.ndarray, " k"]
    things: int
    crowds: int
    hidden: int
    doubled: int
    ignored: int
    overlapping: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture, or its labels, that could not be read."""

    path: Path
    reason: str


def look_at(dataset: Dataset, index: int) -> Facts | Unreadable:
    """Read one sample and count what is in it."""
    try:
        sample = dataset[index]
    except UnimaskError as error:
        return Unreadable(Path(dataset.paths[index]), str(error))
    return facts_of(sample, np.array(dataset.labels.is_thing))


def facts_of(sample: Sample, is_thing: np.ndarray) -> Facts:
    """Count what is in a sample.

    Args:
        sample: The picture and its objects.
        is_thing: Per class of its dataset.
    """
    classes, labels = len(is_thing), sample.label_ids
    pixels = np.zeros(len(labels) + 1, np.int64)
    for layer in sample.id_maps:
        pixels += np.bincount(layer.ravel(), minlength=len(pixels))
    pixels = pixels[1:]
    single = ~sample.crowds
    covered = np.count_nonzero(sample.id_maps, axis=0) if len(sample.id_maps) > 1 else None
    return Facts(
        path=sample.path,
        size=sample.size,
        objects=np.bincount(labels[single], minlength=classes),
        visible=np.bincount(labels[single & (pixels > 0)], minlength=classes),
        areas=np.bincount(labels, pixels, minlength=classes).astype(np.int64),
        things=int((is_thing[labels] & single).sum()),
        crowds=int(sample.crowds.sum()),
        hidden=int((pixels == 0).sum()),
        doubled=count_doubled(sample, pixels),
        ignored=0 if sample.ignored is None else int(sample.ignored.sum()),
        overlapping=0 if covered is None else int((covered > 1).sum()),
        digest=digest_of(sample.image),
    )


def count_doubled(sample: Sample, pixels: Int[np.ndarray, " n"]) -> int:
    """Count objects that have the very mask and class of another one.

    Masks are equal if the sums of their places and of the squares of these are. Objects of one
    layer are disjoint, so that only those on several layers can be equal.
    """
    if len(sample.id_maps) < 2:
        return 0
    sums = np.zeros((2, len(pixels) + 1))
    for layer in sample.id_maps:
        places = np.flatnonzero(layer)
        numbers, weights = layer.ravel()[places], places.astype(np.float64)
        sums[0] += np.bincount(numbers, weights, len(pixels) + 1)
        sums[1] += np.bincount(numbers, weights * weights, len(pixels) + 1)
    drawn = np.flatnonzero(pixels)
    columns = (sample.label_ids[drawn], pixels[drawn], *sums[:, 1:][:, drawn])
    return len(drawn) - len(set(zip(*(column.tolist() for column in columns), strict=True)))


def digest_of(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Give 16 bytes that are the same for equal pixels in an equal shape."""
    shape = np.array(image.shape, np.uint32).tobytes()
    return blake2b(image.tobytes(), person=shape, digest_size=16).digest()
