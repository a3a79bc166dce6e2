"""Read Supervisely's projects: meta.json, and a JSON for each image in the folders of datasets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unimask.datasets.image_files import find_images, is_file
from unimask.datasets.interface import DatasetOptions, DetectedDataset
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.collector import (
    ObjectCollector,
    detect_splits,
)
from unimask.datasets.objects.dataset import ObjectDataset
from unimask.datasets.objects.json_kinds import find_json_files, is_supervisely
from unimask.datasets.objects.outlines import Fill
from unimask.datasets.objects.pixel_polygons import rasterise_pixel_polygons
from unimask.datasets.objects.supervisely_records import (
    SHAPES_WITHOUT_PIXELS,
    SuperviselyClasses,
    object_mask,
    read_annotation,
    read_classes,
)
from unimask.errors import DataError

FORMAT = "Supervisely"

META = "meta.json"
"""File of a project that lists its classes."""


def find_supervisely(folder: Path) -> DetectedDataset | None:
    """Detect Supervisely's annotations below the folder; datasets named like splits are splits."""
    files = find_json_files(folder, is_supervisely)
    return detect_splits(FORMAT, folder, files, open_supervisely, "lists objects of an image")


def open_supervisely(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split; the classes are those of meta.json, in its order.

    Without a meta.json, they are the classes of the objects in all splits, sorted by name.

    Args:
        folder: Folder of the project, or of one of its datasets.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the images' channels.

    Raises:
        DataError: A file is malformed, or an image is missing.
    """
    meta = next((place / META for place in (folder, folder.parent) if is_file(place / META)), None)
    classes = None if meta is None else read_classes(meta)
    collector = ObjectCollector(folder, "object")
    for file in splits[split]:
        add_annotation(collector, file, classes)
    images: list[Path] = []
    for place, names in names_by_folder(collector).items():
        folders = [place / "img", *(place / name for name in IMAGE_FOLDERS), place, folder]
        images += find_images(names, folders, place / "ann")
    colours = None if classes is None else classes.colours
    if colours is None:
        others = (file for name, files in splits.items() if name != split for file in files)
        names = {str(each.classTitle) for file in others for each in read_annotation(file).objects}
        colours = dict.fromkeys(sorted({*collector.labels, *names}))
    return collector.build(FORMAT, images, options, colours, rasterise_pixel_polygons)


def names_by_folder(collector: ObjectCollector) -> dict[Path, list[str]]:
    """Return the names of the images in the folder of each dataset, in the order of the files."""
    names: dict[Path, list[str]] = {}
    for name, file in zip(collector.names, collector.files, strict=True):
        names.setdefault(file.parent.parent, []).append(name)
    return names


def add_annotation(
    collector: ObjectCollector, file: Path, classes: SuperviselyClasses | None
) -> None:
    """Add an image with its objects, of which later ones are in front.

    Args:
        collector: Collector of images and objects.
        file: File of the image, whose name is that of the image with ".json" added.
        classes: Classes of the project; None if it has no meta.json.

    Raises:
        DataError: An object is invalid, or of a class that meta.json does not list.
    """
    content = read_annotation(file)
    image = collector.add_image(file.name[: -len(".json")], content.image_size, file)
    for place, shape in enumerate(content.objects, start=1):
        label, kind = str(shape.classTitle), shape.kind
        if kind in SHAPES_WITHOUT_PIXELS or (classes and label in classes.without_pixels):
            collector.without_pixels[kind] += 1
        elif shape.is_unfinished:
            count = len(shape.points.exterior) if shape.points else 0
            collector.add_unfinished(image, place, f"({label}) is a polygon of {count} points")
        else:
            location = collector.describe_object(image, place)
            if classes is not None and label not in classes.colours:
                raise DataError(
                    f"{location} is of the class {label!r}, which {META} does not list: add it"
                )
            try:
                mask = object_mask(shape, content.image_size)
            except DataError as error:
                raise DataError(f"{location} {error}") from None
            collector.add_object(image, label, place, mask, depth=-place, fill=Fill.HOLES)
