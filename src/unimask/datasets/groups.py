"""Images that belong together (frames, slices, tiles), and which of them are set aside to judge by.

A validation image that is the neighbour of a training image makes the score too good. Names and
folders tell which images are neighbours; where they do, whole groups are set aside.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimask.datasets.found import Dataset
from unimask.datasets.splits import EVERY, SPLITS

FEWEST = 3
"""Groups that are needed to set whole ones aside."""

GROUPED = 2 / 3
"""Share of the images that must have a neighbour in their group."""

REGULAR = 0.5
"""Share of the steps between plain numbers that must be equal for them to be a running number."""

DEEPEST = 4
"""Numbers that are taken off the end of a name at most."""

PLAIN = 2
"""Of these, numbers without a word that says what they count."""

NAMED = 4
"""Groups that are named in a note."""

COUNTERS = (
    "frames frame frm fr f slices slice sl z t time tile patch crop row r col c x y idx img image"
)
SEQUENCES = frozenset("frames frame frm fr f slices slice sl z t time".split())  # noqa: SIM905
"""Those of `COUNTERS` that count images which were taken one after the other."""

COUNTER = re.compile(
    rf"(?:^|[_\-. ]|(?<=\d))({COUNTERS.replace(' ', '|')})[_\-]?(\d+)$", re.IGNORECASE
)
"""A number at the end of a name that a word before it explains: "_slice_012", "_r03"."""

NUMBER = re.compile(r"(?:[_\-. ]|^|(?<=[^\W\d_]))(\d+)$")
"""A number at the end of a name."""

COPY = re.compile(r"[_.](?:jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9a-zA-Z]+$")
"""What Roboflow puts behind a name for each copy that it makes of an image."""

MARK = re.compile(r"[_\-. ](?:leftimg8bit|image|img|rgb|raw|input|original|orig|l)$", re.IGNORECASE)
"""Words behind the number of an image that say nothing of its group."""

GENERIC = frozenset(
    "images image img imgs jpegimages pictures photos frames rgb input data".split()  # noqa: SIM905
)
"""Folders whose names tell no group."""

Groups = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Parts:
    """Indices of the images for training and for validation, and how they were chosen."""

    train: list[int]
    val: list[int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Name:
    """The name of an image, without the numbers that count at its end.

    Attributes:
        group: What is left of it.
        numbers: The numbers, the last one first.
        counter: The word that explains the last number, in small letters; empty for none.
    """

    group: str
    numbers: tuple[int, ...] = ()
    counter: str = ""


def part_by_rule(dataset: Dataset) -> Parts:
    """Set aside about a fifth of the images: whole groups where names or folders show some.

    - Images in three folders or more, or whose names share three beginnings or more before a
      running number, are groups: whole groups are set aside. Of two groups, each one's last fifth.
    - Where all images are frames or slices of one sequence, its last fifth is set aside.
    - Otherwise each fifth image is, in the order of `Dataset.paths`.

    Groups that are called like the classes are none: their images show different things.
    """
    paths = [Path(path) for path in dataset.paths]
    groups = find_groups(paths, dataset.labels.names)
    if len(groups) >= FEWEST:
        return part_groups(groups)
    if len(groups) == FEWEST - 1 or is_sequence(paths):
        runs = list(groups.values()) or [list(range(len(paths)))]
        order = [sorted(run, key=lambda index: natural(paths[index].stem)) for run in runs]
        chosen = {index for run in order for index in run[-max(1, len(run) // EVERY) :]}
        note = f"the last fifth of {counted(len(runs), 'sequence')} is set aside to judge by"
        return parted(len(paths), chosen, (note,))
    return parted(len(paths), set(range(EVERY - 1, len(paths), EVERY)), ())


def parted(count: int, chosen: set[int], notes: tuple[str, ...]) -> Parts:
    """Return the parts of which `chosen` is for validation."""
    return Parts([i for i in range(count) if i not in chosen], sorted(chosen), notes)


def part_groups(groups: Groups) -> Parts:
    """Set aside whole groups, in the order of their names, as near to a fifth as they allow."""
    names = sorted(groups, key=natural)
    chosen: list[str] = []
    seen = taken = 0
    for name in names:
        size = len(groups[name])
        seen += size
        if taken + size / 2 <= seen / EVERY:
            chosen.append(name)
            taken += size
    chosen = chosen or [min(names, key=lambda name: len(groups[name]))]
    members = {index for name in chosen for index in groups[name]}
    note = f"set aside to judge by: {len(chosen)} of {len(names)} groups, {listed(chosen)}"
    return parted(sum(map(len, groups.values())), members, (note,))


def shared_groups(train: Sequence[Path], val: Sequence[Path], classes: Sequence[str]) -> list[str]:
    """Return the groups that have images in both of two splits, by name.

    Frames of a single sequence count as one group, "the sequence", if most validation images have
    a training image right before or behind them.
    """
    paths = [*train, *val]
    groups = find_groups(paths, classes)
    if len(groups) >= FEWEST - 1:
        both = [n for n, g in groups.items() if min(g) < len(train) <= max(g)]
        return sorted(both, key=natural)
    if not is_sequence(paths):
        return []
    numbers = [strip(path.stem).numbers[0] for path in paths]
    step = usual_step(numbers)[0]
    learned = set(numbers[: len(train)])
    near = sum(bool({n - step, n + step} & learned) for n in numbers[len(train) :])
    return ["the sequence"] if near > len(val) / 2 else []


def find_groups(paths: Sequence[Path], classes: Sequence[str] = ()) -> Groups:
    """Return images that belong together, by what their names share; empty where nothing tells.

    Args:
        paths: Of the images.
        classes: Names of classes, which name no groups.
    """
    folders = folders_of(paths)
    for most in (DEEPEST, 1):
        names = [strip(path.stem, most) for path in paths]
        keys = ["/".join(filter(None, (f, n.group))) for f, n in zip(folders, names, strict=True)]
        groups = grouped(keys)
        if are_groups(groups, classes) and are_running(groups, names):
            return groups
    numbered = sum(any(map(str.isdigit, folder)) for folder in set(folders))
    groups = grouped(folders)
    if numbered >= GROUPED * len(groups) and are_groups(groups, classes):
        return groups
    return {}


def grouped(keys: Sequence[str]) -> Groups:
    """Return the indices of each key."""
    groups: Groups = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return dict(groups)


def are_groups(groups: Groups, classes: Sequence[str]) -> bool:
    """Return whether there are several groups of several images, which are no classes."""
    count = sum(map(len, groups.values()))
    several = sum(len(members) for members in groups.values() if len(members) > 1)
    plain = {letters(name) for name in classes}
    called = sum(letters(name.rsplit("/", 1)[-1]) in plain for name in groups)
    return (
        len(groups) > 1
        and len(groups) <= count / 2
        and several >= GROUPED * count
        and called <= len(groups) / 2
    )


def are_running(groups: Groups, names: Sequence[Name]) -> bool:
    """Return whether the numbers in most groups run: a word says so, or their steps are equal."""
    count = running = 0
    for members in groups.values():
        numbers = [names[index].numbers[:1] for index in members]
        explained = all(names[index].counter for index in members)
        copies = not any(numbers)
        count += len(members)
        if explained or copies or usual_step([n for (n,) in filter(None, numbers)])[1] >= REGULAR:
            running += len(members)
    return running >= GROUPED * count


def usual_step(numbers: Sequence[int]) -> tuple[int, float]:
    """Return the commonest step between numbers, and its share; of fewer than three, 1 and 1."""
    steps = np.diff(np.unique(np.array(numbers, np.float64)))
    if len(steps) < 2:
        return 1, 1.0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()]), float(counts.max() / len(steps))


def is_sequence(paths: Sequence[Path]) -> bool:
    """Return whether all images are frames or slices of one sequence, as their names say."""
    names = [strip(path.stem) for path in paths]
    same = len({(folder, n.group) for folder, n in zip(folders_of(paths), names, strict=True)}) == 1
    return same and all(name.counter in SEQUENCES for name in names)


def strip(stem: str, most: int = DEEPEST) -> Name:
    """Take the numbers that count off the end of a name.

    >>> strip("case01_slice_012").group, strip("scene_r03_c07").group, strip("video2_0001").group
    ('case01', 'scene', 'video2')

    Args:
        stem: The name of an image, without suffix.
        most: Numbers that are taken off.
    """
    if stem.isdecimal():  # most often, and so without patterns
        return Name("", (int(stem[:18]),))
    rest, numbers, counter, plain = COPY.sub("", stem) if ".rf." in stem else stem, [], "", 0
    rest = rest if rest[-1:].isdecimal() else MARK.sub("", rest)
    while len(numbers) < most:
        if (found := COUNTER.search(rest)) is not None:
            counter = counter if numbers else found[1].lower()
            number = found[2]
        elif plain < PLAIN and (found := NUMBER.search(rest)) is not None:
            number, plain = found[1], plain + 1
            if numbers and found.start() and rest[found.start()].isdigit():
                break  # "video2": the number belongs to the name
        else:
            break
        numbers.append(int(number[:18]))
        rest = rest[: found.start()]
    return Name(rest, tuple(numbers), counter)


def folders_of(paths: Sequence[Path]) -> list[str]:
    """Return the folder of each image below the one they share, without words that tell nothing."""
    parents = list(dict.fromkeys(path.parent for path in paths))
    root = Path(os.path.commonpath(parents)) if parents else Path()
    named = {parent: telling(parent.relative_to(root).parts) for parent in parents}
    return [named[path.parent] for path in paths]


def telling(parts: Sequence[str]) -> str:
    """Join the names of folders that may name a group."""
    return "/".join(p for p in parts if p.lower() not in GENERIC and p.lower() not in SPLITS)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts names as people do: "scene2" before "scene10"."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p[:18]), p) if p.isdigit() else (0, 0, p) for p in parts if p]


def letters(name: str) -> str:
    """Return the letters of a name, in small letters."""
    return "".join(filter(str.isalpha, name)).lower()


def listed(names: Sequence[str]) -> str:
    """Join the first few names."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
