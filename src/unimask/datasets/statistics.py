"""Statistics of labelled images, computed from their pixels."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from os import cpu_count
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt8

from unimask.datasets.interface import Dataset, HasSlices
from unimask.datasets.sample import Sample
from unimask.errors import UnimaskError

COMMON_SHARE = 0.9
"""Share of the images from which on a class is common, and below which it is rarer."""

LEAST_IMAGES = 20
"""Number of images from which on shares of them are meaningful."""

MOST_PLAIN = 0.5
"""Share of images with common classes only above which training balances classes.

On magnetic tiles, of which 70 % have no defect, the mIoU after 1,500 steps is 53 instead of 18
(docs/LOG.md).
"""


@dataclass(frozen=True, slots=True, eq=False)
class SampleStatistics:
    """Statistics of an image that could be read.

    Attributes:
        path: Path of the image.
        size: Height and width in pixels.
        objects: Number of objects of each class, without crowds.
        visible: Number of these objects that have a pixel.
        areas: Number of pixels of each class; pixels of overlapping objects count for each object.
        things: Number of objects of all thing classes, without crowds.
        crowds: Number of crowds, each of which stands for several objects.
        hidden: Number of objects without a pixel.
        doubled: Number of objects with the mask and the class of another object.
        ignored: Number of ignored pixels.
        overlapping: Number of pixels of more than one object.
        digest: Hash of the pixels, equal for images with equal pixels in different files; empty for
            slices of volumes of one grey value, such as air.
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
class UnreadableSample:
    """Image whose pixels or labels could not be read."""

    path: Path
    reason: str


def measure_sample(dataset: Dataset, index: int) -> SampleStatistics | UnreadableSample:
    """Read one sample and compute its statistics."""
    try:
        sample = dataset[index]
    except UnimaskError as error:
        return UnreadableSample(Path(dataset.paths[index]), str(error))
    found = compute_statistics(sample, np.array(dataset.labels.is_thing))
    if isinstance(dataset, HasSlices) and sample.image.min() == sample.image.max():
        return replace(found, digest=b"")
    return found


def compute_statistics(sample: Sample, is_thing: np.ndarray) -> SampleStatistics:
    """Compute the statistics of a sample.

    Args:
        sample: Image and its objects.
        is_thing: Whether each class of the dataset is a thing.
    """
    classes, labels = len(is_thing), sample.label_ids
    pixels = np.zeros(len(labels) + 1, np.int64)
    for layer in sample.id_maps:
        pixels += np.bincount(layer.ravel(), minlength=len(pixels))
    pixels = pixels[1:]
    single = ~sample.crowds
    covered = np.count_nonzero(sample.id_maps, axis=0) if len(sample.id_maps) > 1 else None
    return SampleStatistics(
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
        digest=hash_pixels(sample.image),
    )


def share_of_plain_images(shown: Bool[np.ndarray, "n k"]) -> float:
    """Return the share of images without any of the rarer classes, which other images show.

    It is 0 if no class is rarer than the others, or if there are few images.

    Args:
        shown: Whether each image shows each class.
    """
    if len(shown) < LEAST_IMAGES:
        return 0.0
    share = shown.mean(0)
    is_rarer = (share > 0) & (share < COMMON_SHARE)
    return float((~shown[:, is_rarer].any(1)).mean()) if is_rarer.any() else 0.0


def count_doubled(sample: Sample, pixels: Int[np.ndarray, " n"]) -> int:
    """Count objects with the mask and the class of another object.

    Masks count as equal if they have the same number of pixels, the same sum of pixel indices and
    the same sum of squared indices. Objects of one layer are disjoint, so that only objects of
    different layers can be equal.
    """
    if len(sample.id_maps) < 2:
        return 0
    sums = np.zeros((2, len(pixels) + 1))
    for layer in sample.id_maps:
        places = np.flatnonzero(layer)
        numbers, weights = layer.ravel()[places], places.astype(np.float64)
        sums[0] += np.bincount(numbers, weights, len(pixels) + 1)
        sums[1] += np.bincount(numbers, weights * weights, len(pixels) + 1)
    nonempty = np.flatnonzero(pixels)
    columns = (sample.label_ids[nonempty], pixels[nonempty], *sums[:, 1:][:, nonempty])
    return len(nonempty) - len(set(zip(*(column.tolist() for column in columns), strict=True)))


def hash_pixels(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Return a hash of 16 bytes, equal for equal pixels in equal shapes."""
    shape = np.array(image.shape, np.uint32).tobytes()
    return blake2b(image.tobytes(), person=shape, digest_size=16).digest()


def measure_samples(dataset: Dataset) -> Iterator[SampleStatistics | UnreadableSample]:
    """Yield statistics of the images in order, computed ahead by one thread per processor.

    Threads are as fast as processes here because image decoding releases Python's GIL.
    """
    workers = cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        indices = iter(range(len(dataset)))
        waiting = [
            pool.submit(measure_sample, dataset, index) for index in islice(indices, 4 * workers)
        ]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(measure_sample, dataset, index) for index in islice(indices, 1)]
