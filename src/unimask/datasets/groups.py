"""Group related images (frames, slices, tiles) by name, and choose the validation images.

Validation scores are too good if validation images are neighbours of training images. Names and
folders show which images are neighbours; if they do, whole groups are set aside.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimask.datasets.interface import Dataset
from unimask.datasets.splits import SPLIT_NAMES, VALIDATION_INTERVAL

FEWEST = 3
"""Minimum number of groups for setting whole groups aside."""

GROUPED = 2 / 3
"""Minimum share of images that have another image in their group."""

REGULAR = 0.5
"""Minimum share of equal steps between plain numbers, if they are running numbers."""

DEEPEST = 4
"""Maximum number of counters that are removed from the end of a name."""

PLAIN = 2
"""Maximum number of those without a word that states what they count."""

NAMED = 4
"""Maximum number of groups that a note names."""

COUNTERS = (
    "frames frame frm fr f slices slice sl z t time tile patch crop row r col c x y idx img image"
)
SEQUENCES = frozenset("frames frame frm fr f slices slice sl z t time".split())  # noqa: SIM905
"""Words among `COUNTERS` that number images taken one after another."""

COUNTER = re.compile(
    rf"(?:^|[_\-. ]|(?<=\d))({COUNTERS.replace(' ', '|')})[_\-]?(\d+)$", re.IGNORECASE
)
"""Pattern of a final number with a counter word before it: "_slice_012", "_r03"."""

NUMBER = re.compile(r"(?:[_\-. ]|^|(?<=[^\W\d_]))(\d+)$")
"""Pattern of a final number."""

COPY = re.compile(r"[_.](?:jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9a-zA-Z]+$")
"""Pattern of the suffix that Roboflow appends for each copy of an image."""

MARK = re.compile(r"[_\-. ](?:leftimg8bit|image|img|rgb|raw|input|original|orig|l)$", re.IGNORECASE)
"""Pattern of final words that do not belong to the name of a group."""

GENERIC = frozenset(
    "images image img imgs jpegimages pictures photos frames rgb input data".split()  # noqa: SIM905
)
"""Folder names that do not identify a group."""

Groups = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Parts:
    """Indices of the training and the validation images, and notes on how they were chosen."""

    train: list[int]
    val: list[int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Name:
    """Name of an image without its final counters.

    Attributes:
        group: Rest of the name.
        numbers: Counters, the last one first.
        counter: Lower-case word before the last counter; empty for none.
    """

    group: str
    numbers: tuple[int, ...] = ()
    counter: str = ""


def part_by_rule(dataset: Dataset) -> Parts:
    """Set aside about a fifth of the images: whole groups if names or folders show some.

    - Images in three or more folders, or with three or more different name prefixes before a
      running number, form groups, and whole groups are set aside. With two groups, the last fifth
      of each is set aside.
    - If all images are frames or slices of one sequence, its last fifth is set aside.
    - Otherwise every fifth image is set aside, in the order of `Dataset.paths`.

    Groups named like the classes do not count, because their images are unrelated.
    """
    paths = [Path(path) for path in dataset.paths]
    groups = find_groups(paths, dataset.labels.names)
    if len(groups) >= FEWEST:
        return part_groups(groups)
    if len(groups) == FEWEST - 1 or is_sequence(paths):
        runs = list(groups.values()) or [list(range(len(paths)))]
        order = [sorted(run, key=lambda index: natural(paths[index].stem)) for run in runs]
        chosen = {
            index for run in order for index in run[-max(1, len(run) // VALIDATION_INTERVAL) :]
        }
        note = f"the last fifth of {counted(len(runs), 'sequence')} is set aside to judge by"
        return parted(len(paths), chosen, (note,))
    return parted(
        len(paths), set(range(VALIDATION_INTERVAL - 1, len(paths), VALIDATION_INTERVAL)), ()
    )


def parted(count: int, chosen: set[int], notes: tuple[str, ...]) -> Parts:
    """Return the parts in which the indices in `chosen` are for validation."""
    return Parts([i for i in range(count) if i not in chosen], sorted(chosen), notes)


def part_groups(groups: Groups) -> Parts:
    """Set aside whole groups in the order of their names, as close to a fifth as possible."""
    names = sorted(groups, key=natural)
    chosen: list[str] = []
    total = set_aside = 0
    for name in names:
        size = len(groups[name])
        total += size
        if set_aside + size / 2 <= total / VALIDATION_INTERVAL:
            chosen.append(name)
            set_aside += size
    chosen = chosen or [min(names, key=lambda name: len(groups[name]))]
    members = {index for name in chosen for index in groups[name]}
    note = f"set aside to judge by: {len(chosen)} of {len(names)} groups, {listed(chosen)}"
    return parted(sum(map(len, groups.values())), members, (note,))


def shared_groups(train: Sequence[Path], val: Sequence[Path], classes: Sequence[str]) -> list[str]:
    """Return the names of the groups that have images in both splits.

    Frames of a single sequence count as one group, "the sequence", if most validation images have a
    training image directly before or after them.
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
    """Return groups of related images by their names and folders; empty if these show none.

    Args:
        paths: Paths of the images.
        classes: Class names, which do not name groups.
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
    """Return whether there are several groups of several images, not named like classes."""
    count = sum(map(len, groups.values()))
    several = sum(len(members) for members in groups.values() if len(members) > 1)
    plain = {letters(name) for name in classes}
    like_classes = sum(letters(name.rsplit("/", 1)[-1]) in plain for name in groups)
    return (
        len(groups) > 1
        and len(groups) <= count / 2
        and several >= GROUPED * count
        and like_classes <= len(groups) / 2
    )


def are_running(groups: Groups, names: Sequence[Name]) -> bool:
    """Return whether most images are in groups with counter words or equal number steps."""
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
    """Return the most frequent step between numbers and its share; (1, 1.0) for less than three."""
    steps = np.diff(np.unique(np.array(numbers, np.float64)))
    if len(steps) < 2:
        return 1, 1.0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()]), float(counts.max() / len(steps))


def is_sequence(paths: Sequence[Path]) -> bool:
    """Return whether the names mark all images as frames or slices of one sequence."""
    names = [strip(path.stem) for path in paths]
    same = len({(folder, n.group) for folder, n in zip(folders_of(paths), names, strict=True)}) == 1
    return same and all(name.counter in SEQUENCES for name in names)


def strip(stem: str, most: int = DEEPEST) -> Name:
    """Split the counters off the end of a name.

    >>> strip("case01_slice_012").group, strip("scene_r03_c07").group, strip("video2_0001").group
    ('case01', 'scene', 'video2')

    Args:
        stem: Name of an image without its suffix.
        most: Maximum number of counters.
    """
    if stem.isdecimal():  # the most frequent case, without regular expressions
        return Name("", (int(stem[:18]),))
    rest, numbers, counter, plain = COPY.sub("", stem) if ".rf." in stem else stem, [], "", 0
    rest = rest if rest[-1:].isdecimal() else MARK.sub("", rest)
    while len(numbers) < most:
        if (match := COUNTER.search(rest)) is not None:
            counter = counter if numbers else match[1].lower()
            number = match[2]
        elif plain < PLAIN and (match := NUMBER.search(rest)) is not None:
            number, plain = match[1], plain + 1
            if numbers and match.start() and rest[match.start()].isdigit():
                break  # "video2": this number is part of the name
        else:
            break
        numbers.append(int(number[:18]))
        rest = rest[: match.start()]
    return Name(rest, tuple(numbers), counter)


def folders_of(paths: Sequence[Path]) -> list[str]:
    """Return each image's folder below their common one, without names that identify no group."""
    parents = list(dict.fromkeys(path.parent for path in paths))
    root = Path(os.path.commonpath(parents)) if parents else Path()
    named = {parent: telling(parent.relative_to(root).parts) for parent in parents}
    return [named[path.parent] for path in paths]


def telling(parts: Sequence[str]) -> str:
    """Join the folder names that may identify a group."""
    return "/".join(p for p in parts if p.lower() not in GENERIC and p.lower() not in SPLIT_NAMES)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key for natural order: "scene2" before "scene10"."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p[:18]), p) if p.isdigit() else (0, 0, p) for p in parts if p]


def letters(name: str) -> str:
    """Return the letters of a name in lower case."""
    return "".join(filter(str.isalpha, name)).lower()


def listed(names: Sequence[str]) -> str:
    """Join the first few names."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def counted(count: int, noun: str) -> str:
    """Format a number with its noun in singular or plural."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
