"""Killed runs, shards, memory and speed of `unimask batch`.

    python -m benchmarks.batch > benchmarks/results/batch.txt

1. An undisturbed run of many rendered images with a small random network, while its resident memory
   is sampled.
2. The same run, killed five times at random moments (SIGKILL) and started again: the files must be
   equal byte for byte, and complete parts must not be computed again.
3. Two shards at the same time: their files must be those of the undisturbed run.
4. The time of `unimask batch` beside that of `unimask predict`, which writes drawings, id maps and
   JSON files, in alternating runs of `nuclei` on the same images.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from unimask.checkpoints import Checkpoint, ModelDescription, write_huggingface
from unimask.config import (
    DeformablePixelDecoderConfig,
    MaskedDecoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.datasets.rendered_nuclei import render_nuclei
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.profiling.machine import describe_machine

KILLS, ROWS_PER_PART = 5, 20
SAMPLE_SECONDS = 0.2
SMALL, LARGE = (96, 128), (256, 256)


def main() -> None:
    """Run all measurements."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="Images of 1 to 3; 0 omits them.")
    parser.add_argument("--speed-images", type=int, default=60, help="Images of 4.")
    parser.add_argument("--rounds", type=int, default=5, help="Rounds of 4.")
    options = parser.parse_args()
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print(f"load average at the start: {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.images:
            write_network(folder / "model")
            render(folder / "small", options.images, SMALL)
            expected = run_undisturbed(folder)
            run_killed(folder, expected)
            run_shards(folder, expected)
        render(folder / "large", options.speed_images, LARGE)
        compare_speed(folder, options.rounds)


def write_network(folder: Path) -> None:
    """Write a small network with random weights that finds some segments in each image."""
    torch.manual_seed(2)
    config = SegmenterConfig(
        backbone=SwinConfig(
            embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 2), window_size=3
        ),
        num_classes=2,
        pixel_decoder=DeformablePixelDecoderConfig(
            dim=32, mask_dim=32, num_layers=1, num_heads=4, ffn_dim=32
        ),
        transformer_decoder=MaskedDecoderConfig(
            dim=32, num_queries=12, num_layers=3, num_heads=4, ffn_dim=32
        ),
    )
    network = build_segmenter(config)
    description = ModelDescription(
        config=config,
        labels=LabelSet(("nucleus", "background"), (True, False)),
        tasks=("panoptic", "instance", "semantic"),
        preprocessing=PreprocessingConfig(shortest_edge=96, longest_edge=160),
        postprocessing=PostprocessingConfig(object_threshold=0.4, overlap_threshold=0.1),
    )
    write_huggingface(folder, Checkpoint(description, network.state_dict()))


def render(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Render images of nuclei."""
    folder.mkdir()
    for seed in range(count):
        image = render_nuclei(seed=seed, size=size, count=size[0] * size[1] // 2000).image
        Image.fromarray(image).save(folder / f"{seed:05d}.png", compress_level=1)


def command(folder: Path, out: str, *more: str) -> list[str]:
    """Return the command of a run with the small network."""
    options = f"--task instance --threshold 0.2 --device cpu --rows-per-part {ROWS_PER_PART}"
    program = [sys.executable, "-m", "unimask", "batch", str(folder / "small"), str(folder / out)]
    return [*program, "--model", str(folder / "model"), *options.split(), *more]


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each part."""
    parts = sorted(folder.glob("part-*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}


def run_undisturbed(folder: Path) -> dict[str, str]:
    """Compute a run while its memory is sampled; return the digests of its parts."""
    start = time.perf_counter()
    process = subprocess.Popen(command(folder, "whole"), stdout=subprocess.DEVNULL)
    samples: list[tuple[int, float]] = []
    while process.poll() is None:
        parts = len(list((folder / "whole").glob("part-*")))
        samples.append((parts, resident_megabytes(process.pid)))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - start
    expected = digests(folder / "whole")
    images = len(list((folder / "small").iterdir()))
    size = sum(path.stat().st_size for path in (folder / "whole").glob("part-*"))
    print(
        f"\nundisturbed run: {images} images, {len(expected)} parts, exit code {process.returncode}"
    )
    print(f"  {images / seconds:.1f} images/s, {size / images:.0f} bytes per image")
    marks = range(1, 5)
    print("  resident memory by quarter of the parts (MB, median): ", end="")
    last = len(expected)
    quarters = [[m for p, m in samples if last * (q - 1) < 4 * p <= last * q] for q in marks]
    print(
        " ".join(f"{median(quarter):.0f}" if quarter else "-" for quarter in quarters), flush=True
    )
    return expected


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process; 0 after its end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


def run_killed(folder: Path, expected: dict[str, str]) -> None:
    """Kill a run at random moments, then complete it; compare its files."""
    generator = random.Random(0)
    out, written, repeated = folder / "killed", dict[str, int](), 0
    counts = []
    for number in range(KILLS + 1):
        process = subprocess.Popen(
            command(folder, "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if number < KILLS:
            aim = len(written) + generator.uniform(0.2, 1.2) * len(expected) / (KILLS + 2)
            while process.poll() is None and len(list(out.glob("part-*"))) < aim:
                time.sleep(0.01)
            time.sleep(generator.uniform(0, 0.5))
            process.kill()
        process.wait()
        before = len(written)
        for path in out.glob("part-*"):
            modified = path.stat().st_mtime_ns
            repeated += written.setdefault(path.name, modified) != modified
        counts.append(len(written) - before)
    left = [path.name for path in out.iterdir() if path.name.startswith(".partial")]
    print(f"\n{KILLS} times killed (SIGKILL) and started again:")
    print(f"  parts completed by each process: {' '.join(map(str, counts))}, of {len(expected)}")
    print(f"  complete parts computed again: {repeated}; temporary files left: {len(left)}")
    print(f"  files equal those of the undisturbed run: {digests(out) == expected}", flush=True)


def run_shards(folder: Path, expected: dict[str, str]) -> None:
    """Compute two shards at the same time; compare their files."""
    codes: list[int] = []

    def run(shard: str) -> None:
        done = subprocess.run(command(folder, "shards", "--shard", shard), capture_output=True)
        codes.append(done.returncode)

    threads = [threading.Thread(target=run, args=(shard,)) for shard in ("1/2", "2/2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\ntwo shards at the same time: exit codes {codes}")
    equal = digests(folder / "shards") == expected
    print(f"  files equal those of the undisturbed run: {equal}", flush=True)


def compare_speed(folder: Path, rounds: int) -> None:
    """Time `unimask batch` and `unimask predict` in turn, from start to end of the process."""
    images = len(list((folder / "large").iterdir()))
    seconds: dict[str, list[float]] = {"batch": [], "predict": []}
    program = [sys.executable, "-m", "unimask"]
    options = ["--model", "nuclei", "--task", "instance", "--device", "cpu"]
    for number in range(rounds):
        out = folder / f"speed{number}"
        commands = {
            "batch": [*program, "batch", str(folder / "large"), f"{out}-batch", *options],
            "predict": [
                *program, "predict", str(folder / "large"), "--out", f"{out}-predict", *options,
            ],
        }  # fmt: skip
        for name in ("batch", "predict") if number % 2 else ("predict", "batch"):
            start = time.perf_counter()
            subprocess.run(commands[name], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(seconds["batch"], seconds["predict"], strict=True)]
    print(f"\nnuclei, {images} images of {LARGE[0]}x{LARGE[1]}, {rounds} rounds:")
    for name, times in seconds.items():
        print(
            f"  unimask {name}: median {median(times):.1f} s, {min(times):.1f} to {max(times):.1f}"
        )
    print(f"  time of batch / time of predict: median {median(ratios):.2f}, ", end="")
    print(f"{min(ratios):.2f} to {max(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
