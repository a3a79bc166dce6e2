"""`unimask compare`: test whether two models differ on the same labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unimask.cli.app import DeviceOption, DtypeOption, OverwriteOption, app
from unimask.cli.completion import complete_models, complete_tasks
from unimask.cli.progress import part_bars
from unimask.formats.output_file import check_output_files
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.evaluation.bootstrap import Difference


@app.command()
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="First model (any model of predict), or results (any results of evaluate).",
            autocompletion=complete_models,
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="Second model or results, as for A.",
            autocompletion=complete_models,
        ),
    ],
    data: Annotated[Path, typer.Option(help="Path of the dataset folder.")],
    task: Annotated[
        str | None,
        typer.Option(
            help="Task to score: semantic, instance or panoptic; by default the most general "
            "task of both.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset to score on.")] = "val",
    ap: Annotated[
        str | None,
        typer.Option(
            help="Definition of AP for instances: coco or cityscapes; by default that of the "
            "dataset."
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=1, help="Number of bootstrap resamples for the intervals.")
    ] = 1000,
    json: Annotated[Path | None, typer.Option(help="JSON file to write the comparison to.")] = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
) -> None:
    """Compare the scores of two models, with 95 % bootstrap intervals of the differences."""
    check_output_files(json, overwrite=overwrite)
    from unimask.evaluation import compare as run_compare

    console = Terminal()
    with part_bars(console) as progress:
        comparison = run_compare(
            first,
            second,
            data,
            task=task,
            split=split,
            ap=ap,
            resamples=resamples,
            device=device,
            dtype=dtype,  # type: ignore[arg-type]
            json=json,
            overwrite=overwrite,
            progress=progress,
        )
    console.print(
        f"{comparison.task} on {comparison.images} images of {data}/{split}", soft_wrap=True
    )
    table = Table(
        "score", *comparison.names, "change", "95 % interval", "", box=None, pad_edge=False
    )
    for name, score in comparison.scores.items():
        table.add_row(name, *format_cells(score))
    console.print(table)
    console.print(
        f"change is the second less the first; {comparison.resamples} resamples of images"
    )


def format_cells(score: "Difference") -> list[str]:
    """Format the values, difference and interval of one score."""
    if score.change is None or score.low is None or score.high is None:
        values = ("not defined" if v is None else f"{v:.2f}" for v in (score.first, score.second))
        return [*values, "", "", ""]
    verdict = (
        "not sure" if not score.is_significant else ("better" if score.change > 0 else "worse")
    )
    interval = f"{score.low:+.2f} to {score.high:+.2f}"
    return [f"{score.first:.2f}", f"{score.second:.2f}", f"{score.change:+.2f}", interval, verdict]
