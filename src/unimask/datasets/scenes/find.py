"""Detection of scenes with polygons on the ground, and opening of their chips."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetInfo,
    DatasetOptions,
    DetectedDataset,
    Evidence,
    UnlabelledError,
    warn_left_out,
)
from unimask.datasets.objects.collector import group_by_split, notes_on_files
from unimask.datasets.scenes.chips import check_chip_side
from unimask.datasets.scenes.classes import PolygonClasses
from unimask.datasets.scenes.dataset import ChipDataset, LabelledScene
from unimask.datasets.scenes.pairing import (
    NamePairs,
    Placement,
    misplaced_error,
    pair_by_name,
)
from unimask.datasets.scenes.recognition import is_map, list_rasters, list_vector_files
from unimask.datasets.scenes.scene import Scene, SceneReader
from unimask.datasets.scenes.scene_objects import SceneObjects
from unimask.datasets.scenes.vector_file import VectorFile, read_vector_file
from unimask.errors import ImageError, SettingsError, UnimaskError
from unimask.rasters.gdal_image import GdalImage, import_rasterio
from unimask.rasters.scaled_image import choose_bands

FORMAT = "GeoTIFF scenes"


def find_scenes(folder: Path) -> DetectedDataset | None:
    """Detect georeferenced rasters and files of polygons on the ground, in folders of any name."""
    files = list(list_vector_files(folder))
    if not files:
        return None
    rasters = [path for path in list_rasters(folder) if not is_map(folder, path)]
    if not rasters:
        return None
    splits = group_by_split(folder, rasters)
    scenes = SceneFolder(folder, splits, files)
    reason = f"{rasters[0].name} is georeferenced, and {files[0].name} lists polygons"
    return DetectedDataset(
        FORMAT,
        {split: partial(scenes.open, split) for split in splits},
        evidence=Evidence.CONTENT,
        reason=reason,
        notes=notes_on_files(rasters, splits),
    )


class SceneFolder:
    """Folder of scenes and files of polygons.

    Args:
        folder: The folder.
        splits: Rasters of each split.
        files: Files of polygons of all splits.
    """

    def __init__(
        self, folder: Path, splits: Mapping[str, Sequence[Path]], files: Sequence[Path]
    ) -> None:
        self.folder, self.splits, self.files = folder, splits, files

    @cached_property
    def vectors(self) -> dict[Path, VectorFile]:
        """Polygons of all files."""
        return {path: read_vector_file(path) for path in self.files}

    def open(self, split: str, options: DatasetOptions) -> ChipDataset:
        """Open the chips of a split.

        Raises:
            DataError: A file cannot be read, or polygons lie elsewhere.
            ImageError: A scene cannot be read, or its bands must be chosen.
            MissingExtraError: A package of the extra `geo` is not installed.
            SettingsError: The side of the chips is out of range.
        """
        import_rasterio()
        side = check_chip_side(options.chip)
        channels = options.channels if options.bands is None else len(options.bands)
        reader = SceneReader(channels, options.bands)
        scenes, notes = open_scenes(self.splits[split], reader)
        classes = PolygonClasses(self.folder, list(self.vectors.values()), options)
        files = [self.vectors[path] for path in self.files_of_split(split)]
        rasters = [path for paths in self.splits.values() for path in paths]
        pairs = pair_by_name(rasters, self.files)
        labelled, more = label_scenes(scenes, files, classes, pairs)
        notes = [classes.note, "what no polygon covers is background", *notes, *more]
        count = f"{len(labelled)} scene{'' if len(labelled) == 1 else 's'}"
        text = f"{count} in chips of {side} x {side} pixels; {'; '.join(notes)}"
        return ChipDataset(
            self.folder.absolute().name,
            classes.labels,
            labelled,
            reader,
            DatasetInfo(FORMAT, notes=text),
            side=side,
            overlapping=split == "train",
        )

    def files_of_split(self, split: str) -> list[Path]:
        """Return the files of polygons of a split, and those that are in no split's folder."""
        by_split = {ALL_IMAGES: list(self.files)}
        if ALL_IMAGES not in self.splits:
            names = {path: group_by_split(self.folder, [path]) for path in self.files}
            by_split = {split: [p for p, n in names.items() if split in n or ALL_IMAGES in n]}
        return by_split[split]


def open_scenes(paths: Sequence[Path], reader: SceneReader) -> tuple[list[Scene], list[str]]:
    """Open the scenes that have the bands to read, and return notes on the others.

    Raises:
        ImageError, SettingsError: A file cannot be read, or no scene has the bands.
    """
    opened = [scene for scene in map(Scene.open, paths) if scene is not None]
    candidates = without_layers(opened)
    scenes: list[Scene] = []
    errors: list[UnimaskError] = []
    for scene in candidates:
        try:
            with GdalImage(scene.path) as image:
                choose_bands(image, reader.channels, reader.bands)
        except (ImageError, SettingsError) as error:
            errors.append(error)
        else:
            scenes.append(scene)
    if errors and not scenes:
        raise errors[0]
    notes = [f"rasters of other bands are left out: {len(errors)}, {errors[0]}"] if errors else []
    if len(candidates) < len(opened):
        layer = next(scene.path.name for scene in opened if scene not in candidates)
        count = f"{len(opened) - len(candidates)}, {layer}"
        notes.append(f"rasters of fewer bands on the pixels of others are left out: {count}")
    return scenes, notes


def without_layers(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes without rasters of fewer bands on the same pixels, such as label maps."""
    most: dict[tuple[object, ...], int] = {}
    for scene in scenes:
        grid = scene.path.parent, scene.size, scene.georeference
        most[grid] = max(most.get(grid, 0), scene.num_bands)
    return [
        scene
        for scene in scenes
        if scene.num_bands == most[scene.path.parent, scene.size, scene.georeference]
    ]


def label_scenes(
    scenes: Sequence[Scene],
    files: Sequence[VectorFile],
    classes: PolygonClasses,
    pairs: NamePairs | None,
) -> tuple[list[LabelledScene], list[str]]:
    """Assign polygons to scenes, and return notes on what is left out.

    A scene has the polygons of the file of its name; if names differ, those at its place.

    Args:
        scenes: Scenes of a split.
        files: Files of polygons of the split.
        classes: Classes of the polygons.
        pairs: Files of each scene by name; None if names differ.

    Raises:
        DataError: All polygons of a file lie elsewhere.
    """
    named = {file.path.stem for file in files}
    placement = Placement()
    label_ids = {id(file): classes.read(file) for file in files}
    used = {id(file): np.zeros(len(file.shapes), bool) for file in files}
    labelled: list[LabelledScene] = []
    unlabelled: list[Path] = []
    by_path = {file.path: file for file in files}
    for scene in scenes:
        names = by_path if pairs is None else pairs.get(scene.path, ())
        own = [by_path[path] for path in names if path in by_path]
        shapes, ids = [np.zeros(0, object)], [np.zeros(0, np.int64)]
        for file in own:
            placed = placement.place(file, scene)
            found = placed.find(scene)
            used[id(file)][found] = True
            shapes.append(scene.to_pixels(placed.shapes[found]))
            ids.append(label_ids[id(file)][found])
        objects = SceneObjects(np.concatenate(shapes), np.concatenate(ids))
        has_labels = bool(own) if pairs is not None else bool(len(objects.shapes))
        if has_labels or scene.path.stem in named:
            labelled.append(LabelledScene(scene, objects))
        else:
            unlabelled.append(scene.path)
    check_places(scenes, files, pairs, used)
    if not labelled:
        raise UnlabelledError(f"{scenes[0].path.parent} has no scene with labels: add a file")
    notes = describe_files(files, used)
    if unlabelled:
        what = "file of labels" if pairs is not None else "polygon"
        count = f"{len(unlabelled)}, {unlabelled[0].name}"
        notes.append(f"scenes without a {what} are left out: {count}")
    return labelled, notes


def check_places(
    scenes: Sequence[Scene],
    files: Sequence[VectorFile],
    pairs: NamePairs | None,
    used: Mapping[int, np.ndarray],
) -> None:
    """Test that each file that belongs to a scene by its name, or any file, has polygons in one.

    Raises:
        DataError: It has none.
    """
    empty = [file for file in files if len(file.shapes) and not used[id(file)].any()]
    if pairs is None:
        if empty and not any(found.any() for found in used.values()):
            raise misplaced_error(empty[0], scenes)
        return
    for file in empty:
        own = [scene for scene in scenes if file.path in pairs.get(scene.path, ())]
        if own:
            raise misplaced_error(file, own)


def describe_files(files: Sequence[VectorFile], used: Mapping[int, np.ndarray]) -> list[str]:
    """Return notes on polygons that lie in no scene, on other features, and on assumptions."""
    outside = sum(int((~used[id(file)]).sum()) for file in files)
    others = sum(file.num_others for file in files)
    notes = [f"{outside} polygons lie in no scene"] if outside else []
    misplaced = [file.path for file in files if file.is_misplaced]
    if misplaced:
        notes.append(
            f"{misplaced[0].name} names no reference system, and its coordinates are no degrees: "
            "those of the scenes are assumed"
        )
    if others:
        first = next(file.path for file in files if file.num_others)
        warn_left_out(f"{first}: features that are no polygons are left out: {others}")
    return notes
