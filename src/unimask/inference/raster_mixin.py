"""Method of predictors that segments large images into files."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from unimask.inference.pipeline import Pipeline
from unimask.inference.raster_files import PolygonOptions, RasterRun, StageProgress
from unimask.inference.tiles import TileOptions
from unimask.inference.weights_digest import weights_digest
from unimask.processing.arguments import check_count, check_fraction
from unimask.processing.images import Window
from unimask.rasters.feature_files import PolygonFormat
from unimask.rasters.open_raster import Bands, RasterSource, open_raster
from unimask.rasters.result import RasterResult


class RasterMixin(Pipeline):
    """Method that segments images of any size, in memory that does not depend on their height."""

    def predict_raster(
        self,
        source: RasterSource,
        out: str | Path,
        task: str | None = None,
        *,
        threshold: float | None = None,
        batch_size: int = 1,
        bands: Bands = None,
        window: Window = None,
        tile: int | str = "auto",
        overlap: float = 0.25,
        scale: float = 1.0,
        polygons: Sequence[PolygonFormat] = ("gpkg",),
        tolerance: float = 1.0,
        areas: bool | None = None,
        stem: str | None = None,
        progress: StageProgress | None = None,
    ) -> RasterResult:
        """Segment a raster of any size, read by windows, and write the result by blocks.

        `STEM_ids.tif` holds the id of each pixel's segment, uint32, 0 for none (instance and
        panoptic); `STEM_classes.tif` its label id, 255 for none (semantic and panoptic; from 255
        classes on uint16 and 65535). Both are cloud-optimised GeoTIFFs with the reference system
        and transform of the source. `STEM.gpkg` holds polygons in the source's reference system,
        and `STEM.json` a summary. Pixels without data (nodata, alpha 0) get no label.

        A run that was killed continues where it was if the call is repeated; a hidden folder in
        `out` holds the finished rows.

        Args:
            source: Raster that GDAL opens (GeoTIFF, COG, VRT and others); a folder or a list of
                adjacent or overlapping rasters, which are segmented as one; or a large image.
            out: Output folder: new, empty or from an earlier run.
            task: "semantic", "instance" or "panoptic"; by default the model's most general task.
            threshold: See `predict`.
            batch_size: Largest number of tiles per forward pass.
            bands: Number of the band for each channel, counted from 1, such as (4, 3, 2), or names
                of files in the folder `source` with a band each, such as ("B04", "B03", "B02"). By
                default those of training, or red, green and blue as the file names them, or all
                bands if there are as many as the model has channels.
            window: Values that are mapped to 0 and 255, or "auto" for the 0.1 and 99.9 percentiles
                of each band, measured once. By default that of the training, if any; else 8-bit
                values stay as they are and others are mapped by "auto".
            tile: Side of the tiles in pixels of the network's input, or "auto".
            overlap: Overlap of neighbouring tiles as a share of their side, 0 to 0.5.
            scale: Pixels of the network's input per pixel of the image.
            polygons: Formats of polygon files: "gpkg", "geojson" or both; empty for none.
            tolerance: Largest distance in pixels between a polygon and the outline of its pixels; 0
                for exact outlines.
            areas: Whether polygons have areas in m²; by default if the raster has a coordinate
                reference system.
            stem: Start of the file names; by default the name of the source without its suffix.
            progress: Function called with the name of a stage ("tiles", "polygons", "classes" or
                "writing"), the number of steps that are done, and their total.

        Returns:
            Paths of the files, and the number of segments of each class.

        Raises:
            ImageError: The source cannot be read, or its bands must be chosen.
            MissingExtraError: A package of the extra `geo` is not installed.
            OutputError: `out` holds other files, or an unfinished run with other settings.
            SettingsError: An option is out of range, or areas are unknown.
            TaskError: The model was not trained for the task.

        Example:
            >>> import unimask
            >>> model = unimask.load("rendered-town")  # doctest: +SKIP
            >>> result = model.predict_raster("town.tif", "out", tile=512)  # doctest: +SKIP
            >>> result.paths["gpkg"], result.counts  # doctest: +SKIP
        """
        resolved_task = self.resolve_task(task)
        check_fraction("threshold", threshold, optional=True)
        check_count("batch_size", batch_size)
        tiles = TileOptions(tile, overlap, scale)  # type: ignore[arg-type]
        options = PolygonOptions(tuple(polygons), tolerance, areas)
        options.check_packages()
        image, numbers = open_raster(source, bands)
        with closing(image):
            run = RasterRun(
                self.tile_model(resolved_task),
                self.scale_image(image, numbers, window),
                tiles,
                self.min_score(resolved_task, threshold),
                options,
                Path(out),
                stem or Path(image.name).stem,
                self.run_settings(image.name) | dict(image.options),
            )
            return run.predict(batch_size, progress or ignore_progress)

    def run_settings(self, name: str) -> dict[str, object]:
        """Return what identifies the model and the file of an image."""
        settings: dict[str, object] = {
            "model": self.name,
            "weights": weights_digest(self.network),
            "image": os.path.abspath(name),
        }
        if os.path.isfile(name):
            status = os.stat(name)
            settings |= {"bytes": status.st_size, "modified": status.st_mtime}
        return settings


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Ignore the progress."""
