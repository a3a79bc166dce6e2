"""Measure the memory that one large image takes, by stage.

    python -m benchmarks.one_image_memory [--side 5000]

Each task runs in a separate process, on an image of discs with `--side` by `--side` pixels. The
peak of a stage is the resident memory of the process above its level before the image.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from unimask.labels import TASKS, Task


def resident(key: str) -> int:
    """Read the resident memory (VmRSS), or its peak (VmHWM), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


def write_image(path: Path, side: int) -> None:
    """Write a square image of discs."""
    image = Image.new("RGB", (side, side), (20, 20, 20))
    draw = ImageDraw.Draw(image)
    for x, y in np.random.default_rng(0).integers(0, side, (300, 2)).tolist():
        draw.ellipse((x, y, x + side // 35, y + side // 35), (150, 150, 150))
    image.save(path, compress_level=3)


def measure(path: Path, task: Task) -> None:
    """Print the peak memory and the time of each stage for one task."""
    import unimask
    from unimask.kernels.memory import LARGE_PIXELS, release_freed_memory
    from unimask.processing.images import MAX_PIXELS

    model = unimask.load("nuclei")
    model.predict(np.zeros((64, 64, 3), np.uint8), task)
    release_freed_memory(2 * LARGE_PIXELS)  # so that reused memory counts as well
    before, rows = resident("VmRSS"), []

    def stage(name, work):
        Path("/proc/self/clear_refs").write_text("5")
        start = time.perf_counter()
        done = work()
        rows.append((name, resident("VmHWM") - before, time.perf_counter() - start))
        return done

    pending = stage("read and preprocess", lambda: model.prepare(path, None, MAX_PIXELS))
    result = stage("network and segments", lambda: next(model.run([pending], task, None)))
    side = result.size[0]
    with tempfile.TemporaryDirectory() as folder:
        stage("overlay, id map, JSON", lambda: result.save(Path(folder) / "out"))
    for name, peak, seconds in rows:
        print(f"{task:9} {name:22} {peak / side**2:5.1f} bytes a pixel {seconds:6.1f} s")
    print(f"{task:9} {'whole process':22} {(before + max(p for _, p, _ in rows)) / 2**20:5.0f} MiB")


def main() -> None:
    """Measure all tasks, or one task in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=5000)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--image", type=Path)
    options = parser.parse_args()
    if options.task:
        return measure(options.image, options.task)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        write_image(path, options.side)
        print(f"{options.side} x {options.side} pixels, nuclei", flush=True)
        for task in TASKS:
            command = [sys.executable, __file__, "--task", task, "--image", str(path)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
