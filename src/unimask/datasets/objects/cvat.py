"""Read CVAT for images 1.1: one XML file with the shapes of all images."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import islice
from math import isnan
from pathlib import Path

import numpy as np

from unimask.datasets.image_files import find_images, image_size, is_ignored
from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    warn_left_out,
)
from unimask.datasets.objects.annotations import AnnotationBuilder
from unimask.datasets.objects.cvat_xml import (
    SHAPES_WITHOUT_PIXELS,
    CvatHead,
    CvatShape,
    Elements,
    read_head,
    read_shapes,
)
from unimask.datasets.objects.dataset import ObjectDataset, build_object_labels
from unimask.datasets.objects.outlines import (
    Mask,
    ellipse_polygon,
    merge_masks,
    place_mask,
    read_polygons,
    rectangle_polygon,
    rotate_polygon,
)
from unimask.datasets.orientation import explain_mismatch
from unimask.datasets.splits import SPLIT_NAMES
from unimask.errors import DataError
from unimask.formats.json_values import parse_float

FORMAT = "CVAT for images"
MAX_XML_FILES = 16
"""Number of XML files of CVAT that are looked for in a folder: the first is read, others named."""

HEADER_BYTES = 1 << 12
"""Number of leading bytes that determine whether a file is CVAT's."""

MASK_BOX = ("left", "top", "width", "height")
BOX_CORNERS = ("xtl", "ytl", "xbr", "ybr")
ELLIPSE_AXES = ("cx", "cy", "rx", "ry")


def find_cvat(folder: Path) -> DetectedDataset | None:
    """Detect an XML file that begins as CVAT's do; subsets of a project are splits."""
    xml_files = (file for file in sorted(folder.glob("*.xml")) if not is_ignored(file.name))
    files = list(islice(filter(is_cvat, xml_files), MAX_XML_FILES))
    if not files:
        return None
    splits = find_subsets(files[0])
    others = " and ".join(file.name for file in files[1:])
    return DetectedDataset(
        FORMAT,
        {split: partial(open_cvat, files[0], name) for split, name in splits.items()},
        (),
        Evidence.CONTENT,
        f"{files[0].name} begins as CVAT's",
        (f"labels in {others} are not read: one XML per folder is",) if others else (),
        has_class_names=True,
    )


def is_cvat(file: Path) -> bool:
    """Return whether an XML file begins as CVAT's do."""
    try:
        with file.open("rb") as stream:
            beginning = stream.read(HEADER_BYTES)
    except OSError:
        return False
    return b"<annotations>" in beginning.replace(b"\0", b"")  # UTF-16 has zero bytes


def find_subsets(file: Path) -> dict[str, str | None]:
    """Map each split of an XML file to its subset; a file without a train subset is one split."""
    try:
        names = sorted({image.subset for image in read_head(file).images} - {""})
    except DataError:  # if no other format fits, opening the file raises this error again
        return {ALL_IMAGES: None}
    splits: dict[str, str | None] = {SPLIT_NAMES.get(name.lower(), name): name for name in names}
    return splits if "train" in splits else {ALL_IMAGES: None}


def open_cvat(file: Path, subset: str | None, options: DatasetOptions) -> ObjectDataset:
    """Open the images and shapes of one XML file.

    Args:
        file: Path of the XML file.
        subset: Subset of the project to open; None for all images.
        options: Options with the images' channels.

    Raises:
        DataError: The file is malformed, or an image is missing.
    """
    head = read_head(file)
    if not head.images:
        raise DataError(f"{file} lists no images: export the task as 'CVAT for images 1.1'")
    if not head.labels:
        raise DataError(f"{file} lists no labels under meta: export it again")
    selected = [i for i, image in enumerate(head.images) if subset in (None, image.subset)]
    selected.sort(key=lambda index: head.images[index].name)
    names = [head.images[index].name for index in selected]
    folder = file.parent
    folders = (folder / "images" / (subset or ""), folder / "images", folder)
    paths = find_images(names, folders, file)
    check_duplicates(file, paths)
    reader = CvatReader(file, head, selected, paths, options.channels)
    read_shapes(file, reader.add_image)
    if reader.left_out:
        warn_left_out(
            f"{file}: {reader.left_out} points, lines, cuboids and skeletons have no pixels: left "
            "out"
        )
    objects, labels = reader.objects, head.labels

    def origin(image: int, place: int) -> str:
        return f"{file}: shape {place} of {names[image]}"

    sizes = [head.images[index].size for index in selected]
    colours = tuple(labels.values()) if any(labels.values()) else ()
    annotations = objects.finish(np.array(sizes, np.int64), origin)
    name = folder.absolute().name
    label_set = build_object_labels(list(labels), colours)
    return ObjectDataset(FORMAT, name, label_set, paths, annotations, origin, options.channels)


class CvatReader:
    """Reader of the shapes of some images.

    Args:
        file: Path of the XML file.
        head: Images and labels of the file.
        selected: Numbers of the images to read, as in the file.
        paths: File of each image to read.
        channels: Number of channels of the images.
    """

    def __init__(
        self,
        file: Path,
        head: CvatHead,
        selected: Sequence[int],
        paths: Sequence[Path],
        channels: int,
    ) -> None:
        self.file, self.head, self.paths, self.channels = file, head, paths, channels
        self.places = {number: place for place, number in enumerate(selected)}
        self.labels = {label: number for number, label in enumerate(head.labels)}
        self.objects, self.left_out = AnnotationBuilder(), 0

    def add_image(self, number: int, shapes: Elements) -> None:
        """Add the shapes of an image, if the image is among those to read.

        Raises:
            DataError: A shape is invalid.
        """
        place = self.places.get(number)
        if place is None:
            return
        image = self.head.images[number]
        self.left_out += sum(tag in SHAPES_WITHOUT_PIXELS[:-1] for tag, _ in shapes)
        if any(tag == "mask" for tag, _ in shapes):
            self.check_size(place, image.size)
        for first, members in group_shapes(shapes).items():
            location, label = f"{self.file}: shape {first} of {image.name}", members[0][1].label
            if label not in self.labels:
                raise DataError(f"{location} has the label {label!r}, which the XML does not list")
            mask = merge_shapes(location, members, image.size)
            depth = -max(int(shape.z_order or 0) for _, shape in members)
            self.objects.add(place, self.labels[label], first, mask, depth=depth)

    def check_size(self, index: int, labels_size: tuple[int, int]) -> None:
        """Raise if masks, which are decoded immediately, were made for another image size.

        Raises:
            DataError: The image has another size.
            ImageError: The image cannot be read.
        """
        size = image_size(self.paths[index], self.channels)
        if size != labels_size:
            hint = explain_mismatch(self.paths[index], size, labels_size)
            raise DataError(
                f"{self.paths[index]} has {size[1]} x {size[0]} pixels, but its labels in "
                f"{self.file} are for {labels_size[1]} x {labels_size[0]}"
                f"{hint or ': export labels and images together'}"
            )


def check_duplicates(file: Path, paths: Sequence[Path]) -> None:
    """Raise if an image has two entries: objects of one would be background of the other.

    Raises:
        DataError: An image has two entries.
    """
    for path, count in Counter(paths).most_common(1):
        if count > 1:
            raise DataError(f"{file} lists {path.name} {count} times: export each image once")


def group_shapes(shapes: Elements) -> dict[int, list[tuple[str, CvatShape]]]:
    """Group shapes with the same label and group id, keyed by the number of their first shape."""
    first: dict[object, int] = {}
    groups: dict[int, list[tuple[str, CvatShape]]] = {}
    for number, (tag, shape) in enumerate(shapes, start=1):
        if shape is not None and not shape.outside:
            key = (shape.label, shape.group_id) if shape.group_id else number
            groups.setdefault(first.setdefault(key, number), []).append((tag, shape))
    return groups


def merge_shapes(
    location: str, shapes: Sequence[tuple[str, CvatShape]], size: tuple[int, int]
) -> Mask:
    """Return the shapes of one object as a mask.

    Raises:
        DataError: A shape is invalid; the message begins with `location`.
    """
    try:
        return merge_masks([shape_mask(tag, shape, size) for tag, shape in shapes], size)
    except DataError as error:
        raise DataError(f"{location} {error}") from None


def shape_mask(tag: str, shape: CvatShape, size: tuple[int, int]) -> Mask:
    """Return one shape as a mask.

    Args:
        tag: Kind of the shape, one of `SHAPED`.
        shape: Attributes of the shape.
        size: Height and width of its image.

    Raises:
        DataError: The shape encloses nothing, or lies outside; the message is the end of a
            sentence.
    """
    if tag == "mask":
        left, top, width, height = parse_numbers(tag, shape, MASK_BOX)
        inside = decode_run_lengths(shape.rle, int(width), int(height), size)
        return place_mask(inside, int(left), int(top), size)
    if tag == "polygon":
        try:
            flat = [float(value) for value in re.split("[,;]", shape.points)]
        except ValueError:
            raise DataError(
                f"is not a polygon: points={shape.points[:20]!r}; draw it again"
            ) from None
    elif tag == "box":
        flat = rectangle_polygon(*parse_numbers(tag, shape, BOX_CORNERS))
    else:
        flat = ellipse_polygon(*parse_numbers(tag, shape, ELLIPSE_AXES))
    degrees = parse_float(shape.rotation)
    polygons = read_polygons([flat])
    if not polygons:
        raise DataError(f"has {len(flat) // 2} points, but a polygon takes three: draw it again")
    return read_polygons([rotate_polygon(flat, degrees)]) if degrees else polygons


def decode_run_lengths(rle: str, width: int, height: int, size: tuple[int, int]) -> np.ndarray:
    """Decode the mask of a box from run lengths along the rows (COCO's follow the columns).

    Raises:
        DataError: The runs do not fill the box; the message is the end of a sentence.
    """
    if not (0 < height <= size[0] and 0 < width <= size[1]):
        raise DataError(f"has a mask of {width} x {height}, no part of its image: redo it")
    try:
        counts = [int(count) for count in rle.split(",")]
    except ValueError:
        raise DataError(f"is not a mask: rle={rle[:20]!r}; draw it again") from None
    if min(counts) < 0 or sum(counts) != width * height:
        raise DataError(f"has run lengths that do not add up to {width} x {height}: redo it")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)


def parse_numbers(tag: str, shape: CvatShape, keys: tuple[str, str, str, str]) -> list[float]:
    """Return numeric attributes of a shape.

    Raises:
        DataError: An attribute is missing; the message is the end of a sentence.
    """
    values = [parse_float(getattr(shape, key)) for key in keys]
    absent = [key for key, value in zip(keys, values, strict=True) if isnan(value)]
    if absent:
        raise DataError(f"is not a {tag}: it lacks {', '.join(absent)}; draw it again")
    return values
