"""`unimask batch`: segment many images into Parquet files, in one or many processes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from unimask.cli.app import (
    BatchSizeOption,
    CompileOption,
    DeviceOption,
    DtypeOption,
    MaxPixelsOption,
    ModelOption,
    PreprocessingOption,
    TaskOption,
    ThresholdOption,
    WindowOption,
    app,
    parse_tile,
    parse_window,
)
from unimask.cli.batch_progress import RunProgress, limited_warnings
from unimask.cli.messages import print_line
from unimask.cli.model_options import require_model
from unimask.errors import SettingsError
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from unimask.batch import BatchSettings, RunRecord, Shard, WorkerOptions
    from unimask.batch.ray_actors import RayOptions

RAY_OPTION = "--ray"
INTERRUPTED = 130


class BatchCommand(TyperCommand):
    """Command whose option --ray may stand without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, of which --ray is completed first."""
        return super().parse_args(ctx, complete_ray(args))


def complete_ray(arguments: list[str]) -> list[str]:
    """Add an empty address after --ray where none follows."""
    completed = []
    for index, argument in enumerate(arguments):
        completed.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument == RAY_OPTION and not is_ray_address(following):
            completed.append("")
    return completed


def is_ray_address(text: str) -> bool:
    """Return whether a text is an address of Ray: auto, local, HOST:PORT or ray://HOST:PORT."""
    host, _, port = text.rpartition(":")
    return text in ("auto", "local") or text.startswith("ray://") or bool(host and port.isdecimal())


@app.command(cls=BatchCommand)
def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Folder, glob pattern, list of paths (.txt, .csv, .tsv, .parquet) or tar archives "
            "of webdataset (a pattern or a range such as 'a-{000..127}.tar'); paths or URIs.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Output folder: new, empty, or of the same run.")
    ],
    model: ModelOption = None,
    task: TaskOption = None,
    threshold: ThresholdOption = None,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column of the paths in a CSV or Parquet file; extension of the images, such as "
            "jpg, in archives of webdataset."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Compute only a share of the parts: 1/4 to 4/4 in four processes."),
    ] = None,
    rows_per_part: Annotated[
        int, typer.Option(min=1, help="Number of images per file of OUT.")
    ] = 256,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Try the images that failed in OUT again.")
    ] = False,
    window: WindowOption = None,
    max_pixels: MaxPixelsOption = 200_000_000,
    batch_size: BatchSizeOption = 1,
    tile: Annotated[
        str, typer.Option(help="Side of tiles in which to segment large images; see predict.")
    ] = "auto",
    overlap: Annotated[float, typer.Option(help="Overlap of tiles, 0 to 0.5.")] = 0.25,
    scale: Annotated[
        float, typer.Option(help="Pixels of the network's input per pixel of the image.")
    ] = 1.0,
    preprocessing: PreprocessingOption = "authors",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    compile: CompileOption = False,
    ray: Annotated[
        str | None,
        typer.Option(
            RAY_OPTION,
            metavar="[ADDRESS]",
            help="Compute with actors on Ray: on the cluster at ADDRESS (auto, HOST:PORT or "
            "ray://HOST:PORT), or without ADDRESS on that of RAY_ADDRESS or this machine.",
        ),
    ] = None,
    ray_actors: Annotated[
        int | None, typer.Option(min=1, help="Number of actors; by default as many as fit.")
    ] = None,
    ray_cpus: Annotated[int, typer.Option(min=1, help="CPUs of each actor.")] = 2,
    ray_gpus: Annotated[
        float | None,
        typer.Option(min=0, help="GPUs of each actor; by default one if there are any."),
    ] = None,
) -> None:
    """Segment many images into Parquet files; the same command continues after an interruption."""
    check_writable(out)
    limits, tile_side, name = parse_window(window), parse_tile(tile, False), require_model(model)
    from unimask.batch import BatchSettings, WorkerOptions, parse_shard
    from unimask.batch.ray_actors import RayOptions
    from unimask.batch.remote import absolute
    from unimask.batch.settings import absolute_model

    settings = BatchSettings(
        input=absolute(source),
        model=absolute_model(name),
        column=column,
        task=task,
        threshold=threshold,
        rows_per_part=rows_per_part,
        window=limits,
        max_pixels=max_pixels,
        tile=tile_side,
        overlap=overlap,
        scale=scale,
        preprocessing=preprocessing,
        dtype=dtype,
    )
    options = WorkerOptions(
        device=device, batch_size=batch_size, compile=compile, retry_errors=retry_errors
    )
    cluster = None
    if ray is not None:
        cluster = RayOptions(address=ray, actors=ray_actors, cpus=ray_cpus, gpus=ray_gpus)
    elif ray_actors is not None or ray_gpus is not None:
        raise SettingsError("--ray-actors and --ray-gpus need --ray")
    run(out, settings, options, parse_shard(shard), cluster)


def run(
    out: Path,
    settings: "BatchSettings",
    options: "WorkerOptions",
    shard: "Shard",
    cluster: "RayOptions | None",
) -> None:
    """Open the run, compute its pending parts, and print a summary."""
    from unimask.batch import open_run, pending_parts

    record = open_run(out, settings)
    parts = pending_parts(record, shard, options.retry_errors)
    console = Terminal()
    try:
        with limited_warnings(), RunProgress(console, record, parts, shard) as progress:
            compute(record, parts, options, cluster, progress)
    except KeyboardInterrupt:
        print_line("run the same command again to continue with the parts that are missing")
        raise typer.Exit(INTERRUPTED) from None
    print_summary(console, record, shard)


def compute(
    record: "RunRecord",
    parts: list[int],
    options: "WorkerOptions",
    cluster: "RayOptions | None",
    progress: RunProgress,
) -> None:
    """Compute parts in this process, or with actors on Ray."""
    if not parts:
        return
    if cluster is None:
        from unimask.batch import PartWorker

        worker = PartWorker(record.folder, options)
        for part in parts:
            worker.process(part, progress.count)
        return
    from unimask.batch.ray_actors import run_on_ray

    for summary in run_on_ray(record, parts, options, cluster):
        progress.advance(record.part_size(summary.part))


def print_summary(console: Terminal, record: "RunRecord", shard: "Shard") -> None:
    """Print the number of images and of failures in the complete parts."""
    from unimask.batch import count_failed

    images = sum(map(record.part_size, shard.parts(record.num_parts)))
    failed = count_failed(record, shard)
    missing = sum(not record.part_path(part).exists() for part in range(record.num_parts))
    name = f"shard {shard.number}/{shard.count}: " if shard.count > 1 else ""
    console.print(f"{name}{images:,} images in {record.folder}/", soft_wrap=True)
    if failed:
        console.print(
            f"{failed:,} images could not be read: see the column error, or pass --retry-errors"
        )
    if missing:
        console.print(f"{missing:,} of {record.num_parts:,} parts belong to other shards")
