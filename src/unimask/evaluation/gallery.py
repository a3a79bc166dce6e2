"""The images with the best and worst predictions, stored as small drawings."""

import heapq
import io
from base64 import b64encode
from dataclasses import dataclass
from itertools import count

from PIL import Image

from unimask.datasets import Sample
from unimask.datasets.ground_truth import ground_truth_result
from unimask.labels import LabelSet
from unimask.results import Result

IMAGES_PER_END = 6
"""Number of best images to store, and of worst images."""

MAX_SIDE = 560
"""Longest side of the drawings in pixels."""


@dataclass(frozen=True)
class GalleryImage:
    """An image with its ground truth and its prediction.

    Attributes:
        name: Name of the image file.
        score: Score of the image in percent.
        ground_truth: Drawing of the ground truth as JPEG in base64.
        prediction: Drawing of the prediction as JPEG in base64.
    """

    name: str
    score: float
    ground_truth: str
    prediction: str


class Gallery:
    """The best and worst of a stream of images.

    Args:
        labels: Classes of the dataset.
        images_per_end: Number of best images to store, and of worst images.
    """

    def __init__(self, labels: LabelSet, images_per_end: int = IMAGES_PER_END) -> None:
        self.labels, self.images_per_end = labels, images_per_end
        self.numbers = count()
        self.highest: list[tuple[float, int, GalleryImage]] = []
        self.lowest: list[tuple[float, int, GalleryImage]] = []

    def add(self, result: Result, sample: Sample, score: float) -> None:
        """Add an image; it is drawn only if it is among the best or worst so far."""
        heaps = [
            heap
            for heap, rank in ((self.highest, score), (self.lowest, -score))
            if len(heap) < self.images_per_end or rank > heap[0][0]
        ]
        if not heaps:
            return
        ground_truth = ground_truth_result(sample, self.labels, result.task)
        image = GalleryImage(
            sample.path.name, score, encode_drawing(ground_truth), encode_drawing(result)
        )
        number = next(self.numbers)
        for heap in heaps:
            entry = (score if heap is self.highest else -score, number, image)
            (heapq.heappush if len(heap) < self.images_per_end else heapq.heappushpop)(heap, entry)

    @property
    def best(self) -> list[GalleryImage]:
        """Best images by descending score; the better half if there are few images."""
        return self.ranked_images()[: self.num_best]

    @property
    def worst(self) -> list[GalleryImage]:
        """Worst images by ascending score; the worse half if there are few images."""
        return self.ranked_images()[self.num_best :][::-1][: self.images_per_end]

    @property
    def num_best(self) -> int:
        """Number of stored images that are among the best."""
        return min(self.images_per_end, -(-len(self.ranked_images()) // 2))

    def ranked_images(self) -> list[GalleryImage]:
        """Return all stored images once, by descending score."""
        entries = {number: (score, image) for score, number, image in self.highest}
        entries |= {number: (-rank, shown) for rank, number, shown in self.lowest}
        order = sorted(entries, key=lambda number: (-entries[number][0], number))
        return [entries[number][1] for number in order]


def encode_drawing(result: Result) -> str:
    """Draw a result as a small JPEG in base64."""
    image = result.plot(legend=False)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=82)
    return b64encode(buffer.getvalue()).decode("ascii")
