"""`unimask benchmark`: measure a model's speed and compare it with the hardware's limits."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from unimask.cli.app import (
    CompileOption,
    DeviceOption,
    DtypeOption,
    OverwriteOption,
    app,
    parse_size,
)
from unimask.cli.completion import complete_models, complete_tasks
from unimask.formats.output_file import check_output_files, write_report
from unimask.formats.terminal import Terminal

COLUMNS = ("stage", "median ms", "min ms", "GFLOP", "floor ms", "of the floor")


@app.command()
def benchmark(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Model to measure: any model of predict, or the name of a preset.",
            autocompletion=complete_models,
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            help="Size of the network's input as HEIGHTxWIDTH; by default the model's own."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task to run: semantic, instance or panoptic; by default the model's most "
            "general task.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images per forward pass.")] = 1,
    runs: Annotated[int, typer.Option(min=5, help="Number of timed forward passes.")] = 7,
    json: Annotated[
        Path | None, typer.Option(help="JSON file to write the measurements to.")
    ] = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    compile: CompileOption = False,
) -> None:
    """Measure the time of each stage of a model and compare it with this hardware's minimum."""
    input_size = parse_size(size)
    check_output_files(json, overwrite=overwrite)
    from unimask.profiling import benchmark as run_benchmark

    console = Terminal()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task("loading", total=None)
        report = run_benchmark(
            model,
            size=input_size,
            task=task,
            device=device,
            dtype=dtype,  # type: ignore[arg-type]
            compile=compile,
            batch_size=batch_size,
            runs=runs,
            progress=lambda done, total, name: bar.update(
                row, completed=done, total=total, description=name
            ),
        )
    print_report(console, report)
    if json is not None:
        write_report(json, report, overwrite=overwrite)
        console.print(f"written to {json}", soft_wrap=True)


def print_report(console: Terminal, report: dict[str, Any]) -> None:
    """Print the measurements, the hardware, and the comparison with the lower bounds."""
    machine, rates, memory = report["machine"], report["rates"], report["memory"]
    height, width = report["input_size"]
    count = "1 image" if report["batch_size"] == 1 else f"{report['batch_size']} images"
    console.print(
        f"{report['model']}: {count} of {height}x{width} a pass, {report['task']}, "
        f"{report['dtype']} on {report['device']}{', compiled' if report['compiled'] else ''}; "
        f"{report['runs']} runs",
        soft_wrap=True,
    )
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for name, row in (*report["stages"].items(), *((n, report[n]) for n in ("network", "total"))):
        table.add_row(name.replace("_", " "), *format_cells(row))
    console.print(table)
    console.print(
        f"{report['images_per_second']:.2f} images a second; "
        f"peak memory: {format_megabytes(memory['peak'])}, "
        f"weights: {format_megabytes(memory['weights'])}"
    )
    best = ", ".join(f"{n} {rate:.0f} GFLOP/s" for n, rate in rates.items() if n != "copy")
    console.print(f"the machine's best: {best}, copies at {rates['copy']:.0f} GB/s")
    console.print(
        f"{machine['processor'] or 'unknown processor'}, {machine['cores']} cores, "
        f"{machine['threads']} threads, {' '.join(machine['instructions'])}; "
        f"torch {machine['torch']}; computed on {machine['device']}",
        soft_wrap=True,
    )


def format_cells(row: dict[str, float]) -> list[str]:
    """Format the row of one stage; stages without arithmetic have no lower bound."""
    times = [f"{row['median_ms']:.1f}", f"{row['minimum_ms']:.1f}"]
    if "gflop" not in row:
        return [*times, "", "", ""]
    return [
        *times,
        f"{row['gflop']:.1f}",
        f"{row['floor_ms']:.1f}",
        f"{row['floor_percent']:.0f} %",
    ]


def format_megabytes(size: float | None) -> str:
    """Format a number of megabytes; "unknown" if the system does not report it."""
    return "unknown" if size is None else f"{size:.0f} MB"
