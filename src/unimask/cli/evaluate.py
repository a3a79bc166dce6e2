"""`unimask evaluate`: score a model or results on labelled images."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from unimask.cli.app import (
    BandsOption,
    ChipOption,
    CompileOption,
    DataArgument,
    DeviceOption,
    DtypeOption,
    FormatOption,
    LabelsOption,
    MasksOption,
    NamesOption,
    OverwriteOption,
    PreprocessingOption,
    RulesOption,
    TtaOption,
    WindowOption,
    app,
    parse_bands,
    parse_names,
    parse_window,
)
from unimask.cli.completion import complete_models, complete_tasks
from unimask.cli.model_options import with_rules
from unimask.cli.range_warnings import grouped_range_warnings
from unimask.cli.score_tables import score_tables, volume_tables
from unimask.errors import SettingsError
from unimask.formats.output_file import check_output_files
from unimask.formats.terminal import Terminal

MAX_DETECTIONS = 100
"""Default number of instances that count per class and image."""


@app.command()
def evaluate(
    data: DataArgument,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model to score: a bundled name such as nuclei, a folder, a training run or "
            "a Hub id.",
            autocompletion=complete_models,
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Results to score instead of a model: predict's output folder, COCO results, "
            "COCO panoptic, or label maps."
        ),
    ] = None,
    categories: Annotated[
        str | None,
        typer.Option(
            help="Meaning of category_id in --results: data (the dataset's category ids) or "
            "labels (label ids from 0). Detected by default."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task to score: semantic, instance or panoptic; by default the model's most "
            "general task.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset to score on.")] = "val",
    tracks: Annotated[
        bool,
        typer.Option(
            "--tracks",
            help="Score tracks on labelled videos (YouTube-VIS, MOTS, KITTI-STEP); --results are "
            "YouTube-VIS JSON or MOTS text.",
        ),
    ] = False,
    max_detections: Annotated[
        int, typer.Option(min=1, help="Largest number of instances per class and image that count.")
    ] = MAX_DETECTIONS,
    boundaries: Annotated[
        bool,
        typer.Option(
            "--boundaries", help="Compute boundary scores as well (instance and semantic)."
        ),
    ] = False,
    ap: Annotated[
        str | None,
        typer.Option(
            help="Definition of AP for instances: coco or cityscapes; by default that of the "
            "dataset."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Volumes: tolerance of NSD in mm.", show_default="2"),
    ] = None,
    names: NamesOption = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    bands: BandsOption = None,
    chip: ChipOption = None,
    channels: Annotated[
        int | None,
        typer.Option(min=1, help="Results: number of channels per image.", show_default="3"),
    ] = None,
    window: WindowOption = None,
    json: Annotated[Path | None, typer.Option(help="JSON file to write the scores to.")] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="HTML report to write: curves, confusion matrix, best and worst images."),
    ] = None,
    overwrite: OverwriteOption = False,
    preprocessing: PreprocessingOption = "authors",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    compile: CompileOption = False,
    tta: TtaOption = False,
    labels: LabelsOption = None,
    rules: RulesOption = None,
) -> None:
    """Score a model, or results from any program; scores are percentages, except HD95.

    HD95 is in pixels; for volumes, which are scored per structure and case too, in mm.
    """
    check_output_files(json, page, overwrite=overwrite)
    images: dict[str, Any] = {
        "max_detections": max_detections,
        "boundaries": boundaries,
        "ap": ap,
        "tolerance": tolerance,
        "tta": tta,
        "names": parse_names(names),
        "masks": masks,
        "bands": parse_bands(bands),
        "chip": chip,
        "channels": channels,
        "window": parse_window(window),
        "page": page,
    }
    if tracks:
        check_track_options(images)
    from unimask.evaluation import evaluate as evaluate_images
    from unimask.evaluation import evaluate_tracks

    console = Terminal()
    with evaluation_bar(console) as progress:
        options: dict[str, Any] = {
            "results": results,
            "categories": categories,
            "task": task,
            "split": split,
            "format": format,
            "device": device,
            "dtype": dtype,
            "preprocessing": preprocessing,
            "compile": compile,
            "json": json,
            "overwrite": overwrite,
            "progress": progress,
        }
        predictor = with_rules(model, device, dtype, preprocessing, compile, labels, rules)
        run = evaluate_tracks if tracks else partial(evaluate_images, **images)
        report = run(data, predictor, **options)
    print_report(console, report, page)


@contextmanager
def evaluation_bar(console: Terminal) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yield the function that takes finished and all images."""
    with (
        grouped_range_warnings(),
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        row = bar.add_task("evaluating", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def check_track_options(options: Mapping[str, object]) -> None:
    """Test that no option of images was given for tracks.

    Raises:
        SettingsError: One was.
    """
    default = {"max_detections": MAX_DETECTIONS}
    for name, value in options.items():
        if value not in (None, False, default.get(name)):
            raise SettingsError(
                f"--{name.replace('_', '-')} applies to images, not to tracks: omit it, or --tracks"
            )


def print_report(console: Terminal, report: dict[str, Any], page: Path | None) -> None:
    """Print a report: what was scored, notes and tables."""
    console.print(report["description"])
    frames = f"{report['images']} images"
    if "videos" in report:
        noun = "video" if report["videos"] == 1 else "videos"
        frames = f"tracks in {report['images']} frames of {report['videos']} {noun}"
    console.print(f"{report['task']} on {frames} of {report['data']}/{report['split']}")
    for note in report["notes"]:
        console.print(note)
    for table in score_tables(report["metrics"], report["per_class"]):
        console.print()
        console.print(table)
    for table in volume_tables(report.get("volumes")):
        console.print()
        console.print(table)
    if page is not None:
        console.print(f"\n{page}", soft_wrap=True)
