"""Assignment of files of polygons to scenes, by their names or by their places."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from unimask.datasets.scenes.scene import Scene
from unimask.datasets.scenes.vector_file import VectorFile
from unimask.errors import DataError
from unimask.extras import import_extra

SEPARATORS = re.compile(r"[_\-. ]+")
"""Separators between the words of a file name."""

MAX_WORDS = 8
"""Largest number of last words that names of a scene and its labels share."""


class PlacedFile:
    """Polygons of a file in the reference system of scenes, found by place.

    Args:
        file: The file.
        crs: Reference system of the scenes.
    """

    def __init__(self, file: VectorFile, crs: Any) -> None:
        self.file, self.shapes = file, file.transform(crs)

    @cached_property
    def tree(self) -> Any:
        """Index of the polygons by place."""
        return import_extra("shapely", "geo").STRtree(self.shapes)

    def find(self, scene: Scene) -> Int[np.ndarray, " n"]:
        """Return the indices of the polygons that lie in a scene, at least in part."""
        return np.sort(self.tree.query(scene.outline, predicate="intersects"))


class Placement:
    """Files of polygons placed in the reference systems of scenes, each once."""

    def __init__(self) -> None:
        self.placed: dict[tuple[int, str | None], PlacedFile] = {}

    def place(self, file: VectorFile, scene: Scene) -> PlacedFile:
        """Return a file in the reference system of a scene."""
        key = id(file), scene.georeference.crs
        if key not in self.placed:
            self.placed[key] = PlacedFile(file, scene.crs)
        return self.placed[key]


NamePairs = Mapping[Path, Sequence[Path]]
"""Label files of each scene."""


def pair_by_name(scenes: Sequence[Path], files: Sequence[Path]) -> NamePairs | None:
    """Return the label files of each scene by their names; None if names differ.

    Names agree if they are equal, or if their last words are and contain a number, such as
    RGB_AOI_2_img7 and buildings_AOI_2_img7.

    Args:
        scenes: Rasters of all splits.
        files: Label files of all splits.
    """
    by_stem = group_paths(scenes, lambda path: path.stem)
    if all(path.stem in by_stem for path in files):
        labels = group_paths(files, lambda path: path.stem)
        return {path: labels[stem] for stem in labels for path in by_stem[stem]}
    for count in range(MAX_WORDS, 0, -1):
        by_end = group_paths(scenes, partial(last_words, count=count))
        labels = group_paths(files, partial(last_words, count=count))
        is_unique = max(map(len, labels.values())) == 1
        if None not in labels and is_unique and labels.keys() <= by_end.keys():
            return {path: labels[end] for end in labels for path in by_end[end]}
    return None


def group_paths(
    paths: Sequence[Path], key: Callable[[Path], str | None]
) -> dict[str | None, list[Path]]:
    """Return paths by a key."""
    groups: dict[str | None, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups


def last_words(path: Path, count: int) -> str | None:
    """Return the last words of a name if they have a number; None if not, or if it is shorter."""
    words = SEPARATORS.split(path.stem.lower())[-count:]
    has_number = any(map(str.isdigit, "".join(words)))
    return "_".join(words) if len(words) == count and has_number else None


def misplaced_error(file: VectorFile, scenes: Sequence[Scene]) -> DataError:
    """Return the error for a file of which no polygon lies in its scenes."""
    shapely = import_extra("shapely", "geo")
    scene = scenes[0]
    name = "an unknown reference system" if file.crs is None else file.crs.name
    shapes = Placement().place(file, scene).shapes
    ours, theirs = shapely.total_bounds(shapes), shapely.bounds(scene.outline)
    swapped = VectorFile(
        file.path,
        file.crs,
        shapely.transform(file.shapes, lambda points: points[:, ::-1]),
        {},
    )
    hint = "check its reference system (the member crs of a GeoJSON; WGS 84 without it)"
    if any(len(Placement().place(swapped, each).find(each)) for each in scenes[:20]):
        hint = "exchange x and y of its coordinates, which must be longitude, latitude"
    places = [
        f"x {low_x:.7g} to {high_x:.7g}, y {low_y:.7g} to {high_y:.7g}"
        for low_x, low_y, high_x, high_y in (ours.tolist(), theirs.tolist())
    ]
    return DataError(
        f"no polygon of {file.path} ({name}) lies in {scene.path.name}"
        f"{f' or {len(scenes) - 1} other scenes' if len(scenes) > 1 else ''}: they are at "
        f"{places[0]} and the scene at {places[1]}; {hint}"
    )
