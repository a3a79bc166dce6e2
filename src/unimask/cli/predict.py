"""`unimask predict`: pictures to overlays, id maps and JSON."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from unimask.cli.main import app, fail
from unimask.errors import ImageError, SettingsError, UnimaskError

if TYPE_CHECKING:
    from unimask.processing.pictures import Window
    from unimask.results import Result


@app.command()
def predict(
    sources: Annotated[list[str], typer.Argument(help="Pictures, folders, patterns, addresses.")],
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
) -> None:
    """Segment pictures and write overlay, id map and JSON of each."""
    from unimask.inference.load import load

    limits = parse_window(window)
    name = named_model(model)
    out_is_usable(out)
    predictor = load(name, device=device, dtype=dtype)  # type: ignore[arg-type]
    predictor.task_of(task)

    def segment(path: str) -> "Result":
        return predictor.predict(
            path, task, threshold=threshold, window=limits, max_pixels=max_pixels
        )

    write_results(sources, segment, out)


def named_model(model: str | None) -> str:
    """Refuse to guess: a nucleus model on a street would only look like an answer."""
    from unimask.inference.load import PUBLISHED, bundled_names

    if model is None:
        names = ", ".join([*bundled_names(), *PUBLISHED[:2]])
        raise SettingsError(f"say which model with --model, for example one of: {names}")
    return model


def write_results(sources: list[str], segment: Callable[[str], "Result"], out: Path) -> None:
    """Segment, write and list pictures; those that fail are reported when all are done."""
    from unimask.processing.pictures import list_pictures

    console = Console()
    table = Table("picture", "size", "found", "ms", box=None, pad_edge=False)
    failures: list[str] = []
    stems = unique_stems(expand(sources, list_pictures, failures))
    for path, stem in stems.items():
        try:
            result = segment(path)
        except ImageError as error:
            failures.append(str(error))
            continue
        result.save(out, stem)
        counts = Counter(segment.label for segment in result.segments)
        found = ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing"
        size = f"{result.size[0]}x{result.size[1]}"
        table.add_row(Path(path).name, size, found, f"{sum(result.speed.values()):.0f}")
    if table.row_count:
        console.print(table)
        console.print(f"written to {out}/", soft_wrap=True)
    if failures:
        for failure in failures[:-1]:
            print_failure(failure)
        fail(failures[-1])


def print_failure(message: str) -> None:
    """Print one of several failures."""
    typer.echo(f"unimask: error: {message}", err=True)


def expand(sources: list[str], list_pictures, failures: list[str]) -> Iterator[str]:
    """Give the pictures that the arguments name; those that name none are failures."""
    for source in sources:
        if source.startswith(("http://", "https://")):
            yield source
            continue
        try:
            yield from map(str, list_pictures(source))
        except UnimaskError as error:
            failures.append(str(error))


def unique_stems(paths: Iterable[str]) -> dict[str, str]:
    """Name the results of each picture, so that none overwrites another's."""
    used: Counter[str] = Counter()
    stems = {}
    for path in dict.fromkeys(paths):
        stem = Path(path).stem or "picture"
        used[stem] += 1
        stems[path] = stem if used[stem] == 1 else f"{stem}_{used[stem]}"
    return stems


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


def out_is_usable(out: Path) -> None:
    """Find out before the work whether results can be written."""
    from unimask.formats.atomic import atomic_path

    with atomic_path(out / "writable") as path:
        path.touch()
    (out / "writable").unlink()
