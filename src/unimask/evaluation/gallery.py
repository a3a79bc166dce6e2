"""The pictures that a model did best and worst, kept small while thousands pass by."""

import heapq
import io
from base64 import b64encode
from dataclasses import dataclass
from itertools import count

from PIL import Image

from unimask.datasets import Sample
from unimask.datasets.truth import truth_result
from unimask.labels import LabelSet
from unimask.results import Result

EACH = 6
"""Pictures that are kept of either kind."""

SIDE = 560
"""Longest side of what is kept, in pixels."""


@dataclass(frozen=True)
class Exhibit:
    """A picture with what is true and what was found.

    Attributes:
        name: Of its file.
        score: Its own, in percent.
        truth: JPEG with the truth drawn in, in base 64.
        found: Likewise with the prediction.
    """

    name: str
    score: float
    truth: str
    found: str


class Gallery:
    """Keeps the best and the worst of a stream of pictures.

    Args:
        labels: Classes.
        each: How many of either kind.
    """

    def __init__(self, labels: LabelSet, each: int = EACH) -> None:
        self.labels, self.each = labels, each
        self.numbers = count()
        self.highest: list[tuple[float, int, Exhibit]] = []
        self.lowest: list[tuple[float, int, Exhibit]] = []

    def add(self, result: Result, sample: Sample, score: float) -> None:
        """Look at a picture; it is drawn only if it may stay."""
        sides = [
            heap
            for heap, rank in ((self.highest, score), (self.lowest, -score))
            if len(heap) < self.each or rank > heap[0][0]
        ]
        if not sides:
            return
        truth = truth_result(sample, self.labels, result.task)
        exhibit = Exhibit(sample.path.name, score, drawn(truth), drawn(result))
        number = next(self.numbers)
        for heap in sides:
            entry = (score if heap is self.highest else -score, number, exhibit)
            (heapq.heappush if len(heap) < self.each else heapq.heappushpop)(heap, entry)

    @property
    def best(self) -> list[Exhibit]:
        """The best, best first; of few pictures the better half."""
        return self.ranked()[: self.shown]

    @property
    def worst(self) -> list[Exhibit]:
        """The worst, worst first; of few pictures the worse half."""
        return self.ranked()[self.shown :][::-1][: self.each]

    @property
    def shown(self) -> int:
        """How many of those that were kept are among the best."""
        return min(self.each, -(-len(self.ranked()) // 2))

    def ranked(self) -> list[Exhibit]:
        """Give all that were kept, best first, each of them once."""
        kept = {number: (score, shown) for score, number, shown in self.highest}
        kept |= {number: (-rank, shown) for rank, number, shown in self.lowest}
        order = sorted(kept, key=lambda number: (-kept[number][0], number))
        return [kept[number][1] for number in order]


def drawn(result: Result) -> str:
    """Draw a result small, as JPEG in base 64."""
    picture = result.plot(legend=False)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=82)
    return b64encode(buffer.getvalue()).decode("ascii")
