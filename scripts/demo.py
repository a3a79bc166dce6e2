"""`make demo`: segment a rendered field of nuclei, or your image, and print the results.

    python scripts/demo.py [IMAGE] [--out FOLDER]

The ground truth of the rendered fluorescence image is known, so its score is printed too.
The work is done by the command that you would type, `unimask predict`.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from unimask.datasets.rendered_nuclei import RenderedImage, render_nuclei
from unimask.errors import UnimaskError
from unimask.formats.output_folder import open_output_folder
from unimask.metrics import MatchedPrecision

SEED = 7
SHOWN = 8
STAGES = ("preprocess", "network", "postprocess")


def main() -> None:
    """Render, predict with the command, and print what was written."""
    parser = argparse.ArgumentParser(description="Segment a rendered field of nuclei, or IMAGE.")
    parser.add_argument("image", nargs="?", type=Path, help="image of nuclei")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    image, out, field = arguments.image, arguments.out, None
    if image is None:
        image, field = out / "field.png", render_nuclei(seed=SEED)
        with open_output_folder(out).new_file(image.name) as path:
            Image.fromarray(field.image).save(path)
        console.print(f"rendered a fluorescence field of {field.ids.max()} nuclei: {image}")
    predict(console, image, out)
    found = json.loads((out / f"{image.stem}.json").read_text())
    print_segments(console, found)
    print_speed(console, found["speed"])
    if field is not None:
        with Image.open(out / f"{image.stem}_ids.png") as ids:
            print_score(console, np.asarray(ids), field)
    console.print(f"\nlook at {out / image.stem}_overlay.png", style="bold", soft_wrap=True)
    console.print(f"beside it: {image.stem}_ids.png (id map), {image.stem}.json (run lengths)")


def predict(console: Console, image: Path, out: Path) -> None:
    """Run `unimask predict`, and exit with its exit code if it fails."""
    options = ["--model", "nuclei", "--task", "instance", "--out", str(out)]
    words = ["predict", str(image), *options]
    console.print(f"$ unimask {shlex.join(words)}", style="bold", soft_wrap=True)
    finished = subprocess.run([sys.executable, "-m", "unimask", *words])
    if finished.returncode:
        sys.exit(finished.returncode)


def print_segments(console: Console, found: dict[str, Any]) -> None:
    """Print the objects with the highest scores and count the rest."""
    segments = found["segments"]
    if not segments:
        console.print("\nnothing was found: the model knows nuclei in fluorescence and histology")
        return
    table = Table("id", "label", "score", "area (px)", "box (x0, y0, x1, y1)", box=None)
    for segment in segments[:SHOWN]:
        box = ", ".join(f"{side:.0f}" for side in segment["box"])
        cells = (segment["id"], segment["label"], f"{segment['score']:.2f}", segment["area"], box)
        table.add_row(*map(str, cells))
    console.print()
    console.print(table)
    if len(segments) > SHOWN:
        console.print(f" and {len(segments) - SHOWN} more: {len(segments)} in all")


def print_speed(console: Console, speed: dict[str, float]) -> None:
    """Print milliseconds per stage."""
    table = Table(*STAGES, "total (ms)", box=None)
    stages = [speed[name] for name in STAGES]
    table.add_row(*(f"{ms:.0f}" for ms in stages), f"{sum(stages):.0f}")
    console.print()
    console.print(table)


def print_score(console: Console, ids: np.ndarray, field: RenderedImage) -> None:
    """Print how the prediction compares with the known ground truth."""
    precision = MatchedPrecision((0.5, 0.7))
    precision.update(ids.astype(np.int32), field.ids)
    scores = precision.compute()
    console.print(
        f"\nagainst the known truth of {field.ids.max()} nuclei, TP / (TP + FP + FN): "
        f"{scores['AP_match@0.50']:.1f} % at IoU 0.5, {scores['AP_match@0.70']:.1f} % at IoU 0.7"
    )


if __name__ == "__main__":
    try:
        main()
    except UnimaskError as error:
        print(f"unimask: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
