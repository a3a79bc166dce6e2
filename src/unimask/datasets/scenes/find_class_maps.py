"""Detection of scenes with class maps on the ground, and opening of their chips."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unimask.datasets.interface import (
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
)
from unimask.datasets.objects.collector import group_by_split, notes_on_files
from unimask.datasets.scenes.chips import check_chip_side
from unimask.datasets.scenes.class_maps import ClassMap, find_classes
from unimask.datasets.scenes.dataset import ChipDataset, LabelledScene
from unimask.datasets.scenes.find import open_scenes
from unimask.datasets.scenes.pairing import NamePairs, pair_by_name
from unimask.datasets.scenes.recognition import is_map, list_rasters
from unimask.datasets.scenes.scene import Scene, SceneReader
from unimask.errors import DataError, ImageError
from unimask.processing.images import MAX_PIXELS
from unimask.rasters.gdal_image import GdalImage, import_rasterio
from unimask.rasters.recognition import has_rasterio

FORMAT = "GeoTIFF class maps"

PLAIN_BANDS = (1, 3, 4)
"""Numbers of bands of rasters that are read as any image."""


def find_class_maps(folder: Path) -> DetectedDataset | None:
    """Detect georeferenced rasters and label maps on the ground.

    Those that are read as any image (8-bit RGB of moderate size) are semantic maps by default.
    """
    rasters = list_rasters(folder)
    maps = [path for path in rasters if is_map(folder, path)]
    images = [path for path in rasters if path not in set(maps)]
    if not maps or not images:
        return None
    splits = group_by_split(folder, images)
    needs_windows = has_rasterio() and is_special(images[0])
    return DetectedDataset(
        FORMAT,
        {split: partial(open_class_maps, folder, splits, maps, split) for split in splits},
        evidence=Evidence.CONTENT if needs_windows else Evidence.EMPTY,
        reason=f"{images[0].name} is georeferenced, and {maps[0].name} a map",
        notes=notes_on_files(images, splits),
    )


def is_special(path: Path) -> bool:
    """Return whether a raster cannot be read as any image."""
    try:
        with GdalImage(path) as image:
            pixels = image.size[0] * image.size[1]
            plain = image.num_bands in PLAIN_BANDS and image.dtype == np.uint8
            return pixels > MAX_PIXELS or not plain
    except ImageError:
        return False


def open_class_maps(
    folder: Path,
    splits: Mapping[str, Sequence[Path]],
    maps: Sequence[Path],
    split: str,
    options: DatasetOptions,
) -> ChipDataset:
    """Open the chips of a split.

    Args:
        folder: Folder of the dataset.
        splits: Scenes of each split.
        maps: Class maps of all splits.
        split: Name of the split.
        options: Options given by the user.

    Raises:
        DataError: Maps do not lie on the pixels of scenes, or values have no class.
        ImageError: A file cannot be read, or bands must be chosen.
        MissingExtraError: rasterio is not installed.
        SettingsError: The side of the chips is out of range.
    """
    import_rasterio()
    side = check_chip_side(options.chip)
    channels = options.channels if options.bands is None else len(options.bands)
    reader = SceneReader(channels, options.bands)
    scenes, notes = open_scenes(splits[split], reader)
    opened = [scene for scene in map(Scene.open, maps) if scene is not None]
    images = [path for paths in splits.values() for path in paths]
    pairs = pair_maps(scenes, opened, pair_by_name(images, maps))
    if not pairs:
        raise UnlabelledError(f"no map in {folder} has the name or the pixels of a scene: add some")
    classes = find_classes(folder, maps, options.names)
    labelled = [
        LabelledScene(scene, ClassMap(opened[pairs[index]].path, classes))
        for index, scene in enumerate(scenes)
        if index in pairs
    ]
    missing = [scene.path.name for index, scene in enumerate(scenes) if index not in pairs]
    if missing:
        notes.append(f"scenes without a map are left out: {len(missing)}, {missing[0]}")
    count = f"{len(labelled)} scene{'' if len(labelled) == 1 else 's'}"
    text = f"{count} in chips of {side} x {side} pixels; {'; '.join([classes.notes, *notes])}"
    return ChipDataset(
        folder.absolute().name,
        classes.labels,
        labelled,
        reader,
        DatasetInfo(FORMAT, ("semantic",), text),
        side=side,
        overlapping=split == "train",
    )


def pair_maps(
    scenes: Sequence[Scene], maps: Sequence[Scene], names: NamePairs | None
) -> dict[int, int]:
    """Return the index of the map of each scene: of its name, or else on its pixels.

    Args:
        scenes: Scenes of a split.
        maps: Maps of all splits.
        names: Maps of each scene by name; None if names differ.

    Raises:
        DataError: A map has the name of a scene, but other pixels; or several maps fit a scene.
    """
    pairs: dict[int, int] = {}
    numbers = {each.path: number for number, each in enumerate(maps)}
    for index, scene in enumerate(scenes):
        if names is not None:
            found = [numbers[path] for path in names.get(scene.path, ()) if path in numbers]
        else:
            found = [number for number, each in enumerate(maps) if is_same_grid(scene, each)]
            beside = [n for n in found if maps[n].path.parent == scene.path.parent]
            found = beside or found
        if len(found) > 1:
            several = ", ".join(maps[number].path.name for number in found[:3])
            raise DataError(f"{scene.path} has several maps ({several}): leave one in the folder")
        for number in found:
            check_grid(scene, maps[number])
            pairs[index] = number
    return pairs


def is_same_grid(scene: Scene, other: Scene) -> bool:
    """Return whether two rasters have the same pixels on the ground."""
    ours, theirs = scene.georeference, other.georeference
    pixel = max(map(abs, ours.transform[:2]))
    return (
        scene.size == other.size
        and ours.crs == theirs.crs
        and np.allclose(ours.transform, theirs.transform, rtol=1e-9, atol=0.01 * pixel)
    )


def check_grid(scene: Scene, other: Scene) -> None:
    """Test that a map lies on the pixels of its scene.

    Raises:
        DataError: It does not.
    """
    if not is_same_grid(scene, other):
        sizes = [f"{width} x {height}" for height, width in (scene.size, other.size)]
        raise DataError(
            f"{other.path} ({sizes[1]} pixels) does not lie on the pixels of {scene.path} "
            f"({sizes[0]}): resample it (gdalwarp -r near -te ... -ts ...)"
        )
