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

MIN_GROUPS = 3
"""Minimum number of groups for setting whole groups aside."""

MIN_GROUPED_SHARE = 2 / 3
"""Minimum share of images that have another image in their group."""

MIN_EQUAL_STEP_SHARE = 0.5
"""Minimum share of equal steps between plain numbers, if they are running numbers."""

MAX_COUNTERS = 4
"""Maximum number of counters that are removed from the end of a name."""

MAX_PLAIN_NUMBERS = 2
"""Maximum number of those without a word that states what they count."""

MAX_LISTED_GROUPS = 4
"""Maximum number of groups that a note names."""

COUNTER_WORDS = (
    "frames frame frm fr f slices slice sl z t time tile patch crop row r col c x y idx img image"
)
SEQUENCE_WORDS = frozenset("frames frame frm fr f slices slice sl z t time".split())  # noqa: SIM905
"""Words among `COUNTER_WORDS` that number images taken one after another."""

FINAL_COUNTER = re.compile(
    rf"(?:^|[_\-. ]|(?<=\d))({COUNTER_WORDS.replace(' ', '|')})[_\-]?(\d+)$", re.IGNORECASE
)
"""Pattern of a final number with a counter word before it: "_slice_012", "_r03"."""

FINAL_NUMBER = re.compile(r"(?:[_\-. ]|^|(?<=[^\W\d_]))(\d+)$")
"""Pattern of a final number."""

ROBOFLOW_COPY = re.compile(r"[_.](?:jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9a-zA-Z]+$")
"""Pattern of the suffix that Roboflow appends for each copy of an image."""

TRAILING_WORD = re.compile(
    r"[_\-. ](?:leftimg8bit|image|img|rgb|raw|input|original|orig|l)$", re.IGNORECASE
)
"""Pattern of final words that do not belong to the name of a group."""

GENERIC_FOLDERS = frozenset(
    "images image img imgs jpegimages pictures photos frames rgb input data".split()  # noqa: SIM905
)
"""Folder names that do not identify a group."""

Groups = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class ValidationSplit:
    """Indices of the training and the validation images, and notes on how they were chosen."""

    train: list[int]
    val: list[int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageName:
    """Name of an image without its final counters.

    Attributes:
        group: Rest of the name.
        numbers: Counters, the last one first.
        counter: Lower-case word before the last counter; empty for none.
    """

    group: str
    numbers: tuple[int, ...] = ()
    counter: str = ""


def choose_validation_images(dataset: Dataset) -> ValidationSplit:
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
    if len(groups) >= MIN_GROUPS:
        return choose_validation_groups(groups)
    if len(groups) == MIN_GROUPS - 1 or is_sequence(paths):
        sequences = list(groups.values()) or [list(range(len(paths)))]
        ordered = [
            sorted(run, key=lambda index: natural_sort_key(paths[index].stem)) for run in sequences
        ]
        validation = {
            index for run in ordered for index in run[-max(1, len(run) // VALIDATION_INTERVAL) :]
        }
        count = format_count(len(sequences), "sequence")
        note = f"the last fifth of {count} is set aside for validation"
        return split_indices(len(paths), validation, (note,))
    every_fifth = range(VALIDATION_INTERVAL - 1, len(paths), VALIDATION_INTERVAL)
    return split_indices(len(paths), set(every_fifth), ())


def split_indices(count: int, validation: set[int], notes: tuple[str, ...]) -> ValidationSplit:
    """Return the parts in which the indices in `validation` are for validation."""
    return ValidationSplit(
        [i for i in range(count) if i not in validation], sorted(validation), notes
    )


def choose_validation_groups(groups: Groups) -> ValidationSplit:
    """Set aside whole groups in the order of their names, as close to a fifth as possible."""
    names = sorted(groups, key=natural_sort_key)
    selected: list[str] = []
    total = set_aside = 0
    for name in names:
        size = len(groups[name])
        total += size
        if set_aside + size / 2 <= total / VALIDATION_INTERVAL:
            selected.append(name)
            set_aside += size
    selected = selected or [min(names, key=lambda name: len(groups[name]))]
    validation = {index for name in selected for index in groups[name]}
    shown = format_names(selected)
    note = f"set aside for validation: {len(selected)} of {len(names)} groups, {shown}"
    return split_indices(sum(map(len, groups.values())), validation, (note,))


def find_shared_groups(
    train: Sequence[Path], val: Sequence[Path], classes: Sequence[str]
) -> list[str]:
    """Return the names of the groups that have images in both splits.

    Frames of a single sequence count as one group, "the sequence", if most validation images have a
    training image directly before or after them.
    """
    paths = [*train, *val]
    groups = find_groups(paths, classes)
    if len(groups) >= MIN_GROUPS - 1:
        in_both = [n for n, g in groups.items() if min(g) < len(train) <= max(g)]
        return sorted(in_both, key=natural_sort_key)
    if not is_sequence(paths):
        return []
    numbers = [split_counters(path.stem).numbers[0] for path in paths]
    step = most_common_step(numbers)[0]
    train_numbers = set(numbers[: len(train)])
    neighbours = sum(bool({n - step, n + step} & train_numbers) for n in numbers[len(train) :])
    return ["the sequence"] if neighbours > len(val) / 2 else []


def find_groups(paths: Sequence[Path], classes: Sequence[str] = ()) -> Groups:
    """Return groups of related images by their names and folders; empty if these show none.

    Args:
        paths: Paths of the images.
        classes: Class names, which do not name groups.
    """
    folders = relative_folders(paths)
    for max_counters in (MAX_COUNTERS, 1):
        names = [split_counters(path.stem, max_counters) for path in paths]
        keys = ["/".join(filter(None, (f, n.group))) for f, n in zip(folders, names, strict=True)]
        groups = group_indices(keys)
        if are_related_images(groups, classes) and have_running_numbers(groups, names):
            return groups
    numbered_folders = sum(any(map(str.isdigit, folder)) for folder in set(folders))
    groups = group_indices(folders)
    if numbered_folders >= MIN_GROUPED_SHARE * len(groups) and are_related_images(groups, classes):
        return groups
    return {}


def group_indices(keys: Sequence[str]) -> Groups:
    """Return the indices of each key."""
    groups: Groups = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return dict(groups)


def are_related_images(groups: Groups, classes: Sequence[str]) -> bool:
    """Return whether there are several groups of several images, not named like classes."""
    count = sum(map(len, groups.values()))
    in_groups = sum(len(members) for members in groups.values() if len(members) > 1)
    class_letters = {letters_only(name) for name in classes}
    like_classes = sum(letters_only(name.rsplit("/", 1)[-1]) in class_letters for name in groups)
    return (
        len(groups) > 1
        and len(groups) <= count / 2
        and in_groups >= MIN_GROUPED_SHARE * count
        and like_classes <= len(groups) / 2
    )


def have_running_numbers(groups: Groups, names: Sequence[ImageName]) -> bool:
    """Return whether most images are in groups with counter words or equal number steps."""
    count = num_running = 0
    for members in groups.values():
        numbers = [names[index].numbers[:1] for index in members]
        have_counters = all(names[index].counter for index in members)
        copies = not any(numbers)
        count += len(members)
        if (
            have_counters
            or copies
            or most_common_step([n for (n,) in filter(None, numbers)])[1] >= MIN_EQUAL_STEP_SHARE
        ):
            num_running += len(members)
    return num_running >= MIN_GROUPED_SHARE * count


def most_common_step(numbers: Sequence[int]) -> tuple[int, float]:
    """Return the most frequent step between numbers and its share; (1, 1.0) for less than three."""
    steps = np.diff(np.unique(np.array(numbers, np.float64)))
    if len(steps) < 2:
        return 1, 1.0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()]), float(counts.max() / len(steps))


def is_sequence(paths: Sequence[Path]) -> bool:
    """Return whether the names mark all images as frames or slices of one sequence."""
    names = [split_counters(path.stem) for path in paths]
    is_one_group = (
        len({(folder, n.group) for folder, n in zip(relative_folders(paths), names, strict=True)})
        == 1
    )
    return is_one_group and all(name.counter in SEQUENCE_WORDS for name in names)


def split_counters(stem: str, max_counters: int = MAX_COUNTERS) -> ImageName:
    """Split the counters off the end of a name.

    >>> [split_counters(n).group for n in ("case01_slice_012", "scene_r03_c07", "video2_0001")]
    ['case01', 'scene', 'video2']

    Args:
        stem: Name of an image without its suffix.
        max_counters: Maximum number of counters.
    """
    if stem.isdecimal():  # the most frequent case, without regular expressions
        return ImageName("", (int(stem[:18]),))
    rest, numbers, counter, num_plain = (
        ROBOFLOW_COPY.sub("", stem) if ".rf." in stem else stem,
        [],
        "",
        0,
    )
    rest = rest if rest[-1:].isdecimal() else TRAILING_WORD.sub("", rest)
    while len(numbers) < max_counters:
        if (match := FINAL_COUNTER.search(rest)) is not None:
            counter = counter if numbers else match[1].lower()
            number = match[2]
        elif num_plain < MAX_PLAIN_NUMBERS and (match := FINAL_NUMBER.search(rest)) is not None:
            number, num_plain = match[1], num_plain + 1
            if numbers and match.start() and rest[match.start()].isdigit():
                break  # "video2": this number is part of the name
        else:
            break
        numbers.append(int(number[:18]))
        rest = rest[: match.start()]
    return ImageName(rest, tuple(numbers), counter)


def relative_folders(paths: Sequence[Path]) -> list[str]:
    """Return each image's folder below their common one, without names that identify no group."""
    parents = list(dict.fromkeys(path.parent for path in paths))
    root = Path(os.path.commonpath(parents)) if parents else Path()
    names = {parent: join_group_folders(parent.relative_to(root).parts) for parent in parents}
    return [names[path.parent] for path in paths]


def join_group_folders(parts: Sequence[str]) -> str:
    """Join the folder names that may identify a group."""
    return "/".join(
        p for p in parts if p.lower() not in GENERIC_FOLDERS and p.lower() not in SPLIT_NAMES
    )


def natural_sort_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key for natural order: "scene2" before "scene10"."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p[:18]), p) if p.isdigit() else (0, 0, p) for p in parts if p]


def letters_only(name: str) -> str:
    """Return the letters of a name in lower case."""
    return "".join(filter(str.isalpha, name)).lower()


def format_names(names: Sequence[str]) -> str:
    """Join the first few names."""
    return ", ".join(names[:MAX_LISTED_GROUPS]) + (
        ", ..." if len(names) > MAX_LISTED_GROUPS else ""
    )


def format_count(count: int, noun: str) -> str:
    """Format a number with its noun in singular or plural."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
