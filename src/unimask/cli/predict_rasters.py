"""`unimask predict` for rasters: read by windows, and written as GeoTIFF and polygons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.progress import Progress, TaskID
from rich.table import Table

from unimask.cli.messages import print_error, report_failures
from unimask.cli.result_lines import COLUMNS, describe_counts, print_empty
from unimask.errors import ImageError, SettingsError, printable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from unimask.inference import Predictor
    from unimask.rasters.open_raster import RasterSource
    from unimask.rasters.result import RasterResult

STAGES = ("tiles", "polygons", "classes", "writing")
"""Stages of a raster, as `predict_raster` names them."""


@dataclass(frozen=True)
class RasterOptions:
    """Options that apply to rasters only.

    Attributes:
        bands: Text of --bands, such as "4,3,2" or "B04,B03,B02".
        polygons: Text of --polygons: formats separated by commas, or "none".
        tolerance: Largest distance in pixels between polygons and the outlines of pixels.
        areas: Whether areas in m² are required.
        mosaic: Whether all sources are one image.
    """

    bands: str | None
    polygons: str
    tolerance: float
    areas: bool
    mosaic: bool

    def parse(self) -> dict[str, Any]:
        """Return the options as arguments of `predict_raster`.

        Raises:
            SettingsError: An option is invalid.
        """
        from unimask.rasters.feature_files import PolygonFormat

        formats = tuple(self.polygons.split(",")) if self.polygons != "none" else ()
        known = get_args(PolygonFormat)
        if not set(formats) <= set(known):
            raise SettingsError(
                f"--polygons {self.polygons}: pass {', '.join(known)} or both, or none"
            )
        return {
            "bands": parse_bands_or_files(self.bands),
            "polygons": formats,
            "tolerance": self.tolerance,
            "areas": self.areas or None,
        }

    @property
    def joins_files(self) -> bool:
        """Whether several files make one image: a mosaic, or bands in a file each."""
        return self.mosaic or isinstance((parse_bands_or_files(self.bands) or (0,))[0], str)

    def join_files(
        self, sources: Sequence[str], to: str | None, tile: str, *, confidence: bool, tta: bool
    ) -> "dict[str, RasterSource]":
        """Return the images that the files of sources make, by the names of their results.

        Args:
            sources: Folders and files.
            to: Format of a dataset to write, None for none.
            tile: Text of --tile.
            confidence: Whether the confidence of every pixel is requested.
            tta: Whether images are to be predicted from several views.

        Raises:
            ImageError: A source names no rasters.
            SettingsError: Bands are in files, and a source is no folder; or an option does not go
                with images of several files.
        """
        check_joined(to, tile, confidence=confidence, tta=tta)
        from unimask.processing.images import list_images
        from unimask.rasters.open_raster import list_rasters

        if not self.mosaic:
            for source in sources:
                if not Path(source).is_dir():
                    raise SettingsError(
                        f"--bands {self.bands} names files, but {source} is no folder: pass the "
                        "folder that holds them, or numbers of bands from 1 on, such as 4,3,2"
                    )
            return {Path(source).absolute().name: source for source in sources}
        folders = [source for source in sources if Path(source).is_dir()]
        if folders == list(sources)[:1] == list(sources):
            return {Path(sources[0]).absolute().name: sources[0]}
        paths: list[str | Path] = []
        for source in sources:
            paths += list_rasters(Path(source)) if source in folders else list_images(source)
        return {"mosaic": paths}

    def separate_rasters(
        self, stems: dict[str, str], *, confidence: bool, tta: bool
    ) -> dict[str, str]:
        """Remove the georeferenced rasters from images, and return them.

        Args:
            stems: Paths of images with the stems of their result files.
            confidence: Whether the confidence of every pixel is requested.
            tta: Whether images are to be predicted from several views.

        Raises:
            SettingsError: An option does not go with rasters, or is for rasters and there are none.
        """
        from unimask.rasters.recognition import has_rasterio, is_raster

        paths = [path for path in stems if has_rasterio() and is_raster(path)]
        if paths and (confidence or tta):
            option = "--confidence" if confidence else "--tta"
            raise SettingsError(
                f"{option} does not go with the raster {paths[0]}: pass --tile none"
            )
        for name, is_given in (
            ("--bands", self.bands is not None),
            ("--polygons", self.polygons != "gpkg"),
            ("--areas", self.areas),
        ):
            if is_given and not paths:
                raise SettingsError(
                    f"{name} applies to georeferenced rasters, of which there is none: omit it"
                )
        return {path: stems.pop(path) for path in paths}


def check_joined(to: str | None, tile: str, *, confidence: bool, tta: bool) -> None:
    """Test that no option contradicts images of several files.

    Raises:
        SettingsError: One does.
    """
    given = {
        f"--to {to}": to is not None,
        "--tile none": tile == "none",
        "--confidence": confidence,
        "--tta": tta,
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise SettingsError(f"{option} does not go with images of several files: omit it")


def parse_bands_or_files(text: str | None) -> tuple[int, ...] | tuple[str, ...] | None:
    """Parse the option --bands: numbers of bands, or else names of files.

    Raises:
        SettingsError: A name is empty.
    """
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if all(part.isascii() and part.isdecimal() for part in parts):
        return tuple(map(int, parts))
    if not all(parts):
        raise SettingsError(f"--bands {text}: pass bands such as 4,3,2, or files: B04,B03,B02")
    return parts


def write_joined(
    predictor: "Predictor",
    images: "Mapping[str, RasterSource]",
    out: Path,
    **options: Any,
) -> None:
    """Segment images of several files each, and list their results.

    Args:
        predictor: The model.
        images: Images by the names of their results.
        out: Output folder.
        **options: Arguments of `predict_raster`.
    """
    failures: list[str] = []

    def segment(name: str, out: Path, **options: Any) -> "RasterResult":
        return predictor.predict_raster(images[name], out, **options)

    write_rasters(segment, {name: name for name in images}, out, failures, **options)
    report_failures(failures)


def write_rasters(
    segment: "Callable[..., RasterResult]",
    stems: Mapping[str, str],
    out: Path,
    failures: list[str],
    **options: Any,
) -> None:
    """Segment rasters one after another, and list their results.

    Args:
        segment: Function that segments a raster: `predict_raster` or `predict_slide` of a model.
        stems: Start of the names of the files of each raster.
        out: Output folder.
        failures: List to which the errors of unreadable rasters are added.
        **options: Arguments of the function.
    """
    console = Terminal()
    table = Table("raster", "size", "found", "s", box=None, pad_edge=False)
    empty: list[str] = []
    with Progress(
        *COLUMNS, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        for path, stem in stems.items():
            rows: dict[str, TaskID] = {}

            def report(stage: str, done: int, total: int, rows=rows, path=path) -> None:
                if stage not in rows:
                    rows[stage] = bar.add_task(f"{Path(path).name}: {stage}", rate="")
                bar.update(rows[stage], completed=done, total=total, visible=done < total)

            try:
                result = segment(path, out, stem=stem, progress=report, **options)
            except ImageError as error:
                failures.append(str(error))
                continue
            except KeyboardInterrupt:
                hint = "run the same command again to continue with the rows that are left"
                print_error(f"{path} is not finished: {hint}")
                raise
            table.add_row(*format_cells(path, result))
            if result.candidates:
                scores = ", ".join(f"{label} {score:.2f}" for label, score in result.candidates)
                name = printable(Path(path).name)
                empty.append(f"{name}: nothing was found; highest scores: {scores}")
    if table.row_count:
        console.print(table)
        print_empty(console, empty)
        console.print(f"written to {out}/", soft_wrap=True)


def format_cells(path: str, result: "RasterResult") -> tuple[str, str, str, str]:
    """Return the table row of a result."""
    height, width = result.size
    seconds = sum(result.speed.values()) / 1000
    found = describe_counts(Counter(result.counts))
    return printable(Path(path).name), f"{height}x{width}", found, f"{seconds:.0f}"
