"""Read Darwin JSON 2 of V7: a JSON for each image, with polygons, ellipses and a raster layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unimask.datasets.image_files import find_images
from unimask.datasets.interface import DatasetOptions, DetectedDataset
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.collector import ObjectCollector, detect_splits
from unimask.datasets.objects.darwin_records import (
    DarwinFile,
    annotation_polygons,
    box_of,
    decode_raster_layers,
    read_darwin,
)
from unimask.datasets.objects.dataset import ObjectDataset
from unimask.datasets.objects.json_kinds import find_json_files, is_darwin
from unimask.datasets.objects.pixel_polygons import rasterise_even_odd
from unimask.errors import DataError

FORMAT = "Darwin"


def find_darwin(folder: Path) -> DetectedDataset | None:
    """Detect Darwin JSON in the folder and below it; folders may be splits."""
    files = find_json_files(folder, is_darwin)
    return detect_splits(FORMAT, folder, files, open_darwin, "lists annotations of an item")


def open_darwin(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split; the classes are those of all splits, sorted by name.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the images' channels.

    Raises:
        DataError: A file is malformed, or an image is missing.
    """
    collector = ObjectCollector(folder, "annotation")
    for file in splits[split]:
        add_item(collector, file, read_darwin(file))
    labels = set(collector.labels)
    for other in (file for name, files in splits.items() if name != split for file in files):
        labels |= {str(each.name) for each in read_darwin(other).annotations if each.has_pixels}
    places = [folder / name for name in dict.fromkeys((split, "")) if (folder / name).is_dir()]
    folders = [
        *(place / name for place in places for name in IMAGE_FOLDERS),
        *places,
        *dict.fromkeys(file.parent for file in splits[split]),
    ]
    images = find_images(collector.names, folders, splits[split][0].parent)
    colours = dict.fromkeys(sorted(labels))
    return collector.build(FORMAT, images, options, colours, rasterise_even_odd)


def add_item(collector: ObjectCollector, file: Path, content: DarwinFile) -> None:
    """Add an image with its annotations.

    Raises:
        DataError: An annotation is invalid, or the item is a video or has several images.
    """
    item = content.item
    if len(item.slots) != 1 or item.slots[0].type == "video":
        kind = "a video" if len(item.slots) == 1 else f"an item of {len(item.slots)} slots"
        raise DataError(f"{file} is of {kind}: export it as single images")
    image = collector.add_image(item.image_name, item.slots[0].size, file)
    size = collector.sizes[image]
    try:
        layers = decode_raster_layers(content.annotations, size)
    except DataError as error:
        raise DataError(f"{file} {error}") from None
    for place, annotation in enumerate(content.annotations, start=1):
        label = str(annotation.name)
        if annotation.mask is not None:
            if (mask := layers.get(annotation.id)) is None:
                collector.add_unfinished(image, place, f"({label}) has no pixels in a raster layer")
            else:
                collector.add_object(image, label, place, mask)
        elif annotation.has_pixels:
            try:
                polygons = annotation_polygons(annotation, size)
                box = None if polygons else box_of(annotation, size)
            except DataError as error:
                raise DataError(f"{collector.describe_object(image, place)} {error}") from None
            if polygons:
                collector.add_object(image, label, place, polygons)
            elif box:
                collector.add_box(image, label, place, box)
            else:
                collector.add_unfinished(image, place, f"({label}) encloses nothing")
        elif annotation.raster_layer is None:
            collector.without_pixels[annotation.kind] += 1
