"""`unimask predict`: pictures to overlays, id maps and JSON."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from unimask.cli.main import CompileOption, PreprocessingOption, app, check_writable, print_error
from unimask.errors import ImageError, SettingsError, UnimaskError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from unimask.inference.predictor import Pending
    from unimask.processing.pictures import Window
    from unimask.results import Result

PICTURE_ENDINGS = ("_overlay.png", "_ids.png")
"""What `Result.save` adds to a stem for the two pictures that it writes."""

WRITTEN_AT_A_TIME = 2
"""Results that may wait for their files; each holds its picture."""

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[rate]}"),
    TimeRemainingColumn(),
)


@app.command()
def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Pictures, folders, patterns, addresses."),
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="nuclei, a folder, a run, or a Hub id.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="panoptic, instance or semantic; the model's widest.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score of what is kept.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("out"),
    window: Annotated[
        str | None, typer.Option(help="LOW,HIGH: values that become black and white; or auto.")
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Larger pictures are refused.")
    ] = 200_000_000,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Neighbours of one size that may share a pass.")
    ] = 1,
    preprocessing: PreprocessingOption = "authors",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
    compile: CompileOption = False,
) -> None:
    """Segment pictures and write overlay, id map and JSON of each."""
    limits = parse_window(window)
    check_writable(out)
    failures: list[str] = []
    stems = unique_stems(expand(sources, failures))
    refuse_to_overwrite(stems, out)
    from unimask.inference.load import load

    predictor = load(
        named_model(model),
        device=device,
        dtype=dtype,  # type: ignore[arg-type]
        preprocessing=preprocessing,  # type: ignore[arg-type]
        compile=compile,
    )
    chosen = predictor.task_of(task)

    def read(path: str) -> "Pending":
        return predictor.prepare(path, limits, max_pixels)

    def run(batch: list["Pending"]) -> Iterator["Result"]:
        return predictor.run(batch, chosen, threshold)

    with closing(segmented(stems, read, run, batch_size, failures)) as results:
        write_results(results, stems, out, failures)


def segmented(
    paths: Iterable[str],
    read: "Callable[[str], Pending]",
    run: "Callable[[list[Pending]], Iterator[Result]]",
    batch_size: int,
    failures: list[str],
) -> Generator[tuple[str, "Result"]]:
    """Segment pictures, read ahead; those that cannot be used are failures."""
    from unimask.inference.ahead import ahead
    from unimask.inference.predictor import equal_sizes

    def usable(futures: "Iterable[tuple[str, Future[Pending]]]") -> Iterator["Pending"]:
        for _, future in futures:
            try:
                yield future.result()
            except ImageError as error:
                failures.append(str(error))

    with closing(ahead(paths, read, batch_size + 1)) as futures:
        for batch in equal_sizes(usable(futures), batch_size):
            for item, result in zip(batch, run(batch), strict=True):
                yield str(item.source), result


def named_model(model: str | None) -> str:
    """Refuse to guess: a nucleus model on a street would only look like an answer."""
    from unimask.inference.load import bundled_names
    from unimask.inference.names import EXAMPLES

    if model is None:
        names = ", ".join([*bundled_names(), *EXAMPLES])
        raise SettingsError(f"say which model with --model, for example one of: {names}")
    return model


def write_results(
    results: Iterable[tuple[str, "Result"]],
    stems: dict[str, str],
    out: Path,
    failures: list[str],
) -> None:
    """Write and list results as they come; failures are reported when all are done."""
    from unimask.inference.ahead import ahead

    def write(item: tuple[str, "Result"]) -> None:
        path, result = item
        result.save(out, stems[path])

    console = Console(highlight=False)
    table = Table("picture", "size", "found", "ms", box=None, pad_edge=False)
    with (
        Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar,
        closing(ahead(results, write, WRITTEN_AT_A_TIME)) as written,
    ):
        row = bar.add_task("segmenting", total=len(stems), rate="")
        for (path, result), future in written:
            try:
                future.result()
            except UnimaskError as error:
                failures.append(str(error))
                continue
            finally:
                bar.advance(row)
                bar.update(row, rate=told_rate(bar.tasks[row].speed))
            height, width = result.size
            milliseconds = f"{sum(result.speed.values()):.0f}"
            table.add_row(Path(path).name, f"{height}x{width}", found_in(result), milliseconds)
    if table.row_count:
        console.print(table)
        console.print(f"written to {out}/", soft_wrap=True)
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(2)


def told_rate(speed: float | None) -> str:
    """Say how many pictures a second are done."""
    return "" if speed is None else f"{speed:.1f} pictures/s"


def found_in(result: "Result") -> str:
    """Count the segments of each class, the most frequent first."""
    counts = Counter(segment.label for segment in result.segments)
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"


def expand(sources: list[str], failures: list[str]) -> Iterator[str]:
    """Give the pictures that the arguments name; those that name none are failures."""
    from unimask.processing.pictures import list_pictures

    for source in sources:
        if source.startswith(("http://", "https://")):
            yield source
            continue
        try:
            yield from map(str, list_pictures(source))
        except UnimaskError as error:
            failures.append(str(error))


def unique_stems(paths: Iterable[str]) -> dict[str, str]:
    """Name the results of each picture, so that none overwrites another's.

    Names that differ in case only count as one: some file systems do not tell them apart.
    """
    used: set[str] = set()
    stems = {}
    for path in dict.fromkeys(paths):
        first = stem = Path(path).stem or "picture"
        number = 1
        while stem.casefold() in used:
            number += 1
            stem = f"{first}_{number}"
        used.add(stem.casefold())
        stems[path] = stem
    return stems


def refuse_to_overwrite(stems: dict[str, str], out: Path) -> None:
    """Find out before the work whether a result would take the place of a picture."""
    pictures = {Path(path).resolve() for path in stems}
    for stem in stems.values():
        for ending in PICTURE_ENDINGS:
            path = out / f"{stem}{ending}"
            if path.resolve() in pictures:
                raise SettingsError(f"a result would overwrite the picture {path}: change --out")


def parse_window(text: str | None) -> "Window":
    """Read LOW,HIGH or auto."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--window {text!r}: give LOW,HIGH such as 0,4095, or auto") from None
    if high <= low:
        raise SettingsError(f"--window {text}: LOW must be below HIGH")
    return low, high
