"""Measure the memory that a long video takes with a network that segments clips.

    python -m benchmarks.clip_memory [--frames 300] [--size 720 1280] [--model NAME]

Weights are random, and all of the ten best objects are returned. The peak is the resident memory of
the whole process.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import unimask
from unimask.tracking import ClipSettings


def resident(key: str) -> int:
    """Read the resident memory (VmRSS), or its peak (VmHWM), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


def moving_discs(count: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield frames in which discs move on noise."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    noise = random.integers(0, 60, (*size, 3), dtype=np.uint8)
    places, speeds = random.uniform((0, 0), size, (6, 2)), random.uniform(-4, 4, (6, 2))
    colours = random.integers(80, 255, (6, 3), dtype=np.uint8)
    for number in range(count):
        image = noise.copy()
        for place, colour in zip((places + number * speeds) % size, colours, strict=True):
            inside = (rows - place[0]) ** 2 + (columns - place[1]) ** 2 < (size[0] // 9) ** 2
            image[inside] = colour
        yield image


def main() -> None:
    """Track a video and print the peak memory after each tenth of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280))
    parser.add_argument("--model", default="mask2former-resnet50-youtube-vis-2019-instance")
    options = parser.parse_args()
    model = unimask.build(options.model, device="cpu")
    height, width = options.size
    padded = model.preprocess(np.zeros((height, width, 3), np.uint8)).padded_size
    length, overlap = ClipSettings().resolve(padded[0] * padded[1], height * width * 3)
    print(
        f"{options.model}: {options.frames} frames of {height} x {width}, network's input "
        f"{padded[0]} x {padded[1]}, clips of {length} frames that share {overlap}",
        flush=True,
    )
    start, segments, tracks = time.perf_counter(), 0, set()
    frames = model.track(moving_discs(options.frames, (height, width)), threshold=0.0)
    for number, frame in enumerate(frames, start=1):
        segments += len(frame.result.segments)
        tracks |= {segment.track_id for segment in frame.result.segments}
        if number % max(1, options.frames // 10) == 0:
            print(
                f"{number:5} frames: peak {resident('VmHWM') / 1e9:.2f} GB, now "
                f"{resident('VmRSS') / 1e9:.2f} GB",
                flush=True,
            )
    seconds = time.perf_counter() - start
    print(f"{segments} masks of {len(tracks)} tracks, {seconds / options.frames:.2f} s per frame")
    print(f"peak of the whole process {resident('VmHWM') / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
