"""Measure the memory of an opened dataset of the size of COCO.

    python -m benchmarks.dataset_memory [SHARE]

Generates files of the size of COCO train2017 (118,287 images, 860,001 objects with 58 coordinates
each; or a SHARE of them) in a temporary folder. Images are empty files, since opening a dataset
reads none. A separate process opens the dataset and prints its memory and the time.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import numpy as np

IMAGES, OBJECTS, CLASSES = 118_287, 860_001, 80
SIZE = (480, 640)
CORNERS = 29
SHAPES = 4096
"""Number of distinct outlines. Objects share them; this changes neither file size nor memory."""

OPENED = "opened"


def main(share: float) -> None:
    """Write the files, and open them in another process."""
    images, objects = round(share * IMAGES), round(share * OBJECTS)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        file = write(folder, "train2017", images, objects)
        write(
            folder, "val2017", 1, 1
        )  # otherwise a part of train2017 would be set aside for validation
        print(
            f"{images:,} images, {objects:,} objects, {2 * CORNERS * objects:,} coordinates, "
            f"a JSON of {file.stat().st_size / 1e6:.0f} MB",
            flush=True,
        )
        subprocess.run([sys.executable, __file__, OPENED, root], check=True)


def write(folder: Path, split: str, images: int, objects: int) -> Path:
    """Write the images and the JSON of a split, and return the path of the JSON."""
    file = folder / "annotations" / f"instances_{split}.json"
    random = np.random.default_rng(0)
    outlines = [outline(random) for _ in range(SHAPES)]
    for root in (file.parent, folder / split):
        root.mkdir(exist_ok=True)
    names = [f"{number:012d}.jpg" for number in random.permutation(5 * images)[:images]]
    for name in names:
        (folder / split / name).touch()
    image_indices = random.integers(images, size=objects).tolist()
    shapes = random.integers(SHAPES, size=objects).tolist()
    labels = random.integers(1, CLASSES + 1, size=objects).tolist()
    with file.open("w") as stream:
        stream.write('{"info": {}, "licenses": [], "images": [')
        stream.writelines(
            f'{", " if i else ""}{{"license": 3, "file_name": "{name}", "coco_url": '
            f'"http://images.cocodataset.org/{split}/{name}", "height": {SIZE[0]}, '
            f'"width": {SIZE[1]}, "date_captured": "2013-11-14 11:18:45", "id": {i}}}'
            for i, name in enumerate(names)
        )
        stream.write('], "annotations": [')
        stream.writelines(
            f'{", " if i else ""}{{"segmentation": [[{outlines[shapes[i]]}]], "area": 702.1, '
            f'"iscrowd": 0, "image_id": {image_indices[i]}, "bbox": [1.5, 2.5, 30.0, 40.0], '
            f'"category_id": {labels[i]}, "id": {i + 1}}}'
            for i in range(objects)
        )
        named = [{"id": n, "name": f"class {n}"} for n in range(1, CLASSES + 1)]
        stream.write(f'], "categories": {json.dumps(named)}}}')
    return file


def outline(random: np.random.Generator) -> str:
    """Generate a star-shaped polygon and format its coordinates as in COCO."""
    angles = np.sort(random.uniform(0, 2 * np.pi, CORNERS))
    radii = np.exp(random.uniform(2, 4)) * random.uniform(0.5, 1, CORNERS)
    centre = random.uniform((70, 70), (SIZE[1] - 70, SIZE[0] - 70))
    points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return ", ".join(f"{value:.2f}" for value in points.ravel())


def opened(folder: Path) -> None:
    """Open the dataset and print the memory of this process: before, after and peak, in MB."""
    import torch

    from unimask.datasets import open_dataset
    from unimask.datasets.objects.coco_instances import CocoInstances
    from unimask.profiling.peak_memory import PeakMemory, read_memory_size

    start = time.process_time()
    with PeakMemory(torch.device("cpu")) as memory:
        dataset = open_dataset(folder, "train")
        after = read_memory_size("VmRSS")
    seconds = time.process_time() - start
    assert isinstance(dataset, CocoInstances) and memory.before and memory.peak and after
    print(
        f"opened in {seconds:.0f} s of CPU time: the process uses {after / 1e6:.0f} MB, at its "
        f"peak {memory.peak / 1e6:.0f} MB, of which {memory.before / 1e6:.0f} MB before opening"
    )
    parts = dataset.annotations
    arrays = [getattr(parts, field.name) for field in fields(parts)]
    held = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
    print(f"objects take {held / 1e6:.0f} MB, {held / len(parts.label_ids):.0f} bytes each")
    if max(memory.peak, after) >= 1e9:
        raise SystemExit("more than 1 GB")
    print("less than 1 GB")


if __name__ == "__main__":
    if sys.argv[1:2] == [OPENED]:
        opened(Path(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
