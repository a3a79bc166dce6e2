"""Prediction of large images into files: rasters, polygons and a summary."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from unimask.errors import SettingsError
from unimask.extras import import_extra
from unimask.formats.output_folder import OutputFolder, open_output_folder
from unimask.inference.tile_rows import RowsResult, TileRows
from unimask.inference.tiles import TileModel, TileOptions, check_range
from unimask.processing.arguments import abbreviate
from unimask.processing.tiled.collect import warn_about_cut_objects
from unimask.rasters.feature_files import PolygonFormat, open_feature_file
from unimask.rasters.features import FeatureWriter
from unimask.rasters.polygons import Ground
from unimask.rasters.result import RasterResult
from unimask.rasters.scaled_image import ScaledImage
from unimask.rasters.segment_files import SegmentFiles, TileSegments
from unimask.rasters.unfinished import UnfinishedRun

if TYPE_CHECKING:
    from unimask.tiling.windows import TileGrid

TOLERANCES = (0.0, 100.0)
"""Smallest and largest tolerance of polygons in pixels."""

StageProgress = Callable[[str, int, int], None]
"""Function called with the name of a stage, the number of steps that are done, and their total."""


@dataclass(frozen=True)
class PolygonOptions:
    """How polygons are written.

    Attributes:
        formats: Formats of the files; none for no polygons.
        tolerance: Largest distance in pixels between a polygon and the outline of the pixels.
        areas: Whether areas in m² are computed; None computes them if the image has a coordinate
            reference system.

    Raises:
        SettingsError: A format is unknown, or the tolerance is out of range.
    """

    formats: tuple[PolygonFormat, ...] = ("gpkg",)
    tolerance: float = 1.0
    areas: bool | None = None

    def __post_init__(self) -> None:
        for kind in self.formats:
            if kind not in get_args(PolygonFormat):
                known = ", ".join(get_args(PolygonFormat))
                raise SettingsError(f"polygons {abbreviate(kind)}: choose some of {known}")
        check_range("tolerance", self.tolerance, *TOLERANCES)

    def check_packages(self) -> None:
        """Test that what writes the files is installed.

        Raises:
            MissingExtraError: It is not.
        """
        names = ["rasterio"] + (["shapely", "pyproj"] if self.formats else [])
        for name in names + (["pyogrio"] if "gpkg" in self.formats else []):
            import_extra(name, "geo")


@dataclass(frozen=True, eq=False)
class RasterRun:
    """Prediction of a large image into files.

    Attributes:
        model: The model.
        source: Channels of the image.
        tiles: How to divide the image.
        threshold: See `Predictor.predict`.
        polygons: How polygons are written.
        folder: Output folder.
        stem: Start of the names of the files.
        settings: Everything else that the results depend on, by which an unfinished run is
            recognised.
    """

    model: TileModel
    source: ScaledImage
    tiles: TileOptions
    threshold: float | None
    polygons: PolygonOptions
    folder: Path
    stem: str
    settings: dict[str, object]

    @property
    def unfinished(self) -> Path:
        """Folder of the finished rows, which is removed at the end."""
        stem = Path(self.stem)
        return self.folder / stem.parent / f".{stem.name}.unfinished"

    def file_names(self) -> dict[str, str]:
        """Return the names of the files, relative to the output folder."""
        names = {"ids": f"{self.stem}_ids.tif", "classes": f"{self.stem}_classes.tif"}
        names.pop({"semantic": "ids", "instance": "classes"}.get(self.model.task, ""), None)
        names |= {kind: f"{self.stem}.{kind}" for kind in self.polygons.formats}
        return names | {"json": f"{self.stem}.json"}

    def predict(self, batch_size: int, progress: StageProgress) -> RasterResult:
        """Segment the image, or the rest of it, and write the files.

        Args:
            batch_size: Largest number of tiles per forward pass.
            progress: Function called now and then.
        """
        self.polygons.check_packages()
        ground = Ground(self.source.source.georeference, self.source.size, self.source.source.name)
        if self.polygons.areas:
            ground.check_areas()
        output = open_output_folder(self.folder)
        names = self.file_names()
        output.check(names.values())
        output.create_record()
        run = UnfinishedRun(self.unfinished, self.all_settings())
        with run.lock(), run.removed_if_empty():
            rows = TileRows(self.model, self.source, self.tiles, self.threshold, run)
            result = rows.segment(batch_size, lambda *done: progress("tiles", *done))
            start = time.perf_counter()
            files, paths = self.write_files(run, result, ground, progress)
            warn_about_cut_objects(rows.grid, files.num_cut, sum(files.counts.values()))
            speed = {**result.speed, "files": 1000 * (time.perf_counter() - start)}
            self.write_summary(paths["json"], files.counts, ground, speed)
            move_files(output, {names[kind]: path for kind, path in paths.items()})
        run.remove()
        return RasterResult(
            self.model.task,
            self.source.size,
            self.model.labels,
            {kind: self.folder / name for kind, name in names.items()},
            dict(files.counts),
            speed,
            () if files.counts else result.candidates,
        )

    def all_settings(self) -> dict[str, object]:
        """Return everything that the results depend on."""
        return {
            **self.settings,
            "size": list(self.source.size),
            "task": self.model.task,
            "tile": [self.grid.rows.tile, self.grid.columns.tile],
            "overlap": self.tiles.overlap,
            "scale": self.tiles.scale,
            "threshold": self.threshold,
            "bands": [band + 1 for band in self.source.bands],
            "limits": self.source.limits,
        }

    @property
    def grid(self) -> "TileGrid":
        """Tiles of the image."""
        return self.model.divide(self.source.size, self.tiles)[0]

    def write_files(
        self,
        run: UnfinishedRun,
        result: RowsResult,
        ground: Ground,
        progress: StageProgress,
    ) -> tuple[SegmentFiles, dict[str, Path]]:
        """Write rasters and polygons into the folder of the unfinished run."""
        postprocessing = self.model.postprocessing
        segments = TileSegments(
            self.model.task,
            self.model.labels,
            self.source.size,
            run.objects,
            run.strips,
            postprocessing.overlap_threshold,
            result.stuff_scores,
        )
        has_areas = ground.crs is not None if self.polygons.areas is None else self.polygons.areas
        paths = {kind: run.path / f"polygons.{kind}" for kind in self.polygons.formats}
        for path in paths.values():
            path.unlink(missing_ok=True)
        writer = None
        if paths:
            writer = FeatureWriter(
                [
                    open_feature_file(path, ground, kind=kind, has_areas=has_areas)
                    for kind, path in zip(self.polygons.formats, paths.values(), strict=True)
                ],
                ground,
                self.model.labels,
                tolerance=self.polygons.tolerance,
                has_areas=has_areas,
            )
        files = SegmentFiles(segments, ground, run.path, writer, progress)
        rasters = files.write()
        return files, {**rasters, **paths, "json": run.path / "summary.json"}

    def write_summary(
        self, path: Path, counts: Counter[str], ground: Ground, speed: dict[str, float]
    ) -> None:
        """Write what was predicted, and the number of segments of each class."""
        reference = ground.georeference
        content = {
            "task": self.model.task,
            "model": self.model.name,
            "image": self.source.source.name,
            "size": list(self.source.size),
            "crs": None if reference is None else reference.crs,
            "transform": None if reference is None else list(reference.transform),
            "labels": list(self.model.labels.names),
            "is_thing": list(self.model.labels.is_thing),
            "counts": dict(counts),
            "settings": self.all_settings(),
            "speed": {stage: round(ms, 3) for stage, ms in speed.items()},
        }
        path.write_text(json.dumps(content), encoding="utf-8")


def move_files(output: OutputFolder, paths: dict[str, Path]) -> None:
    """Move finished files into the output folder, under names relative to it."""
    for name, path in paths.items():
        with output.new_file(name) as temporary:
            os.replace(path, temporary)


__all__ = ["PolygonOptions", "RasterRun", "StageProgress"]
