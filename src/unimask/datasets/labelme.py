"""LabelMe: a JSON per picture, with its shapes."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from unimask.datasets.annotations import Collector
from unimask.datasets.found import WHOLE, Evidence, Found, Wish, tell
from unimask.datasets.objects import ObjectPictures, object_labels
from unimask.datasets.outlines import Mask, ellipse, join, placed, read_polygons, rectangle
from unimask.datasets.picture_files import files_below, files_with
from unimask.datasets.splits import SPLITS
from unimask.errors import DataError
from unimask.formats.json_outline import json_outline
from unimask.processing.pictures import SUFFIXES

FORMAT = "LabelMe"
LOOK = 1 << 16
"""Characters at the beginning of a file that tell whether it is LabelMe's."""

KEYS = frozenset(
    (
        *("version", "flags", "shapes", "lineColor", "fillColor"),
        *("imagePath", "imageData", "imageHeight", "imageWidth"),
    )
)
"""What LabelMe writes at the top level."""

SHAPELESS = {"point", "points", "line", "linestrip"}
"""Shapes without pixels."""


def find_labelme(folder: Path) -> Found | None:
    """Look for JSONs with shapes, in the folder and below it; folders may be splits.

    JSONs of other kinds are passed over, and that is noted.
    """
    jsons = files_with(folder, ".json")
    files = [file for file in jsons if is_labelme(file)]
    if not files:
        return None
    splits: dict[str, list[Path]] = {}
    for file in files:
        parts = [part.lower() for part in file.relative_to(folder).parts[:-1]]
        split = next((SPLITS[part] for part in parts if part in SPLITS), WHOLE)
        splits.setdefault(split, []).append(file)
    if len(splits) > 1 and WHOLE in splits:
        splits.pop(WHOLE)
    others = sorted(set(jsons) - set(files))
    note = (
        f"JSON files of other kinds are passed over: {len(others)}, such as {others[0].name}"
        if others
        else ""
    )
    return Found(
        FORMAT,
        {split: partial(open_labelme, folder, splits, split) for split in splits},
        (),
        Evidence.CONTENT,
        f"{files[0].name} lists shapes",
        (note,) if note else (),
        names_classes=True,
    )


def is_labelme(file: Path) -> bool:
    """Return whether a JSON lists shapes, as LabelMe's and those of its kin do."""
    outline = json_outline(file, LOOK)
    if not outline.complete and outline.may_have("shapes") and outline.keys.keys() <= KEYS:
        outline = json_outline(file)  # the image is in front of the shapes
    others = outline.keys.keys() & KEYS - {"shapes"}
    pointed = "points" in outline.item_keys("shapes")
    return outline.keys.get("shapes") == "list" and (pointed or bool(others))


def open_labelme(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, wish: Wish
) -> ObjectPictures:
    """Open the pictures of a split.

    Classes are the labels of all splits, by name, so that every split has the same.

    Args:
        folder: The dataset's.
        splits: Each split's files.
        split: Which is opened.
        wish: The pictures' channels.

    Raises:
        DataError: A file is not what it should be, or a picture is missing.
    """
    files, known = splits[split], files_below([folder])
    objects, sizes, paths, shapeless = Collector(), [], [], 0
    labels: dict[str, int] = {}
    for other in (file for name, others in splits.items() if name != split for file in others):
        for shape in read_shapes(other)[0]:
            labels.setdefault(str(shape["label"]), len(labels))
    for number, file in enumerate(files):
        shapes, size, named = read_shapes(file)
        sizes.append(size)
        paths.append(picture_of(file, named, known))
        for place, members in groups_of(shapes).items():
            kept = [shape for shape in members if shape.get("shape_type") not in SHAPELESS]
            shapeless += len(members) - len(kept)
            if kept:
                label = labels.setdefault(str(kept[0]["label"]), len(labels))
                objects.add(number, label, place, read_group(file, place, kept, size))
    if shapeless:
        tell(f"{folder}: {shapeless} points and lines have no pixels: left out")

    def origin(picture: int, place: int) -> str:
        return f"{files[picture]}: shape {place}"

    names = sorted(labels)
    places = [names.index(label) for label in labels]
    objects.renumber(np.arange(len(files)), np.array(places, np.int32))
    done = objects.finish(np.array(sizes, np.int64), origin)
    name = folder.absolute().name
    return ObjectPictures(FORMAT, name, object_labels(names), paths, done, origin, wish.channels)


def read_shapes(file: Path) -> tuple[list[dict[str, Any]], tuple[int, int], str]:
    """Read the shapes of a picture, its size, and its name.

    Raises:
        DataError: The file is not LabelMe's.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        shapes = content["shapes"]
        size = int(content["imageHeight"]), int(content["imageWidth"])
        if not all({"label", "points"} <= shape.keys() for shape in shapes):
            raise KeyError("label or points")
        return shapes, size, str(content["imagePath"])
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{file} is not what LabelMe writes ({type(error).__name__} {error}): it should have "
            "shapes with label and points, imagePath, imageHeight and imageWidth"
        ) from None


def picture_of(file: Path, named: str, known: Mapping[str, Path]) -> Path:
    """Give the picture of a JSON: the one it names, else the one of its own name beside it.

    Raises:
        DataError: Neither is there.
    """
    plain = PureWindowsPath(named).as_posix()
    last = plain.rsplit("/", 1)[-1]
    for candidate in (file.parent / plain, file.parent / last):
        if candidate.is_file():
            return candidate
    for suffix in sorted(SUFFIXES):
        if file.with_suffix(suffix).is_file():
            return file.with_suffix(suffix)
    if last in known:
        return known[last]
    raise DataError(f"{file} names the picture {named!r}, which is not there: put it beside it")


def groups_of(shapes: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Join shapes of one label and one group id; each group goes by its first shape's number."""
    first: dict[object, int] = {}
    groups: dict[int, list[dict[str, Any]]] = {}
    for number, shape in enumerate(shapes, start=1):
        group = shape.get("group_id")
        key = number if group is None else (str(shape["label"]), str(group))
        groups.setdefault(first.setdefault(key, number), []).append(shape)
    return groups


def read_group(
    file: Path, place: int, shapes: Sequence[dict[str, Any]], size: tuple[int, int]
) -> Mask:
    """Read the shapes of one object.

    Raises:
        DataError: One of them is none.
    """
    try:
        return join([read_shape(shape, size) for shape in shapes], size)
    except DataError as error:
        raise DataError(f"{file}: shape {place} ({shapes[0]['label']}) {error}") from None


def read_shape(shape: dict[str, Any], size: tuple[int, int]) -> Mask:
    """Read one shape.

    Raises:
        DataError: It is none; the message is the end of a sentence.
    """
    kind = shape.get("shape_type") or "polygon"
    try:
        points = np.array(shape["points"], np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise DataError("has points that are no pairs of x and y: draw it again") from None
    if not np.isfinite(points).all():
        raise DataError("has points that are no numbers: draw it again")
    flat = points.ravel().tolist()
    if kind in ("rectangle", "circle", "mask") and len(points) < 2:
        raise DataError(f"is a {kind} of fewer than two points: draw it again")
    if kind == "mask":
        return placed(read_png(shape.get("mask")), flat[0], flat[1], size)
    if kind == "rectangle" and len(points) == 2:
        flat = rectangle(*flat)
    elif kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        flat = ellipse(flat[0], flat[1], radius, radius)
    polygons = read_polygons([flat])
    if not polygons:
        raise DataError(f"is a {kind} of {len(points)} points, three make one: draw it again")
    return polygons


def read_png(text: Any) -> np.ndarray:
    """Read a mask that LabelMe's AI drew.

    Raises:
        DataError: It is no picture; the message is the end of a sentence.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            return np.asarray(picture.convert("L")) > 0
    except Exception as error:  # decoders raise whatever their format suggests
        raise DataError(f"has a mask that is no picture ({error}): draw it again") from None
