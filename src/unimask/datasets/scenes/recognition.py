"""Recognition of scenes and of labels on the ground, by names, headers and first features."""

from collections.abc import Iterator
from pathlib import Path

from unimask.datasets.image_files import walk_folders
from unimask.datasets.maps.folder_words import role_from_names
from unimask.datasets.objects.geojson_records import iterate_features
from unimask.datasets.objects.json_kinds import outline_of
from unimask.datasets.scenes.vector_file import VECTOR_SUFFIXES
from unimask.errors import DataError
from unimask.rasters.recognition import is_raster


def list_rasters(folder: Path) -> list[Path]:
    """Return the georeferenced rasters in a folder and below it, sorted."""
    return sorted(
        place / name
        for place, names in walk_folders(folder)
        for name in names
        if is_raster(place / name)
    )


def is_map(folder: Path, path: Path) -> bool:
    """Return whether the folders of a raster, or its name, call it a label map."""
    return role_from_names((*path.relative_to(folder).parts[:-1], path.stem)) == "map"


def has_rasters(folder: Path) -> bool:
    """Return whether a folder, or one below it, holds a georeferenced raster."""
    return any(is_raster(place / name) for place, names in walk_folders(folder) for name in names)


def list_vector_files(folder: Path) -> Iterator[Path]:
    """Yield the files of polygons on the ground in a folder and below it."""
    for place, names in walk_folders(folder):
        for name in names:
            path = place / name
            if name.lower().endswith(VECTOR_SUFFIXES) and not is_in_pixels(path):
                yield path


def is_in_pixels(path: Path) -> bool:
    """Return whether a GeoJSON is in pixels of an image: unimask names it, and QuPath's objects.

    Files that are no collection of features count as such.
    """
    if path.suffix.lower() != ".geojson":
        return False
    keys = outline_of(path).keys
    if keys.get("features") != "list" or "image" in keys:
        return True
    try:
        _, feature = next(iterate_features(path), (0, None))
    except DataError:
        return False
    return feature is not None and "objectType" in (feature.properties or {})
