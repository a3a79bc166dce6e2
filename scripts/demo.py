"""`make demo`: segment a rendered field of nuclei, or a picture of yours, and say what was found.

    python scripts/demo.py [PICTURE] [--out FOLDER]

The rendered field's truth is known, so its score is printed too.
"""

import argparse
import sys
import time
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

import unimask
from unimask.datasets.rendered_nuclei import Field, render_nuclei
from unimask.errors import UnimaskError
from unimask.metrics import MatchedPrecision

SEED = 7


def main() -> None:
    """Segment, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    arguments = parser.parse_args()
    console = Console(highlight=False)
    field = None
    if arguments.picture is None:
        field = render_nuclei(seed=SEED)
        arguments.out.mkdir(parents=True, exist_ok=True)
        arguments.picture = arguments.out / "field.png"
        Image.fromarray(field.image).save(arguments.picture)
        console.print(f"rendered a fluorescence field of {field.ids.max()} nuclei")
    start = time.perf_counter()
    model = unimask.load("nuclei")
    console.print(f"loaded the bundled model `nuclei` in {time.perf_counter() - start:.1f} s\n")
    instances = model.predict(arguments.picture, task="instance")
    panoptic = model.predict(arguments.picture, task="panoptic")
    print_segments(console, instances)
    print_speed(console, {"instance": instances, "panoptic": panoptic})
    if field is not None:
        print_score(console, instances, field)
    paths = instances.save(arguments.out)
    console.print("\nlook at", style="bold", end=" ")
    console.print(", ".join(str(path) for path in paths.values()), soft_wrap=True)


def print_segments(console: Console, result: unimask.Result) -> None:
    """Print the surest objects and count the rest."""
    table = Table("id", "label", "score", "area (px)", "box (x0, y0, x1, y1)", box=None)
    for segment in result.segments[:8]:
        box = ", ".join(f"{side:.0f}" for side in segment.box)
        score = f"{segment.score:.2f}" if segment.score is not None else "-"
        table.add_row(str(segment.id), segment.label, score, str(segment.area), box)
    console.print(table)
    rest = len(result) - 8
    console.print(f"and {rest} more; {len(result)} nuclei in all" if rest > 0 else "")


def print_speed(console: Console, results: dict[str, unimask.Result]) -> None:
    """Print milliseconds per stage."""
    table = Table("task", "preprocess", "network", "postprocess", "total (ms)", box=None)
    for task, result in results.items():
        stages = [result.speed[name] for name in ("preprocess", "network", "postprocess")]
        table.add_row(task, *(f"{ms:.0f}" for ms in stages), f"{sum(stages):.0f}")
    console.print(table)


def print_score(console: Console, result: unimask.Result, field: Field) -> None:
    """Print how the prediction compares with the known truth."""
    precision = MatchedPrecision((0.5, 0.7))
    precision.update(result.segmentation, field.ids)
    scores = precision.compute()
    console.print(
        f"\nagainst the known truth: TP / (TP + FP + FN) = {scores['AP_match@0.50']:.1f} % at IoU "
        f"0.5, {scores['AP_match@0.70']:.1f} % at 0.7"
    )


if __name__ == "__main__":
    try:
        main()
    except UnimaskError as error:
        print(f"unimask: error: {error}", file=sys.stderr)
        sys.exit(2)
