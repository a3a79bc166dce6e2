"""Compute statistics of a split by reading its images in parallel, keeping only numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from unimask.datasets import Dataset
from unimask.datasets.interface import dataset_info
from unimask.datasets.splits import Subset
from unimask.datasets.statistics import SampleStatistics, UnreadableSample, measure_samples
from unimask.datasets.volumes.dataset import VolumeDataset
from unimask.labels import TASKS, LabelSet, Task

Progress = Callable[[int, int], None]
"""Function called with the number of images done and their total."""


@dataclass(eq=False)
class Survey:
    """Statistics of the images of one split.

    Attributes:
        name: Name of the split.
        labels: Label set of the split.
        images: Number of images.
        unreadable: Images that could not be read, with the reasons.
        tasks: Tasks that the labels support.
        paths: Paths of the images.
        by_rule: Whether names of images show no groups: unimask made the split by a rule, or images
            are slices of cases.
        objects: Number of objects of each class, without crowds.
        visible: Number of these objects that have a pixel.
        areas: Number of pixels of each class.
        classes: Whether each image that was read shows each class.
        sizes: Height and width of each image that was read, in pixels.
        most_things: Largest number of objects of thing classes in an image, and the image's path.
        empty: Images without any object.
        crowded: Images with more things than there are queries, and the number of things.
        hidden: Images with objects that have no pixel, and the number of these objects.
        doubled: Images with objects that have the mask and the class of another, and their number.
        crowds: Number of crowds, each of which stands for several objects.
        ignored: Number of ignored pixels.
        overlapping: Number of pixels of more than one object.
        digests: Images by the hash of their pixels.
    """

    name: str
    labels: LabelSet
    images: int
    tasks: tuple[Task, ...] = TASKS
    paths: Sequence[Path] = ()
    by_rule: bool = False
    unreadable: list[UnreadableSample] = field(default_factory=list)
    objects: Int[np.ndarray, " k"] = field(init=False)
    visible: Int[np.ndarray, " k"] = field(init=False)
    areas: Int[np.ndarray, " k"] = field(init=False)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    classes: list[Bool[np.ndarray, " k"]] = field(default_factory=list)
    most_things: tuple[int, Path | None] = (0, None)
    empty: list[Path] = field(default_factory=list)
    crowded: list[tuple[Path, int]] = field(default_factory=list)
    hidden: list[tuple[Path, int]] = field(default_factory=list)
    doubled: list[tuple[Path, int]] = field(default_factory=list)
    crowds: int = 0
    ignored: int = 0
    overlapping: int = 0
    digests: dict[bytes, list[Path]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.objects, self.visible, self.areas = (
            np.zeros(len(self.labels), np.int64) for _ in range(3)
        )

    @property
    def classes_by_image(self) -> Bool[np.ndarray, "n k"]:
        """Whether each image that was read shows each class, as one array."""
        return np.array(self.classes, bool).reshape(-1, len(self.labels))

    @property
    def shown(self) -> Int[np.ndarray, " k"]:
        """Number of images with an object of each class."""
        return self.classes_by_image.sum(0)

    @property
    def pixels(self) -> int:
        """Total number of pixels of the images that were read."""
        return sum(height * width for height, width in self.sizes)

    def add(self, facts: SampleStatistics | UnreadableSample, queries: int) -> None:
        """Add the statistics of an image."""
        if isinstance(facts, UnreadableSample):
            self.unreadable.append(facts)
            return
        self.objects += facts.objects
        self.visible += facts.visible
        self.areas += facts.areas
        self.classes.append(facts.objects > 0)
        self.sizes.append(facts.size)
        self.crowds += facts.crowds
        self.ignored += facts.ignored
        self.overlapping += facts.overlapping
        if facts.digest:
            self.digests.setdefault(facts.digest, []).append(facts.path)
        if facts.things > self.most_things[0]:
            self.most_things = (facts.things, facts.path)
        if not is_labelled(facts, self.labels):
            self.empty.append(facts.path)
        if facts.things > queries:
            self.crowded.append((facts.path, facts.things))
        for count, images in ((facts.hidden, self.hidden), (facts.doubled, self.doubled)):
            if count:
                images.append((facts.path, count))


def is_labelled(facts: SampleStatistics, labels: LabelSet) -> bool:
    """Return whether an image has a thing, or any object if there are no thing classes."""
    return facts.things + facts.crowds > 0 if any(labels.is_thing) else facts.objects.sum() > 0


def survey(dataset: Dataset, name: str, *, queries: int, progress: Progress | None) -> Survey:
    """Compute the statistics of a split.

    Args:
        dataset: Images and labels of the split.
        name: Name of the split.
        queries: Number of queries per image of the network.
        progress: Function called after each image; None for none.
    """
    result = Survey(
        name,
        dataset.labels,
        len(dataset),
        dataset_info(dataset).tasks,
        [Path(path) for path in dataset.paths],
        isinstance(dataset, Subset | VolumeDataset),
    )
    for done, facts in enumerate(measure_samples(dataset), start=1):
        result.add(facts, queries)
        if progress is not None:
            progress(done, len(dataset))
    return result
