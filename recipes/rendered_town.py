"""Write a dataset of rendered aerial views of towns, which `unimask check` and `train` read.

    python -m recipes.rendered_town OUT --train 2000 --val 200 --size 512 --seed 0
    unimask check OUT
    unimask train OUT --task panoptic --out runs/town

OUT is a COCO panoptic folder, written completely or not at all. Each image is a scene of its own.
Training and validation scenes have different seeds, and datasets whose seeds differ share none.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from unimask.curation.convert import new_folder
from unimask.curation.writers.create import create_writer
from unimask.datasets.rendered_town import TOWN_LABELS, TownScene, build_sample
from unimask.datasets.rendered_town.parallel import map_in_processes
from unimask.datasets.sample import Sample
from unimask.errors import SettingsError, UnimaskError

SCENES = 1_000_000
"""Number of seeds that the scenes of one split of one dataset may have."""

JPEG_QUALITY = 95


def scene_seed(seed: int, split: str, index: int) -> int:
    """Return the seed of one scene of a dataset."""
    return (2 * seed + (split != "train")) * SCENES + index


def write_dataset(
    out: Path,
    counts: dict[str, int],
    *,
    size: int = 512,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write a COCO panoptic folder of rendered scenes.

    Args:
        out: Folder to write, new or empty.
        counts: Number of images of each split.
        size: Height and width of the images in pixels.
        seed: Seed of the dataset.
        workers: Number of processes; None for one per core.
        progress: Function called with the split, the number of images done, and their total.

    Raises:
        OutputError: `out` is not empty or cannot be written.
        SettingsError: A number is out of range.
    """
    if not counts or not all(0 < count <= SCENES for count in counts.values()) or size < 16:
        raise SettingsError(f"write 1 to {SCENES} images per split, of at least 16 pixels")
    processes = workers or os.cpu_count() or 1
    with new_folder(out) as folder:
        writer = create_writer("coco-panoptic", folder, TOWN_LABELS)
        for split, count in counts.items():
            images = writer.image_folder(split)
            images.mkdir(parents=True)
            jobs = ((scene_seed(seed, split, n), size, images / name(n)) for n in range(count))
            samples = map_in_processes(render_scene, jobs, processes)
            for done, sample in enumerate(samples, 1):
                writer.add(split, sample, sample.path.name)
                if progress is not None:
                    progress(split, done, count)
            writer.finish(split)
        writer.close()


def name(index: int) -> str:
    """Return the name of an image."""
    return f"town_{index:06d}.jpg"


def render_scene(seed: int, size: int, path: Path) -> Sample:
    """Render a scene, save its image, and return it with its labels."""
    rendered = TownScene(seed, (size, size)).render()
    Image.fromarray(rendered.image).save(path, quality=JPEG_QUALITY, subsampling=0)
    return build_sample(rendered, path)


def main() -> None:
    """Write the dataset that the command line describes, with a progress bar."""
    parser = argparse.ArgumentParser(description="Write a dataset of rendered views of towns.")
    parser.add_argument("out", type=Path, help="folder to write, new or empty")
    parser.add_argument(
        "--train", type=int, default=2000, help="number of training images; 0 for none"
    )
    parser.add_argument(
        "--val", type=int, default=200, help="number of validation images; 0 for none"
    )
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the dataset")
    parser.add_argument("--workers", type=int, help="number of processes; one per core by default")
    options = parser.parse_args()
    counts = {split: n for split, n in (("train", options.train), ("val", options.val)) if n}
    with Progress(console=Console(stderr=True)) as bars:
        rows = {split: bars.add_task(split, total=count) for split, count in counts.items()}
        write_dataset(
            options.out,
            counts,
            size=options.size,
            seed=options.seed,
            workers=options.workers,
            progress=lambda split, done, total: bars.update(rows[split], completed=done),
        )
    print(f"written to {options.out}: {options.train} training and {options.val} validation images")


if __name__ == "__main__":
    try:
        main()
    except UnimaskError as error:
        print(f"rendered_town: error: {error}", file=sys.stderr)
        sys.exit(2)
