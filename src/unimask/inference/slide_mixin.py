"""Method of predictors that segments slides and microscopy images into files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unimask.inference.raster_mixin import RasterMixin
from unimask.rasters.ome_files import band_numbers, open_slide
from unimask.rasters.result import RasterResult


class SlideMixin(RasterMixin):
    """Method that segments slides of any size at one level of resolution."""

    def predict_slide(
        self,
        source: str | Path,
        out: str | Path,
        task: str | None = None,
        *,
        mpp: float | None = None,
        level: int | None = None,
        channels: Sequence[int | str] | None = None,
        tissue: bool = True,
        **options: Any,
    ) -> RasterResult:
        """Segment a whole-slide image, OME-TIFF or OME-Zarr, read by windows.

        `STEM.geojson` holds one annotation per segment in pixels of the finest level, which QuPath
        opens; the other files are those of `predict_raster`, at the level that was read.

        Args:
            source: File that OpenSlide reads, `.ome.tif`, or the folder of an OME-Zarr.
            out: Output folder: new, empty or from an earlier run.
            task: "semantic", "instance" or "panoptic"; by default the model's most general task.
            mpp: Micrometres per pixel of the network's input. The coarsest level that is at least
                as fine is read, and scaled. By default, a level is read as it is.
            level: Index of the level, 0 for the finest. By default, `mpp` chooses it.
            channels: Number (from 1) or name of the channel for each channel of the model; numbers
                may be repeated, such as (1, 1, 1).
            tissue: Whether glass is left out of images in bright field (RGB).
            options: Other keyword arguments of `predict_raster`, such as `tile` and `batch_size`.

        Returns:
            Paths of the files, and the number of segments of each class.

        Raises:
            ImageError: The file is missing, damaged or of another kind, has no such level or
                channel, or does not state its micrometres per pixel.
            MissingExtraError: A package of the extra `slide` is not installed.
            OutputError, SettingsError, TaskError: See `predict_raster`.

        Example:
            >>> import unimask
            >>> model = unimask.load("nuclei")  # doctest: +SKIP
            >>> result = model.predict_slide("slide.svs", "out", mpp=0.5)  # doctest: +SKIP
            >>> result.paths["geojson"], result.counts  # doctest: +SKIP
        """
        self.resolve_task(task)
        image = open_slide(source, mpp=mpp, level=level, tissue=tissue)
        stem = slide_stem(image.name)
        settings = {"polygons": ("geojson",), "stem": stem, **options}
        settings["scale"] = image.scale * options.get("scale", 1.0)
        if channels is not None:
            settings["bands"] = band_numbers(image, channels)
        return self.predict_raster(image, out, task, **settings)


def slide_stem(name: str) -> str:
    """Return the start of the names of a slide's files: its own without its suffixes."""
    stem = Path(name).name
    for suffix in (".ome.tif", ".ome.tiff", ".ome.zarr", Path(stem).suffix):
        if suffix and stem.lower().endswith(suffix.lower()):
            return stem[: -len(suffix)]
    return stem
