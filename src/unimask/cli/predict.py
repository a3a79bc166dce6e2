"""`unimask predict`: segment images and write overlays, id maps and JSON files."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from unimask.cli.app import (
    BatchSizeOption,
    CompileOption,
    DeviceOption,
    DtypeOption,
    LabelsOption,
    MaxPixelsOption,
    OutlinesOption,
    OutOption,
    PreprocessingOption,
    RulesOption,
    TtaOption,
    WindowOption,
    app,
    parse_tile,
    parse_window,
)
from unimask.cli.completion import complete_models, complete_tasks
from unimask.cli.messages import report_failures
from unimask.cli.model_options import load_model
from unimask.cli.predict_dataset import check_dataset_options, choose_task, write_dataset
from unimask.cli.predict_rasters import RasterOptions, write_joined, write_rasters
from unimask.cli.range_warnings import grouped_range_warnings
from unimask.cli.result_lines import (
    COLUMNS,
    describe_candidates,
    describe_segments,
    format_rate,
    print_empty,
)
from unimask.errors import ImageError, StorageError, UnimaskError, printable
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.results import Result

MAX_PENDING_WRITES = 2
"""Largest number of results waiting to be written; each holds its image."""


@app.command()
def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Image files, folders, glob patterns or http(s) addresses."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model to run (required): a bundled name such as nuclei, a folder, a training "
            "run or a Hub id.",
            autocompletion=complete_models,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task to run: panoptic, instance or semantic; by default the one that --to "
            "represents best, or else the model's most general task.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Minimum score of a segment, or minimum confidence of a pixel for semantic, from "
            "0 to 1.",
        ),
    ] = None,
    out: OutOption = Path("out"),
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Write the confidence of every pixel too, as a 16-bit image (0 to 65535).",
        ),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            help="Write one dataset for labelling or training instead, in a new --out: coco, "
            "coco-panoptic, semantic, instance-ids, yolo, labelme, cvat or geojson."
        ),
    ] = None,
    link: Annotated[
        bool,
        typer.Option("--link", help="With --to: link the images instead of copying them."),
    ] = False,
    outlines: OutlinesOption = None,
    recursive: Annotated[
        bool, typer.Option(help="Search folders recursively; --out repeats their subfolders.")
    ] = True,
    window: WindowOption = None,
    max_pixels: MaxPixelsOption = 200_000_000,
    batch_size: BatchSizeOption = 1,
    tile: Annotated[
        str,
        typer.Option(
            help="Side of overlapping tiles in which to segment large images, in pixels of the "
            "network's input; auto divides only georeferenced rasters, and .npy files above "
            "--max-pixels; none divides nothing.",
        ),
    ] = "auto",
    overlap: Annotated[
        float,
        typer.Option(help="Overlap of neighbouring tiles as a share of their side, 0 to 0.5."),
    ] = 0.25,
    scale: Annotated[
        float,
        typer.Option(help="Pixels of the network's input per pixel of the image, with --tile."),
    ] = 1.0,
    bands: Annotated[
        str | None,
        typer.Option(
            help="Rasters: band of each channel, counted from 1, such as 4,3,2; or, with a folder "
            "that holds a file for each band, names of these files, such as B04,B03,B02."
        ),
    ] = None,
    mosaic: Annotated[
        bool,
        typer.Option(
            "--mosaic",
            help="Rasters: segment all sources (a folder, or several files) as one image; where "
            "they overlap, later ones are on top.",
        ),
    ] = False,
    polygons: Annotated[
        str,
        typer.Option(
            help="Rasters: files of polygons to write: gpkg (GeoPackage), geojson, both (separated "
            "by a comma), or none."
        ),
    ] = "gpkg",
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="Rasters: largest distance in pixels between polygons and the outlines of pixels.",
        ),
    ] = 1.0,
    areas: Annotated[
        bool,
        typer.Option(
            "--areas",
            help="Rasters: fail without a coordinate reference system, which areas in m² need.",
        ),
    ] = False,
    preprocessing: PreprocessingOption = "authors",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    compile: CompileOption = False,
    tta: TtaOption = False,
    labels: LabelsOption = None,
    rules: RulesOption = None,
) -> None:
    """Segment images and write an overlay, an id map and a JSON file for each, or one dataset."""
    shared: dict[str, Any] = {
        "threshold": threshold,
        "batch_size": batch_size,
        "window": parse_window(window),
        "tile": parse_tile(tile, confidence),
        "overlap": overlap,
        "scale": scale,
    }
    raster_options = RasterOptions(bands, polygons, tolerance, areas, mosaic)
    raster_arguments = {"task": task, **shared, **raster_options.parse()}
    check_writable(out)
    check_dataset_options(to, out, sources, outlines=outlines, link=link, confidence=confidence)
    load = partial(load_model, model, device, dtype, preprocessing, compile, labels, rules)
    if raster_options.joins_files:
        images = raster_options.join_files(sources, to, tile, confidence=confidence, tta=tta)
        return write_joined(load(), images, out, **raster_arguments)
    failures: list[str] = []
    stems = unique_stems(find_images(sources, recursive, failures))
    candidates = stems if to is None and tile != "none" else {}
    rasters = raster_options.separate_rasters(candidates, confidence=confidence, tta=tta)
    if to is None:
        check_result_names(out, stems, confidence)
    predictor = load()
    if rasters:
        write_rasters(predictor.predict_raster, rasters, out, failures, **raster_arguments)
        if not stems:
            return report_failures(failures)
    shared |= {"max_pixels": max_pixels, "retain_confidence": confidence, "tta": tta}
    images_task = choose_task(to, task, predictor.description)
    outcomes = predictor.stream(list(stems), images_task, on_error="yield", **shared)
    with grouped_range_warnings(), closing(outcomes):
        results = collect_failures(zip(stems, outcomes, strict=True), failures)
        if to is None:
            write_results(results, stems, out, failures, confidence)
        else:
            write_dataset(
                results, out, failures, to=to, total=len(stems), link=link, outlines=outlines
            )


def check_result_names(out: Path, stems: dict[str, str], confidence: bool) -> None:
    """Test that no file of a result would replace a file that unimask did not write.

    Raises:
        OutputError: A file is in the way, or the folder holds other files.
    """
    from unimask.formats.output_folder import open_output_folder
    from unimask.results import result_file_names

    names = (result_file_names(stem, confidence) for stem in stems.values())
    open_output_folder(out).check(name for group in names for name in group.values())


def collect_failures(
    outcomes: "Iterable[tuple[str, Result | ImageError]]", failures: list[str]
) -> Iterator[tuple[str, "Result"]]:
    """Yield each path with its result; add errors of unreadable images to `failures`."""
    for path, outcome in outcomes:
        if isinstance(outcome, ImageError):
            failures.append(str(outcome))
        else:
            yield path, outcome
        del outcome  # else its image stays in memory while the next one is read


def write_results(
    results: Iterable[tuple[str, "Result"]],
    stems: dict[str, str],
    out: Path,
    failures: list[str],
    confidence: bool,
) -> None:
    """Write and list results as they arrive; report the failures at the end.

    Writing stops at the first storage error, since later results would fail as well.
    """
    from unimask.inference.thread_map import thread_map

    def write(item: tuple[str, "Result"]) -> None:
        path, result = item
        result.save(out, stems[path], confidence=confidence)

    def pixels(item: tuple[str, "Result"]) -> int:
        return item[1].size[0] * item[1].size[1]

    console = Terminal()
    table = Table("image", "size", "found", "ms", box=None, pad_edge=False)
    empty: list[str] = []
    with (
        Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar,
        closing(thread_map(results, write, MAX_PENDING_WRITES, pixels)) as written,
    ):
        row = bar.add_task("segmenting", total=len(stems), rate="")
        for (path, result), future in written:
            try:
                future.result()
            except StorageError as error:
                failures.append(format_storage_error(error, table.row_count, len(stems)))
                break
            except UnimaskError as error:
                failures.append(str(error))
                continue
            finally:
                bar.advance(row)
                bar.update(row, rate=format_rate(bar.tasks[row].speed))
            table.add_row(*format_cells(path, stems[path], result))
            if result.candidates:
                empty.append(describe_candidates(path, result))
            del result, future
    print_results(console, table, out, empty)
    report_failures(failures)


def print_results(console: Terminal, table: Table, out: Path, empty: list[str]) -> None:
    """Print the table of results, and the highest scores of images without segments."""
    if not table.row_count:
        return
    console.print(table)
    print_empty(console, empty)
    console.print(f"written to {out}/", soft_wrap=True)


def format_storage_error(error: StorageError, written: int, total: int) -> str:
    """Format a storage error with the number of results written and how to continue."""
    return (
        f"{error}. Stopped after {written} of {total} results: free disk space and run the same "
        "command again, or choose another --out"
    )


def format_cells(path: str, stem: str, result: "Result") -> tuple[str, str, str, str]:
    """Return the table row of a result."""
    name = PurePosixPath(stem).parent / Path(path).name
    height, width = result.size
    milliseconds = sum(result.speed.values())
    return (
        printable(str(name)),
        f"{height}x{width}",
        describe_segments(result),
        f"{milliseconds:.0f}",
    )


def find_images(
    sources: list[str], recursive: bool, failures: list[str]
) -> Iterator[tuple[str, str]]:
    """Yield the images that the arguments name, each with the stem of its result files.

    Images of a folder keep its subfolders. Arguments without images are added to `failures`.
    """
    from unimask.inference.sources import list_sources

    for source in sources:
        if source.startswith(("http://", "https://")):
            yield source, Path(source).stem
            continue
        folder = Path(source) if Path(source).is_dir() else None
        try:
            for path in list_sources(source, recursive=recursive):
                inner = Path(path.name) if folder is None else path.relative_to(folder)
                yield str(path), inner.with_suffix("").as_posix()
        except UnimaskError as error:
            failures.append(str(error))


def unique_stems(images: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Choose a unique stem for the result files of each image, different from the folder's record.

    Names that differ only in case count as equal, because some file systems ignore case.
    """
    from unimask.formats.output_folder import RECORD_NAME

    used: set[str] = set()
    stems: dict[str, str] = {}
    for path, stem in images:
        if path in stems:
            continue
        first = stem = stem or "image"
        number = 1
        while (
            stem.casefold() in used or f"{PurePosixPath(stem).name}.json".casefold() == RECORD_NAME
        ):
            number += 1
            stem = f"{first}_{number}"
        used.add(stem.casefold())
        stems[path] = stem
    return stems
