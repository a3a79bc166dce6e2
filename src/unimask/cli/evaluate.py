"""`unimask evaluate`: score a model or results on labelled images."""

from pathlib import Path
from typing import Annotated

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
    OverwriteOption,
    PreprocessingOption,
    RulesOption,
    TtaOption,
    WindowOption,
    app,
    parse_bands,
    parse_window,
)
from unimask.cli.model_options import with_rules
from unimask.cli.range_warnings import grouped_range_warnings
from unimask.cli.score_tables import score_tables
from unimask.formats.output_file import check_output_files
from unimask.formats.terminal import Terminal


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
            "general task."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset to score on.")] = "val",
    max_detections: Annotated[
        int, typer.Option(min=1, help="Largest number of instances per class and image that count.")
    ] = 100,
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
    format: FormatOption = None,
    masks: MasksOption = None,
    bands: BandsOption = None,
    chip: ChipOption = None,
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
    """Score a model, or results from any program; scores are percentages, except HD95 (pixels)."""
    check_output_files(json, page, overwrite=overwrite)
    from unimask.evaluation import evaluate as run_evaluation

    console = Terminal()
    options = {"format": format, "masks": masks, "bands": parse_bands(bands), "chip": chip}
    with (
        grouped_range_warnings(),
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        row = bar.add_task("evaluating", total=None)
        report = run_evaluation(
            data,
            with_rules(model, device, dtype, preprocessing, compile, labels, rules),
            results=results,
            categories=categories,
            task=task,
            split=split,
            max_detections=max_detections,
            boundaries=boundaries,
            ap=ap,
            device=device,
            dtype=dtype,  # type: ignore[arg-type]
            preprocessing=preprocessing,  # type: ignore[arg-type]
            compile=compile,
            tta=tta,
            **options,  # type: ignore[arg-type]
            window=parse_window(window),
            json=json,
            page=page,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    console.print(report["description"])
    console.print(f"{report['task']} on {report['images']} images of {report['data']}/{split}")
    for note in report["notes"]:  # type: ignore[attr-defined]
        console.print(note)
    for table in score_tables(report["metrics"], report["per_class"]):  # type: ignore[arg-type]
        console.print()
        console.print(table)
    if page is not None:
        console.print(f"\n{page}", soft_wrap=True)
