"""Read Label Studio's exports: JSON with tasks, or JSON-MIN with one item for each annotation."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimask.datasets.image_files import find_images, index_path_ends, normalise_path, path_ends
from unimask.datasets.interface import DatasetOptions, DetectedDataset, warn_left_out
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.collector import (
    ObjectCollector,
    detect_splits,
    group_by_split_or_name,
)
from unimask.datasets.objects.dataset import ObjectDataset
from unimask.datasets.objects.json_kinds import (
    LABEL_STUDIO_MIN_KEYS,
    find_json_files,
    is_label_studio,
    outline_of,
)
from unimask.datasets.objects.label_studio_records import (
    LabelStudioAnnotation,
    Region,
    read_regions,
    region_mask,
)
from unimask.errors import DataError
from unimask.formats.json_stream import load_json, stream_items
from unimask.formats.json_values import JsonValueError, abbreviate, convert_record, parse_text
from unimask.processing.images import IMAGE_SUFFIXES

FORMAT = "Label Studio"

IMAGE_KEYS = ("image", "img", "picture", "photo", "image_url", "url")
"""Usual names of the images among the data of a task, in lower case."""

UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Beginning that Label Studio adds to the names of uploaded files."""


def find_label_studio(folder: Path) -> DetectedDataset | None:
    """Detect exports of Label Studio in the folder and below it."""
    files = find_json_files(folder, is_label_studio)
    return detect_splits(
        FORMAT,
        folder,
        files,
        open_label_studio,
        "lists annotated tasks",
        group=group_by_split_or_name,
    )


@dataclass(frozen=True, slots=True)
class Task:
    """Task with the annotation that is read.

    Attributes:
        location: Part of the file, for messages.
        data: Data of the task, among them its image.
        annotation: Annotation that is read; None if there is none.
        num_annotations: Number of annotations, of which one is read.
    """

    location: str
    data: Mapping[str, Any]
    annotation: LabelStudioAnnotation | None
    num_annotations: int = 1


def open_label_studio(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split; the classes are the labels of all splits, sorted by name.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the images' channels.

    Raises:
        DataError: A file is malformed, or an image is missing.
    """
    reader = LabelStudioReader(folder)
    for file in splits[split]:
        reader.read(file)
    labels = set(reader.collector.labels)
    for other in (file for name, files in splits.items() if name != split for file in files):
        labels |= {
            region.label
            for task in read_tasks(other)
            for region in task_regions(other, task)
            if region.shape is not None
        }
    reader.warn()
    images = reader.find_images()
    return reader.collector.build(FORMAT, images, options, dict.fromkeys(sorted(labels)))


class LabelStudioReader:
    """Reader of files, one task at a time.

    Args:
        folder: Folder of the dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.collector = ObjectCollector(folder, "region")
        self.without_annotation, self.with_several = 0, 0

    def read(self, file: Path) -> None:
        """Add the images and regions of a file.

        Raises:
            DataError: A task is malformed, or has no image.
        """
        for task in read_tasks(file):
            self.with_several += task.num_annotations > 1
            if task.annotation is None:
                self.without_annotation += 1
                continue
            name = find_image_name(file, task)
            regions = list(task_regions(file, task))
            sizes = [region.shape.size for region in regions if region.shape is not None]
            image = self.collector.add_image(name, sizes[0] if sizes else (0, 0), file)
            for place, region in enumerate(regions, start=1):
                self.add_region(image, place, region)

    def add_region(self, image: int, place: int, region: Region) -> None:
        """Add a region to an image.

        Raises:
            DataError: The region is invalid, or was drawn on an image of another size.
        """
        collector = self.collector
        if region.shape is None:
            collector.without_pixels[region.kind] += 1
            return
        location = collector.describe_object(image, place)
        if region.shape.size != collector.sizes[image]:
            raise DataError(f"{location} was drawn on an image of another size: export it again")
        try:
            mask = region_mask(region)
        except DataError as error:
            raise DataError(f"{location} {error}") from None
        if isinstance(mask, list) and not mask:
            collector.add_unfinished(image, place, f"({region.label}) encloses nothing")
        else:
            collector.add_object(image, region.label, place, mask)

    def warn(self) -> None:
        """Warn about tasks of which annotations are not read."""
        for count, text in (
            (self.without_annotation, "tasks without annotations are left out"),
            (
                self.with_several,
                "tasks have several annotations, of which the ground truth or the latest is read",
            ),
        ):
            if count:
                self.collector.notes.append(f"{count} {text}")
                warn_left_out(f"{self.folder}: {count} {text}")

    def find_images(self) -> list[Path]:
        """Return the image files, whose names may lack the prefix that Label Studio adds.

        Raises:
            DataError: An image is missing.
        """
        by_end = index_path_ends([self.folder])
        images = [match_upload(name, by_end) for name in self.collector.names]
        missing: dict[Path, list[int]] = {}
        for number, image in enumerate(images):
            if image is None:
                missing.setdefault(self.collector.files[number], []).append(number)
        for file, numbers in missing.items():
            names = [self.collector.names[number] for number in numbers]
            folders = [file.parent, *(self.folder / name for name in IMAGE_FOLDERS), self.folder]
            for number, path in zip(numbers, find_images(names, folders, file), strict=True):
                images[number] = path
        return [image for image in images if image is not None]


def match_upload(name: str, by_end: Mapping[str, Path]) -> Path | None:
    """Return the file of an image, with or without the prefix of uploads; None for no file."""
    path = normalise_path(name)
    parent, _, last = path.rpartition("/")
    original = UPLOAD_PREFIX.sub("", last, count=1)
    spellings = [path, f"{parent}/{original}"] if original != last else [path]
    ends = [end for spelling in spellings for end in path_ends(spelling.split("/"))]
    return next((by_end[end] for end in ends if end in by_end), None)


def read_tasks(file: Path) -> Iterator[Task]:
    """Yield the tasks of a file, each with the annotation that is read.

    Raises:
        DataError: The file cannot be read, or a task is malformed.
    """
    outline = outline_of(file)
    if outline.kind == "list" and outline.item_keys("") >= LABEL_STUDIO_MIN_KEYS:
        yield from read_min_tasks(file)
        return
    items = stream_items(file) if outline.kind == "list" else iter([load_json(file)])
    for number, item in enumerate(items):
        location = f"task {number + 1}"
        if not isinstance(item, dict):
            raise DataError(f"{file}: {location} is no object: export it again")
        if isinstance(item.get("task"), dict):  # one annotation, as cloud storage receives it
            item = {"data": item["task"].get("data"), "annotations": [item]}
        data = item.get("data")
        listed = item.get("annotations", item.get("completions")) or []
        if not isinstance(data, dict) or not isinstance(listed, list):
            raise DataError(f"{file}: {location} has no data, or no annotations: export it again")
        annotations = [convert(file, annotation, location) for annotation in listed]
        finished = [annotation for annotation in annotations if not annotation.was_cancelled]
        best = max(finished, key=lambda annotation: annotation.rank, default=None)
        yield Task(location, data, best, len(finished))


def read_min_tasks(file: Path) -> Iterator[Task]:
    """Yield the tasks of a JSON-MIN file, whose items are annotations with the fields of tasks.

    Raises:
        DataError: The file cannot be read, or an item is malformed.
    """
    latest: dict[object, tuple[str, int]] = {}
    counts: dict[object, int] = {}
    for number, item in enumerate(stream_items(file)):
        if not isinstance(item, dict):
            raise DataError(f"{file}: item {number + 1} is no object: export it again")
        key = item["id"] if isinstance(item.get("id"), int | str) else ("item", number)
        counts[key] = counts.get(key, 0) + 1
        latest[key] = max(latest.get(key, ("", -1)), (str(item.get("updated_at") or ""), number))
    selected = {number: counts[key] for key, (_, number) in latest.items()}
    for number, item in enumerate(stream_items(file)):
        if number in selected:
            lists = [value for value in item.values() if isinstance(value, list)]
            results = [result for value in lists for result in value if isinstance(result, dict)]
            annotation = LabelStudioAnnotation(results)
            yield Task(f"item {number + 1}", item, annotation, selected[number])


def convert(file: Path, value: Any, location: str) -> LabelStudioAnnotation:
    """Return an annotation as a record.

    Raises:
        DataError: A field is missing or invalid.
    """
    try:
        return convert_record(value, LabelStudioAnnotation)
    except JsonValueError as error:
        raise DataError(f"{file}: {location}: {error}; export it again") from None


def task_regions(file: Path, task: Task) -> Iterator[Region]:
    """Yield the regions of a task.

    Raises:
        DataError: A region is malformed.
    """
    try:
        yield from read_regions(task.annotation.result if task.annotation else [])
    except JsonValueError as error:
        raise DataError(f"{file}: {task.location}: {error}; export it again") from None


def find_image_name(file: Path, task: Task) -> str:
    """Return the image of a task: the data that ends as images do, by its name if several do.

    Raises:
        DataError: There is none, or several.
    """
    values = {key: value for key, value in task.data.items() if isinstance(value, str)}
    images = [
        key
        for key, value in values.items()
        if Path(normalise_path(value)).suffix.lower() in IMAGE_SUFFIXES
    ]
    usual = [key for key in images or values if key.lower() in IMAGE_KEYS]
    chosen = images if len(images) == 1 else usual[:1]
    if not chosen:
        fault = f"several images ({', '.join(images)})" if images else "no image"
        raise DataError(f"{file}: {task.location} has {fault} among its data: label one per task")
    try:
        return parse_text(values[chosen[0]])
    except JsonValueError:
        name = abbreviate(values[chosen[0]])
        raise DataError(f"{file}: {task.location} has the image {name}: rename it") from None
