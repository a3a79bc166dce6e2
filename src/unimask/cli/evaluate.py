"""`unimask evaluate`: a model's scores on labelled pictures."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from unimask.cli.main import (
    CompileOption,
    DataArgument,
    FormatOption,
    MasksOption,
    OverwriteOption,
    PreprocessingOption,
    WindowOption,
    app,
)
from unimask.cli.score_tables import score_tables
from unimask.cli.windows import one_line_per_range, parse_window
from unimask.formats.output_file import check_output_files
from unimask.formats.terminal import Terminal


@app.command()
def evaluate(
    data: DataArgument,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whatever predict takes.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="In place of a model: what predict wrote, COCO results, COCO panoptic, or maps."
        ),
    ] = None,
    categories: Annotated[
        str | None,
        typer.Option(
            help="What category_id of --results numbers: data (its category ids) or labels (from "
            "0). Found out by default."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="The model's widest by default.")] = None,
    split: Annotated[str, typer.Option(help="Part of the dataset.")] = "val",
    max_detections: Annotated[
        int, typer.Option(min=1, help="Instances of a class that count in a picture.")
    ] = 100,
    boundaries: Annotated[
        bool, typer.Option("--boundaries", help="Score outlines too (instance, semantic).")
    ] = False,
    ap: Annotated[
        str | None,
        typer.Option(help="coco or cityscapes: whose AP of instances; the dataset's by default."),
    ] = None,
    format: FormatOption = None,
    masks: MasksOption = None,
    window: WindowOption = None,
    json: Annotated[Path | None, typer.Option(help="File to write the scores to.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="HTML to write: curves, confusion, best and worst pictures.")
    ] = None,
    overwrite: OverwriteOption = False,
    preprocessing: PreprocessingOption = "authors",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
    compile: CompileOption = False,
) -> None:
    """Score a model, or results that any program wrote; all but HD95 (pixels) are percentages."""
    check_output_files(json, page, overwrite=overwrite)
    from unimask.evaluation import evaluate as run_evaluation

    console = Terminal()
    with (
        one_line_per_range(),
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        row = bar.add_task("evaluating", total=None)
        report = run_evaluation(
            data,
            model,
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
            format=format,
            masks=masks,
            window=parse_window(window),
            json=json,
            page=page,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    console.print(report["about"])
    console.print(f"{report['task']} on {report['images']} pictures of {report['data']}/{split}")
    for note in report["notes"]:  # type: ignore[attr-defined]
        console.print(note)
    for table in score_tables(report["metrics"], report["per_class"]):  # type: ignore[arg-type]
        console.print()
        console.print(table)
    if page is not None:
        console.print(f"\n{page}", soft_wrap=True)
