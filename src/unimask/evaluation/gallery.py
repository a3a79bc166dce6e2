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

EACH = 6
"""Number of images to store of the best and of the worst."""

SIDE = 560
"""Longest side of the drawings in pixels."""


@dataclass(frozen=True)
class Exhibit:
    """An image with its ground truth and its prediction.

    Attributes:
        name: Name of the image file.
        score: Score of the image in percent.
        truth: Drawing of the ground truth as JPEG in base64.
        found: Drawing of the prediction as JPEG in base64.
    """

    name: str
    score: float
    truth: str
    found: str


class Gallery:
    """The best and worst of a stream of images.

    Args:
        labels: Classes of the dataset.
        each: Number of best and of worst images.
    """

    def __init__(self, labels: LabelSet, each: int = EACH) -> None:
        self.labels, self.each = labels, each
        self.numbers = count()
        self.highest: list[tuple[float, int, Exhibit]] = []
        self.lowest: list[tuple[float, int, Exhibit]] = []

    def add(self, result: Result, sample: Sample, score: float) -> None:
        """Add an image; it is drawn only if it is among the best or worst so far."""
        sides = [
            heap
            for heap, rank in ((self.highest, score), (self.lowest, -score))
            if len(heap) < self.each or rank > heap[0][0]
        ]
        if not sides:
            return
        truth = ground_truth_result(sample, self.labels, result.task)
        exhibit = Exhibit(sample.path.name, score, drawn(truth), drawn(result))
        number = next(self.numbers)
        for heap in sides:
            entry = (score if heap is self.highest else -score, number, exhibit)
            (heapq.heappush if len(heap) < self.each else heapq.heappushpop)(heap, entry)

    @property
    def best(self) -> list[Exhibit]:
        """Best images by descending score; the better half if there are few images."""
        return self.ranked()[: self.shown]

    @property
    def worst(self) -> list[Exhibit]:
        """Worst images by ascending score; the worse half if there are few images."""
        return self.ranked()[self.shown :][::-1][: self.each]

    @property
    def shown(self) -> int:
        """Number of stored images that are among the best."""
        return min(self.each, -(-len(self.ranked()) // 2))

    def ranked(self) -> list[Exhibit]:
        """Return all stored images once, by descending score."""
        entries = {number: (score, shown) for score, number, shown in self.highest}
        entries |= {number: (-rank, shown) for rank, number, shown in self.lowest}
        order = sorted(entries, key=lambda number: (-entries[number][0], number))
        return [entries[number][1] for number in order]


def drawn(result: Result) -> str:
    """Draw a result as a small JPEG in base64."""
    image = result.plot(legend=False)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=82)
    return b64encode(buffer.getvalue()).decode("ascii")
