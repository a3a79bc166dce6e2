"""A split of a dataset, looked at picture by picture: many at once, and only numbers are kept."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from os import cpu_count
from pathlib import Path

import numpy as np
from jaxtyping import Int

from unimask.curation.facts import Facts, Unreadable, look_at
from unimask.datasets import Dataset
from unimask.datasets.found import about_of
from unimask.datasets.splits import Subset
from unimask.labels import TASKS, LabelSet, Task

Progress = Callable[[int, int], None]
"""Called with the pictures done and the pictures in all."""


@dataclass(eq=False)
class Survey:
    """What the pictures of one split hold.

    Attributes:
        name: The split.
        labels: Its classes.
        pictures: How many there are.
        unreadable: Those that could not be read, with the reasons.
        tasks: What its labels are for.
        paths: Its images.
        by_rule: It was made by rule, not by whoever published the dataset.
        objects: Objects of each class, crowds left out.
        visible: Of these, the objects that have a pixel.
        areas: Pixels of each class.
        shown: Pictures that show each class.
        sizes: Height and width of each picture that was read.
        most_things: The largest number of objects of thing classes in a picture, and which.
        empty: Pictures without any object.
        crowded: Pictures with more things than there are queries.
        hidden: Pictures with objects that have no pixel.
        doubled: Pictures with objects that have the mask and the class of another.
        crowds: Objects that stand for many.
        ignored: Pixels of unknown truth.
        overlapping: Pixels of more than one object.
        digests: Pictures by what tells equal ones.
    """

    name: str
    labels: LabelSet
    pictures: int
    tasks: tuple[Task, ...] = TASKS
    paths: Sequence[Path] = ()
    by_rule: bool = False
    unreadable: list[Unreadable] = field(default_factory=list)
    objects: Int[np.ndarray, " k"] = field(init=False)
    visible: Int[np.ndarray, " k"] = field(init=False)
    areas: Int[np.ndarray, " k"] = field(init=False)
    shown: Int[np.ndarray, " k"] = field(init=False)
    sizes: list[tuple[int, int]] = field(default_factory=list)
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
        self.objects, self.visible, self.areas, self.shown = (
            np.zeros(len(self.labels), np.int64) for _ in range(4)
        )

    @property
    def pixels(self) -> int:
        """All pixels of the pictures that were read."""
        return sum(height * width for height, width in self.sizes)

    def add(self, facts: Facts | Unreadable, queries: int) -> None:
        """Add a picture."""
        if isinstance(facts, Unreadable):
            self.unreadable.append(facts)
            return
        self.objects += facts.objects
        self.visible += facts.visible
        self.areas += facts.areas
        self.shown += facts.objects > 0
        self.sizes.append(facts.size)
        self.crowds += facts.crowds
        self.ignored += facts.ignored
        self.overlapping += facts.overlapping
        self.digests.setdefault(facts.digest, []).append(facts.path)
        if facts.things > self.most_things[0]:
            self.most_things = (facts.things, facts.path)
        if not is_labelled(facts, self.labels):
            self.empty.append(facts.path)
        if facts.things > queries:
            self.crowded.append((facts.path, facts.things))
        for count, pictures in ((facts.hidden, self.hidden), (facts.doubled, self.doubled)):
            if count:
                pictures.append((facts.path, count))


def is_labelled(facts: Facts, labels: LabelSet) -> bool:
    """Say whether a picture shows anything: a thing, or where there are none, any stuff."""
    return facts.things + facts.crowds > 0 if any(labels.is_thing) else facts.objects.sum() > 0


def survey(dataset: Dataset, name: str, *, queries: int, progress: Progress | None) -> Survey:
    """Look at every picture of a split.

    Args:
        dataset: The split.
        name: What it is called.
        queries: Masks that a network proposes per picture.
        progress: Told after each picture.
    """
    found = Survey(
        name,
        dataset.labels,
        len(dataset),
        about_of(dataset).tasks,
        [Path(path) for path in dataset.paths],
        isinstance(dataset, Subset),
    )
    for done, facts in enumerate(in_order(dataset), start=1):
        found.add(facts, queries)
        if progress is not None:
            progress(done, len(dataset))
    return found


def in_order(dataset: Dataset) -> Iterator[Facts | Unreadable]:
    """Look at pictures with all processors, a few ahead of what was asked for.

    Threads serve as well as processes: decoding pictures, where the time goes, leaves Python.
    """
    workers = cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        indices = iter(range(len(dataset)))
        waiting = [pool.submit(look_at, dataset, index) for index in islice(indices, 4 * workers)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(look_at, dataset, index) for index in islice(indices, 1)]
