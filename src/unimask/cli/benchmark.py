"""`unimask benchmark`: how fast a model is on this machine, and how fast it could be."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from unimask.cli.main import CompileOption, OverwriteOption, app
from unimask.errors import SettingsError
from unimask.formats.output_file import check_output_files, write_report
from unimask.formats.terminal import Terminal

COLUMNS = ("stage", "median ms", "least ms", "GFLOP", "floor ms", "of the floor")


@app.command()
def benchmark(
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whatever predict takes, or a preset's name.")
    ],
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the network's input; its own by default.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The model's widest by default.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures per pass.")] = 1,
    runs: Annotated[int, typer.Option(min=5, help="Passes that are timed.")] = 7,
    json: Annotated[Path | None, typer.Option(help="File to write the numbers to.")] = None,
    overwrite: OverwriteOption = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
    compile: CompileOption = False,
) -> None:
    """Time a model stage by stage, beside what this machine could do at best."""
    wanted = parse_size(size)
    check_output_files(json, overwrite=overwrite)
    from unimask.evaluation import benchmark as run_benchmark

    console = Terminal()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task("loading", total=None)
        report = run_benchmark(
            model,
            size=wanted,
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


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read HEIGHTxWIDTH.

    Raises:
        SettingsError: It is something else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if found is None:
        raise SettingsError(f"--size {text!r}: give HEIGHTxWIDTH such as 800x1088")
    return int(found[1]), int(found[2])


def print_report(console: Terminal, report: dict[str, Any]) -> None:
    """Print what was measured, on what, and how it compares with the floor."""
    machine, rates, memory = report["machine"], report["rates"], report["memory"]
    height, width = report["input_size"]
    count = "1 picture" if report["batch_size"] == 1 else f"{report['batch_size']} pictures"
    console.print(
        f"{report['model']}: {count} of {height}x{width} a pass, {report['task']}, "
        f"{report['dtype']} on {report['device']}{', compiled' if report['compiled'] else ''}; "
        f"{report['runs']} runs",
        soft_wrap=True,
    )
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for name, row in (*report["stages"].items(), *((n, report[n]) for n in ("network", "total"))):
        table.add_row(name.replace("_", " "), *cells(row))
    console.print(table)
    console.print(
        f"{report['pictures_per_second']:.2f} pictures a second; "
        f"memory: {megabytes(memory['peak'])} at most, weights {megabytes(memory['weights'])}"
    )
    best = ", ".join(f"{n} {rate:.0f} GFLOP/s" for n, rate in rates.items() if n != "copy")
    console.print(f"the machine's best: {best}, copies at {rates['copy']:.0f} GB/s")
    console.print(
        f"{machine['processor'] or 'unknown processor'}, {machine['cores']} cores, "
        f"{machine['threads']} threads, {' '.join(machine['instructions'])}; "
        f"torch {machine['torch']}; computed on {machine['device']}",
        soft_wrap=True,
    )


def cells(row: dict[str, float]) -> list[str]:
    """Write one stage's numbers; those without arithmetic have no floor."""
    times = [f"{row['median_ms']:.1f}", f"{row['minimum_ms']:.1f}"]
    if "gflop" not in row:
        return [*times, "", "", ""]
    return [*times, f"{row['gflop']:.1f}", f"{row['floor_ms']:.1f}", f"{row['of_floor']:.0f} %"]


def megabytes(size: float | None) -> str:
    """Write a size that the system may not tell."""
    return "unknown" if size is None else f"{size:.0f} MB"
