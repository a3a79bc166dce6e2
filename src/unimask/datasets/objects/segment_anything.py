"""Read the layout of SA-1B, the dataset of Segment Anything: a JSON of masks beside each image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from unimask.datasets.image_files import find_images
from unimask.datasets.interface import DatasetOptions, DetectedDataset
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.coco_reader import read_mask
from unimask.datasets.objects.coco_records import CocoRecord, parse_side_length
from unimask.datasets.objects.collector import (
    ObjectCollector,
    detect_splits,
    name_only_class,
)
from unimask.datasets.objects.dataset import ObjectDataset
from unimask.datasets.objects.json_kinds import find_json_files, is_segment_anything
from unimask.errors import DataError
from unimask.formats.json_stream import load_json
from unimask.formats.json_values import JsonValueError, Number, convert_record, parse_text
from unimask.formats.run_length import RunLength

FORMAT = "Segment Anything"


class SamImage(CocoRecord):
    """Image; height and width are 0 if the file lacks them."""

    file_name: str
    height: Number = None
    width: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "file_name": parse_text,
        "height": parse_side_length,
        "width": parse_side_length,
    }

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, (0, 0) if the file lacks one of them."""
        height, width = int(self.height or 0), int(self.width or 0)
        return (height, width) if height > 0 and width > 0 else (0, 0)


class SamMask(msgspec.Struct):
    """Mask of a part of the image, in one of the forms of COCO."""

    segmentation: Any


class SamFile(msgspec.Struct):
    """Masks of an image."""

    image: SamImage
    annotations: list[SamMask]


def find_segment_anything(folder: Path) -> DetectedDataset | None:
    """Detect the JSON files of SA-1B in the folder and below it; folders may be splits."""
    files = find_json_files(folder, is_segment_anything)
    return detect_splits(
        FORMAT,
        folder,
        files,
        open_segment_anything,
        "lists masks of an image",
        has_class_names=False,
    )


def open_segment_anything(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split; all masks are of one class, "object" unless the user names it.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the name of the class, and the images' channels.

    Raises:
        DataError: A file is malformed, or an image is missing.
        SettingsError: The user gives several class names.
    """
    label = name_only_class(folder, options)
    collector = ObjectCollector(folder, "mask")
    for file in splits[split]:
        add_masks(collector, file, label)
    names: dict[Path, list[str]] = {}
    for name, file in zip(collector.names, collector.files, strict=True):
        names.setdefault(file.parent, []).append(name)
    images: list[Path] = []
    for place, members in names.items():
        folders = [place, *(folder / name for name in IMAGE_FOLDERS), folder]
        images += find_images(members, folders, place)
    collector.notes.append(f"masks have no classes: all are {label}")
    return collector.build(FORMAT, images, options, {label: None})


def add_masks(collector: ObjectCollector, file: Path, label: str) -> None:
    """Add an image with its masks; empty ones are counted and left out.

    Raises:
        DataError: The file is not of this layout, or a mask is damaged.
    """
    try:
        content = convert_record(load_json(file), SamFile)
    except JsonValueError as error:
        raise DataError(f"{file} is not as in SA-1B: {error}; export it again") from None
    image = collector.add_image(content.image.file_name, content.image.size, file)
    for place, each in enumerate(content.annotations, start=1):
        try:
            mask = read_mask(each.segmentation)
        except DataError as error:
            raise DataError(f"{collector.describe_object(image, place)} {error}") from None
        if not mask or (isinstance(mask, RunLength) and not mask.area):
            collector.without_pixels["empty mask"] += 1
        else:
            collector.add_object(image, label, place, mask)
