"""`make demo`: segment rendered scenes in three tasks, or your image of nuclei, with commands.

    python scripts/demo.py [IMAGE] [--out FOLDER]

Every step is a command that you could type; each is printed before it runs.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[1]
TASKS = ("semantic", "instance", "panoptic")
SCENES, SEED = 3, 7

CONSOLE = Console(highlight=False)


def main() -> None:
    """Run the commands, and print where the results are."""
    parser = argparse.ArgumentParser(description="Segment rendered scenes, or IMAGE.")
    parser.add_argument("image", nargs="?", type=Path, help="image of nuclei")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    arguments = parser.parse_args()
    if arguments.image is None:
        segment_scenes(arguments.out)
    else:
        segment_image(arguments.image, arguments.out)


def segment_scenes(out: Path) -> None:
    """Render scenes of a town, predict each task, and compare with the known ground truth."""
    scenes = out / "scenes"
    if not scenes.exists():
        counts = ["--train", "0", "--val", str(SCENES)]
        run("recipes.rendered_town", [str(scenes), *counts, "--size", "512", "--seed", str(SEED)])
    model = ["--model", "rendered-town"]
    for task in TASKS:
        folders = [str(scenes / "val"), "--out", str(out / task)]
        run("unimask", ["predict", *folders, *model, "--task", task])
    run("unimask", ["evaluate", str(scenes), *model, "--task", "panoptic"])
    overlays = " ".join(str(out / task / "*_overlay.png") for task in TASKS)
    CONSOLE.print(f"\nlook at {overlays}", style="bold", soft_wrap=True)
    CONSOLE.print("beside them: *_ids.png (id maps), *.json (segments with run lengths)")


def segment_image(image: Path, out: Path) -> None:
    """Find the nuclei of an image."""
    options = ["--model", "nuclei", "--task", "instance", "--out", str(out)]
    run("unimask", ["predict", str(image), *options])
    CONSOLE.print(f"\nlook at {out / image.stem}_overlay.png", style="bold", soft_wrap=True)
    CONSOLE.print(f"beside it: {image.stem}_ids.png (id map), {image.stem}.json (run lengths)")


def run(module: str, words: Sequence[str]) -> None:
    """Print and run the command of a module, and exit with its exit code if it fails."""
    shown = [module] if module == "unimask" else ["python", "-m", module]
    CONSOLE.print(f"\n$ {shlex.join([*shown, *words])}", style="bold", soft_wrap=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    finished = subprocess.run([sys.executable, "-m", module, *words], env=environment)
    if finished.returncode:
        sys.exit(finished.returncode)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
