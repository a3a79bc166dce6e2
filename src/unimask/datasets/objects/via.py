"""Read the VGG Image Annotator (VIA): one JSON or CSV with the regions of all images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unimask.datasets.image_files import find_images, is_ignored
from unimask.datasets.interface import DatasetOptions, DetectedDataset
from unimask.datasets.objects.coco_find import IMAGE_FOLDERS
from unimask.datasets.objects.collector import (
    UNLABELLED,
    ObjectCollector,
    detect_splits,
    group_by_split_or_name,
    name_only_class,
)
from unimask.datasets.objects.dataset import BACKGROUND, ObjectDataset
from unimask.datasets.objects.json_kinds import find_json_files, is_via
from unimask.datasets.objects.via_records import (
    SHAPES_WITHOUT_PIXELS,
    ViaImage,
    is_via_csv,
    read_choices,
    read_via_images,
    shape_polygons,
)
from unimask.errors import DataError, SettingsError
from unimask.formats.json_values import JsonValueError

FORMAT = "VIA"

CLASS_ATTRIBUTES = frozenset(
    ("class", "classes", "class_name", "classname", "label", "labels", "category", "object", "type",
     "species", "name")
)  # fmt: skip
"""Names of attributes that hold the class of a region, in lower case."""

MIN_DISTINCT_VALUES = 20
"""Number of regions above which an attribute with another value in each does not name classes."""


def find_via(folder: Path) -> DetectedDataset | None:
    """Detect VIA's projects and annotations in the folder and below it, or else its CSV."""
    files = find_json_files(folder, is_via) or [
        file
        for file in sorted(folder.glob("*.csv"))
        if not is_ignored(file.name) and is_via_csv(file)
    ]
    return detect_splits(
        FORMAT,
        folder,
        files,
        open_via,
        "lists regions of images",
        group=group_by_split_or_name,
        has_class_names=False,
    )


@dataclass
class AttributeValues:
    """Values of one attribute in all regions.

    Attributes:
        count: Number of regions that have a value.
        values: Distinct values.
    """

    count: int = 0
    values: set[str] = field(default_factory=set)

    @property
    def names_objects(self) -> bool:
        """Whether nearly each region has a value of its own, which is no class."""
        return self.count >= MIN_DISTINCT_VALUES and len(self.values) == self.count


def open_via(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> ObjectDataset:
    """Open the images of a split; the classes are those of all splits, sorted by name.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the attribute that holds the class, and the images' channels.

    Raises:
        DataError: A file is malformed, an image is missing, or several attributes may hold the
            class.
        SettingsError: No region has the attribute that the user names.
    """
    files = [file for members in splits.values() for file in members]
    attributes, choices = survey_attributes(files)
    attribute = choose_attribute(folder, attributes, choices, options.attribute)
    collector = ObjectCollector(folder, "region")
    if attribute is None:
        only_class = name_only_class(folder, options)
        classes = {only_class}
        collector.notes.append(f"no attribute names classes: all regions are {only_class}")
    else:
        only_class = UNLABELLED
        classes = {*attributes[attribute].values, *choices.get(attribute, ())}
        check_names(folder, options, tuple(sorted(classes)))
        collector.notes.append(f"the attribute {attribute} holds the classes")
    for file in splits[split]:
        for image in read_via_images(file):
            add_image(collector, file, image, attribute, only_class)
    images = []
    for file, names_in_file in collector.names_by_file().items():
        images += find_images(names_in_file, image_folders(folder, file), file)
    if UNLABELLED in collector.labels:
        classes.add(UNLABELLED)
    return collector.build(FORMAT, images, options, dict.fromkeys(sorted(classes)))


def check_names(folder: Path, options: DatasetOptions, classes: tuple[str, ...]) -> None:
    """Raise if the user gives other class names than the regions have.

    Raises:
        SettingsError: The names differ.
    """
    if options.names not in (None, classes, (*classes, BACKGROUND)):
        raise SettingsError(
            f"--names cannot rename or choose classes here: {folder} names its own "
            f"({', '.join(classes)})"
        )


def image_folders(folder: Path, file: Path) -> list[Path]:
    """Return the folders that may hold the images of a file of labels, the likeliest first."""
    places = [file.parent, file.parent.parent] if file.parent != folder else [folder]
    return [*places, *(place / name for place in places for name in IMAGE_FOLDERS), folder]


def add_image(
    collector: ObjectCollector, file: Path, image: ViaImage, attribute: str | None, other: str
) -> None:
    """Add an image with its regions.

    Args:
        collector: Collector of images and objects.
        file: File of the image.
        image: Image with its regions.
        attribute: Attribute that holds the class; None for no attribute.
        other: Class of regions without the attribute.

    Raises:
        DataError: A region is invalid.
    """
    number = collector.add_image(image.filename, (0, 0), file)
    for place, region in enumerate(image.region_list, start=1):
        shape = region.shape_attributes
        if shape.name in SHAPES_WITHOUT_PIXELS:
            collector.without_pixels[shape.name] += 1
        elif shape.is_unfinished:
            collector.add_unfinished(
                number, place, f"is a polygon of {len(shape.all_points_x)} points"
            )
        else:
            try:
                mask = shape_polygons(shape)
                label = region.attributes.get(attribute, other) if attribute else other
            except DataError as error:
                raise DataError(f"{collector.describe_object(number, place)} {error}") from None
            collector.add_object(number, label, place, mask)


def survey_attributes(
    files: Iterable[Path],
) -> tuple[dict[str, AttributeValues], dict[str, tuple[str, ...]]]:
    """Return the values of each attribute of the regions, and the values to choose from.

    Raises:
        DataError: A file is malformed.
    """
    attributes: dict[str, AttributeValues] = {}
    choices: dict[str, tuple[str, ...]] = {}
    for file in files:
        choices |= read_choices(file)
        for image in read_via_images(file):
            for region in image.region_list:
                try:
                    pairs = region.attributes
                except JsonValueError as error:
                    raise DataError(f"{file}: {image.filename}: {error}; export it again") from None
                for name, value in pairs.items():
                    known = attributes.setdefault(name, AttributeValues())
                    known.count += 1
                    known.values.add(value)
    return attributes, choices


def choose_attribute(
    folder: Path,
    attributes: Mapping[str, AttributeValues],
    choices: Mapping[str, tuple[str, ...]],
    requested: str | None,
) -> str | None:
    """Return the attribute that holds the class of a region; None if no attribute does.

    It is the only attribute, the only one that is named like a class, or the only one whose values
    are chosen from a list. Attributes with another value in each region do not count.

    Raises:
        SettingsError: No region has the requested attribute.
        DataError: Several attributes may hold the class.
    """
    if requested is not None:
        if requested not in attributes:
            names = ", ".join(attributes) or "none"
            raise SettingsError(
                f"{folder} has no attribute {requested!r}: its regions have {names}"
            )
        return requested
    names = [name for name, values in attributes.items() if not values.names_objects]
    for candidates in (
        names,
        [name for name in names if name.strip().lower() in CLASS_ATTRIBUTES],
        [name for name in names if choices.get(name)],
    ):
        if len(candidates) == 1:
            return candidates[0]
    if names:
        raise DataError(
            f"the regions in {folder} have the attributes {', '.join(names)}, of which one is the "
            f"class: name it, such as --format via:{names[0]}"
        )
    return None
