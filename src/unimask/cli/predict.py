"""`unimask predict`: pictures to overlays, id maps and JSON."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from unimask.cli.main import CompileOption, PreprocessingOption, WindowOption, app, print_error
from unimask.cli.windows import one_line_per_range, parse_window
from unimask.errors import ImageError, SettingsError, StorageError, UnimaskError
from unimask.formats.atomic import check_writable
from unimask.formats.terminal import Terminal

if TYPE_CHECKING:
    from concurrent.futures import Future

    from unimask.inference.predictor import Pending
    from unimask.results import Result

WRITTEN_AT_A_TIME = 2
"""Results that may wait for their files; each holds its picture."""

MOST_EMPTY = 5
"""Images without results whose best scores are printed."""

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
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for results: new, empty, or used before."),
    ] = Path("out"),
    recursive: Annotated[
        bool, typer.Option(help="Search the subfolders of folders, and keep their names in --out.")
    ] = True,
    window: WindowOption = None,
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
    from unimask.formats.output_folder import output_folder
    from unimask.results import result_names

    check_writable(out)
    folder = output_folder(out)
    failures: list[str] = []
    stems = unique_stems(expand(sources, recursive, failures))
    folder.check(name for stem in stems.values() for name in result_names(stem).values())
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

    with (
        one_line_per_range(),
        closing(segmented(stems, read, run, batch_size, failures)) as results,
    ):
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
    """Write and list results as they come; failures are reported when all are done.

    A disk that is full ends the work: no later result could be written either.
    """
    from unimask.inference.ahead import ahead

    def write(item: tuple[str, "Result"]) -> None:
        path, result = item
        result.save(out, stems[path])

    console = Terminal()
    table = Table("image", "size", "found", "ms", box=None, pad_edge=False)
    empty: list[str] = []
    with (
        Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar,
        closing(ahead(results, write, WRITTEN_AT_A_TIME)) as written,
    ):
        row = bar.add_task("segmenting", total=len(stems), rate="")
        for (path, result), future in written:
            try:
                future.result()
            except StorageError as error:
                failures.append(storage_failure(error, table.row_count, len(stems)))
                break
            except UnimaskError as error:
                failures.append(str(error))
                continue
            finally:
                bar.advance(row)
                bar.update(row, rate=told_rate(bar.tasks[row].speed))
            table.add_row(*cells(path, stems[path], result))
            if result.candidates:
                empty.append(best_scores(path, result))
    print_results(console, table, out, empty)
    for failure in failures:
        print_error(failure)
    if failures:
        raise typer.Exit(2)


def print_results(console: Terminal, table: Table, out: Path, empty: list[str]) -> None:
    """Print the table of results, and what came closest where nothing was found."""
    if not table.row_count:
        return
    console.print(table)
    for line in empty[:MOST_EMPTY]:
        console.print(line, soft_wrap=True)
    if len(empty) > MOST_EMPTY:
        console.print(f"and {len(empty) - MOST_EMPTY} more images in which nothing was found")
    console.print(f"written to {out}/", soft_wrap=True)


def storage_failure(error: StorageError, written: int, total: int) -> str:
    """Describe how far the work came, and how to go on."""
    return (
        f"{error}. Stopped after {written} of {total} results: make room and run the same command "
        "again, or give another --out"
    )


def cells(path: str, stem: str, result: "Result") -> tuple[str, str, str, str]:
    """Return a result's row of the table."""
    name = PurePosixPath(stem).parent / Path(path).name
    height, width = result.size
    milliseconds = sum(result.speed.values())
    return str(name), f"{height}x{width}", found_in(result), f"{milliseconds:.0f}"


def best_scores(path: str, result: "Result") -> str:
    """Describe what came closest to being found."""
    scores = ", ".join(f"{label} {score:.2f}" for label, score in result.candidates)
    return f"{Path(path).name}: nothing was found; highest scores: {scores} (see --threshold)"


def told_rate(speed: float | None) -> str:
    """Say how many pictures a second are done."""
    return "" if speed is None else f"{speed:.1f} pictures/s"


def found_in(result: "Result") -> str:
    """Count the segments of each class, the most frequent first."""
    counts = Counter(segment.label for segment in result.segments)
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"


def expand(sources: list[str], recursive: bool, failures: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the images that the arguments name, each with the name of its results.

    Images of a folder keep the names of its subfolders. Arguments that name none are failures.
    """
    from unimask.processing.pictures import list_pictures

    for source in sources:
        if source.startswith(("http://", "https://")):
            yield source, Path(source).stem
            continue
        folder = Path(source) if Path(source).is_dir() else None
        try:
            for path in list_pictures(source, recursive=recursive):
                inner = Path(path.name) if folder is None else path.relative_to(folder)
                yield str(path), inner.with_suffix("").as_posix()
        except UnimaskError as error:
            failures.append(str(error))


def unique_stems(images: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name the results of each image, so that none overwrites another's, or the folder's record.

    Names that differ in case only count as one: some file systems do not tell them apart.
    """
    from unimask.formats.output_folder import RECORD

    used: set[str] = set()
    stems: dict[str, str] = {}
    for path, stem in images:
        if path in stems:
            continue
        first = stem = stem or "image"
        number = 1
        while stem.casefold() in used or f"{PurePosixPath(stem).name}.json".casefold() == RECORD:
            number += 1
            stem = f"{first}_{number}"
        used.add(stem.casefold())
        stems[path] = stem
    return stems
