"""Fingerprint of a dataset, so that a resumed run does not continue on different data."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from unimask.datasets import Dataset
from unimask.datasets.interface import count_things, dataset_info, label_digest, label_files
from unimask.formats.file_digest import sampled_digest

READERS = 4
"""Number of threads that read files; on network file systems each waits for answers."""

NAMED = 3
"""Largest number of files named in a message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFingerprint:
    """Files of one split.

    Attributes:
        files: File names relative to the dataset folder, in the dataset's order.
        objects: Number of thing objects, if it is known without reading the images, else None.
        contents: Digest of each image with its label maps; None in runs of earlier releases, and
            for images in tables.
        labels: Digest of each image's labels where a file lists those of many images; None for
            other labels, and in runs of earlier releases.
    """

    files: tuple[str, ...]
    objects: int | None
    contents: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """Properties of a dataset that must not change between runs; its location may.

    Attributes:
        format: Format of the labels.
        classes: Class names.
        things: Whether each class is a thing.
        train: Fingerprint of the training images.
        val: Fingerprint of the validation images.
    """

    format: str
    classes: tuple[str, ...]
    things: tuple[bool, ...]
    train: SplitFingerprint
    val: SplitFingerprint

    def to_json(self) -> dict[str, object]:
        """Convert the fingerprint to JSON values."""
        return asdict(self)


def take_fingerprint(train: Dataset, val: Dataset, folder: Path) -> Fingerprint:
    """Compute the fingerprint of the training and validation images.

    Args:
        train: Training images.
        val: Validation images.
        folder: Dataset folder that file names are relative to.
    """
    return Fingerprint(
        format=dataset_info(train).format,
        classes=train.labels.names,
        things=train.labels.is_thing,
        train=split_fingerprint(train, folder),
        val=split_fingerprint(val, folder),
    )


def split_fingerprint(dataset: Dataset, folder: Path) -> SplitFingerprint:
    """Compute the fingerprint of one split."""
    root, counts = os.path.abspath(folder), count_things(dataset)
    files = tuple(relative_name(path, root) for path in dataset.paths)
    return SplitFingerprint(
        files=files,
        objects=None if counts is None else int(counts.sum()),
        contents=content_digests(dataset),
        labels=label_digests(dataset),
    )


def content_digests(dataset: Dataset) -> tuple[str, ...] | None:
    """Compute the digest of each image with its label maps; None if images are not files."""
    paths = [Path(path) for path in dataset.paths]
    if not paths or not paths[0].is_file():
        return None
    with ThreadPoolExecutor(READERS) as pool:
        files = ([path, *label_files(dataset, index)] for index, path in enumerate(paths))
        return tuple(pool.map(sampled_digest, files))


def label_digests(dataset: Dataset) -> tuple[str, ...] | None:
    """Compute the digest of each image's labels; None if label files belong to one image each."""
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(partial(label_digest, dataset), range(len(dataset)))
        known = tuple(digest for digest in digests if digest is not None)
    return known or None


def relative_name(path: Path, root: str) -> str:
    """Return a file's path relative to a folder, or its bare name if it is outside."""
    whole = os.path.abspath(path)
    inside = whole.startswith(root.rstrip(os.sep) + os.sep)
    return Path(os.path.relpath(whole, root)).as_posix() if inside else Path(path).name


def describe_change(before: Fingerprint, now: Fingerprint) -> str:
    """Describe the differences between two fingerprints; empty if there are none."""
    parts = []
    if before.format != now.format:
        parts.append(f"its labels were {before.format} and are now {now.format}")
    if (before.classes, before.things) != (now.classes, now.things):
        parts.append(class_change(before, now))
    for split in ("train", "val"):
        parts += split_change(split, getattr(before, split), getattr(now, split))
    return "; ".join(parts)


def class_change(before: Fingerprint, now: Fingerprint) -> str:
    """Describe the differences between the classes."""
    gone = [name for name in before.classes if name not in now.classes]
    added = [name for name in now.classes if name not in before.classes]
    parts = [f"{kind} {listed(names)}" for kind, names in (("lost", gone), ("new", added)) if names]
    if not parts:
        same = before.classes == now.classes
        parts = ["other things and stuff" if same else "another order"]
    return f"its classes differ ({', '.join(parts)})"


def split_change(split: str, before: SplitFingerprint, now: SplitFingerprint) -> list[str]:
    """Describe the differences between the images of a split."""
    old_files, new_files = set(before.files), set(now.files)
    gone = [name for name in before.files if name not in new_files]
    added = [name for name in now.files if name not in old_files]
    counts = f"{split} had {len(before.files)} images and has {len(now.files)}"
    if gone or added:
        changes = [
            f"{len(names)} {kind}: {listed(names)}"
            for kind, names in (("missing", gone), ("new", added))
            if names
        ]
        return [f"{counts} ({', '.join(changes)})"]
    if before.files != now.files:
        return [f"{split} has its images in another order"]
    if before.objects != now.objects:
        return [f"{split} had {before.objects} objects and has {now.objects}"]
    changed = changed_places(before.contents, now.contents)
    changed |= changed_places(before.labels, now.labels)
    edited = [before.files[place] for place in sorted(changed)]
    what = "images of other content, or with other labels"
    return [f"{split} has {len(edited)} {what}: {listed(edited)}"] if edited else []


def changed_places(before: Sequence[str] | None, now: Sequence[str] | None) -> set[int]:
    """Return the places of unequal digests; none if either sequence is unknown."""
    if before is None or now is None:
        return set()
    pairs = zip(before, now, strict=True)
    return {place for place, (old, new) in enumerate(pairs) if old != new}


def listed(names: Sequence[str]) -> str:
    """Format the first names and the number of the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
