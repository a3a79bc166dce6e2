"""CVAT for images 1.1: one XML with the shapes of all pictures."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from unimask.datasets.annotations import Collector
from unimask.datasets.found import WHOLE, Evidence, Found, Wish, tell
from unimask.datasets.objects import ObjectPictures, object_labels
from unimask.datasets.outlines import (
    Mask,
    ellipse,
    join,
    placed,
    read_polygons,
    rectangle,
    turned,
)
from unimask.datasets.picture_files import find_pictures, is_passed_over
from unimask.datasets.splits import SPLITS
from unimask.errors import DataError
from unimask.labels import Colour

FORMAT = "CVAT for images"
LOOK = 1 << 12
"""Bytes at the beginning of a file that tell whether it is CVAT's."""

SUBSET = re.compile(rb'<image\b[^<>]*?\bsubset="([^"<]*)"')
SHAPED = ("polygon", "mask", "box", "ellipse")
SHAPELESS = ("points", "polyline", "cuboid", "skeleton", "tag")
"""Shapes, and types of labels, that have no pixels."""

PLACE = ("left", "top", "width", "height")
ENDS = ("xtl", "ytl", "xbr", "ybr")
AXES = ("cx", "cy", "rx", "ry")


def find_cvat(folder: Path) -> Found | None:
    """Look for an XML that begins as CVAT's; subsets of a project are splits."""
    for file in sorted(folder.glob("*.xml")):
        content = b"" if is_passed_over(file.name) else file.read_bytes()
        if b"<annotations>" in content[:LOOK].replace(b"\0", b""):  # UTF-16 has zeros
            splits = subsets_of(content)
            return Found(
                FORMAT,
                {split: partial(open_cvat, file, name) for split, name in splits.items()},
                (),
                Evidence.CONTENT,
                f"{file.name} begins as CVAT's",
                names_classes=True,
            )
    return None


def subsets_of(content: bytes) -> dict[str, str | None]:
    """Return the splits of an XML and how it calls them; one without a name if it has no train."""
    found: set[bytes] = set(SUBSET.findall(content))
    names = sorted(name.decode("utf-8", "replace") for name in found)
    splits: dict[str, str | None] = {SPLITS.get(name.lower(), name): name for name in names}
    return splits if "train" in splits else {WHOLE: None}


def open_cvat(file: Path, subset: str | None, wish: Wish) -> ObjectPictures:
    """Open the pictures and shapes of one XML.

    Args:
        file: The XML.
        subset: The part of the project that is opened; None for all.
        wish: The pictures' channels.

    Raises:
        DataError: The file is not what it should be, or a picture is missing.
    """
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{file} cannot be read as XML ({error}): export it again") from None
    if root.find("track") is not None:
        raise DataError(f"{file} is CVAT for video: export the task as 'CVAT for images 1.1'")
    images = [i for i in root.iter("image") if subset is None or i.get("subset") == subset]
    images.sort(key=lambda image: image.get("name", ""))
    names = [image.get("name", "") for image in images]
    if not names:
        raise DataError(f"{file} lists no pictures: export the task as 'CVAT for images 1.1'")
    folder = file.parent
    places = (folder / "images" / (subset or ""), folder / "images", folder)
    paths = find_pictures(names, places, file)
    labels = read_labels(file, root)
    index = {label: number for number, label in enumerate(labels)}
    objects, sizes = Collector(), []
    for number, image in enumerate(images):
        size = read_size(f"{file}: {names[number]}", image)
        sizes.append(size)
        for place, members in groups_of(image).items():
            where = f"{file}: shape {place} of {names[number]}"
            label = members[0].get("label")
            if label not in index:
                raise DataError(f"{where} has the label {label!r}, which the XML does not list")
            objects.add(
                number, index[label], place, read_group(where, members, size), depth=depth(members)
            )
    left_out = sum(len(image.findall(kind)) for image in images for kind in SHAPELESS[:-1])
    if left_out:
        tell(f"{file}: {left_out} points, lines, cuboids and skeletons have no pixels: left out")

    def origin(picture: int, place: int) -> str:
        return f"{file}: shape {place} of {names[picture]}"

    colours = tuple(labels.values()) if any(labels.values()) else ()
    done = objects.finish(np.array(sizes, np.int64), origin)
    name = folder.absolute().name
    known = object_labels(list(labels), colours)
    return ObjectPictures(FORMAT, name, known, paths, done, origin, wish.channels)


def read_labels(file: Path, root: ElementTree.Element) -> Mapping[str, Colour | None]:
    """Give the labels that may have pixels, with their colours, in the order of the file.

    Raises:
        DataError: There are none.
    """
    labels: dict[str, Colour | None] = {}
    for label in root.iterfind("meta//labels/label"):
        if label.findtext("type") not in SHAPELESS and label.find("parent") is None:
            digits = re.fullmatch("#([0-9a-fA-F]{6})", label.findtext("color") or "")
            red, green, blue = bytes.fromhex(digits[1]) if digits else (0, 0, 0)
            name = (label.findtext("name") or "").strip()
            labels.setdefault(name, (red, green, blue) if digits else None)
    if not labels:
        raise DataError(f"{file} lists no labels under meta: export it again")
    return labels


def read_size(where: str, image: ElementTree.Element) -> tuple[int, int]:
    """Read height and width of a picture.

    Raises:
        DataError: They are not told.
    """
    try:
        return int(image.get("height", "")), int(image.get("width", ""))
    except ValueError:
        raise DataError(f"{where} has no width and height: export it again") from None


def groups_of(image: ElementTree.Element) -> dict[int, list[ElementTree.Element]]:
    """Join shapes of one label and one group; each group goes by its first shape's number."""
    first: dict[object, int] = {}
    groups: dict[int, list[ElementTree.Element]] = {}
    for number, shape in enumerate(image, start=1):
        if shape.tag in SHAPED:
            group = shape.get("group_id", "0")
            key = number if group == "0" else (shape.get("label"), group)
            groups.setdefault(first.setdefault(key, number), []).append(shape)
    return groups


def depth(shapes: Sequence[ElementTree.Element]) -> int:
    """Give how far behind the others an object lies: the greater `z_order` is nearer."""
    orders = [shape.get("z_order", "0") for shape in shapes]
    return -max(int(order) if re.fullmatch(r"-?\d{1,9}", order) else 0 for order in orders)


def read_group(where: str, shapes: Sequence[ElementTree.Element], size: tuple[int, int]) -> Mask:
    """Read the shapes of one object.

    Raises:
        DataError: One of them is none; the message begins with `where`.
    """
    try:
        return join([read_shape(shape, size) for shape in shapes], size)
    except DataError as error:
        raise DataError(f"{where} {error}") from None
    except ValueError:
        told = ", ".join(f"{key}={value[:20]!r}" for key, value in shapes[0].items())
        raise DataError(f"{where} is no {shapes[0].tag}: {told}; draw it again") from None


def read_shape(shape: ElementTree.Element, size: tuple[int, int]) -> Mask:
    """Read one shape.

    Raises:
        DataError: It encloses nothing, or lies outside; the message is the end of a sentence.
        ValueError: An attribute is missing, or no number.
    """
    if shape.tag == "mask":
        left, top, width, height = (int(number) for number in numbers(shape, PLACE))
        counts = np.array(shape.get("rle", "").split(","), np.int64)
        if not (0 < height <= size[0] and 0 < width <= size[1]):
            raise DataError(f"has a mask of {width} x {height}, no part of its picture: redo it")
        if (counts < 0).any() or counts.sum() != width * height:
            raise DataError(f"has run lengths that do not add up to {width} x {height}: redo it")
        # Unlike COCO's, these run along the rows of the mask's box.
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
        return placed(inside, left, top, size)
    if shape.tag == "polygon":
        points = re.split("[,;]", shape.get("points", ""))
        flat = [float(value) for value in points]
    elif shape.tag == "box":
        flat = rectangle(*numbers(shape, ENDS))
    else:
        flat = ellipse(*numbers(shape, AXES))
    degrees = float(shape.get("rotation", "0"))
    polygons = read_polygons([turned(flat, degrees) if degrees else flat])
    if not polygons:
        raise DataError(f"has {len(flat) // 2} points, but a polygon takes three: draw it again")
    return polygons


def numbers(shape: ElementTree.Element, keys: tuple[str, str, str, str]) -> list[float]:
    """Read attributes that are numbers.

    Raises:
        ValueError: One is missing, or none.
    """
    values = [float(shape.get(key, "")) for key in keys]
    if not np.isfinite(values).all():
        raise ValueError(f"{keys} are no numbers")
    return values
