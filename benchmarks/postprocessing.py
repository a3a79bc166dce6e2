"""Compare post-processing with that of `transformers`: time, memory and correctness.

Both get the same logits and return one number per pixel at the size of the image. Their runs
alternate. On one thread, CPU time is measured, since other load on the machine hardly changes it;
on all threads, wall-clock time. Memory is the peak of a separate process above its level before the
call. At the first size, every pixel is compared with a direct implementation of the rules, which
takes 4 GB. At the second size, `transformers` needs up to 13 GB. Requires `transformers`.

    python -m benchmarks.postprocessing > benchmarks/results/postprocessing.txt
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from types import SimpleNamespace

import torch
from torch import Tensor

import benchmarks.postprocessing_rules as rules
from unimask.config import PreprocessingConfig
from unimask.labels import Task
from unimask.processing import postprocess
from unimask.processing.preprocess import input_size, padded_size
from unimask.processing.resize import Size
from unimask.profiling.machine import describe_machine
from unimask.profiling.peak_memory import PeakMemory
from unimask.results import Result

QUERIES, CONFIDENT, CLASSES, THINGS = 100, 40, 133, 80
ROUNDS = 5
IMAGE, LARGE = (2160, 3840), (4000, 6000)
TASKS: tuple[Task, ...] = ("panoptic", "instance", "semantic")
OBJECT, OVERLAP, SCORE = 0.8, 0.8, 0.5
"""Thresholds of both: class score and visible share (panoptic), and score (instance)."""


def sizes(original: Size) -> tuple[Size, Size, Size]:
    """Return the padded size, the size of the resized image in it, and the original size."""
    config = PreprocessingConfig(shortest_edge=800, longest_edge=1333, size_divisor=32)
    shown = input_size(original, config)
    return padded_size(shown, 32), shown, original


def logits_for(original: Size) -> tuple[Tensor, Tensor]:
    """Generate logits at a quarter of the padded size."""
    padded = sizes(original)[0]
    return rules.blobs(QUERIES, CONFIDENT, CLASSES, (padded[0] // 4, padded[1] // 4))


def ours(task: Task, original: Size) -> Callable[[], Result]:
    """Return a call that computes a result of unimask, including its id map."""
    class_logits, mask_logits = logits_for(original)
    padded, shown, _ = sizes(original)

    def call() -> Result:
        result = postprocess(
            class_logits,
            mask_logits,
            task=task,
            labels=[str(number) for number in range(CLASSES)],
            is_thing=[task == "instance" or number < THINGS for number in range(CLASSES)],
            padded_size=padded,
            input_size=shown,
            original_size=original,
            object_threshold=OBJECT,
            overlap_threshold=OVERLAP,
            threshold=SCORE if task == "instance" else None,
        )
        assert result.segmentation.shape == original
        return result

    return call


def theirs(task: Task, original: Size) -> Callable[[], object]:
    """Return a call of the post-processing of `transformers`."""
    from transformers import Mask2FormerImageProcessor

    class_logits, mask_logits = logits_for(original)
    processor = Mask2FormerImageProcessor()
    outputs = SimpleNamespace(
        class_queries_logits=class_logits[None], masks_queries_logits=mask_logits[None]
    )
    arguments: dict[str, object] = {"target_sizes": [original]}
    if task == "panoptic":
        arguments |= {"threshold": OBJECT, "overlap_mask_area_threshold": OVERLAP}
        arguments |= {"label_ids_to_fuse": set(range(THINGS, CLASSES))}
    if task == "instance":
        arguments |= {"threshold": SCORE}
    method = getattr(processor, f"post_process_{task}_segmentation")

    def call() -> object:
        with torch.no_grad():
            return method(outputs, **arguments)

    return call


SIDES = {"unimask": ours, "transformers": theirs}


def times(task: Task, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Time alternating runs of both sides after one warm-up round, in seconds."""
    calls = {name: side(task, IMAGE) for name, side in SIDES.items()}
    durations: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if number:
                durations[name].append(clock() - start)
    return durations


def check(task: Task) -> tuple[int, int]:
    """Count the pixels that differ from the direct rules, and those of them beyond ties."""
    class_logits, mask_logits = logits_for(IMAGE)
    result = ours(task, IMAGE)()
    masks = rules.full_size(mask_logits, *sizes(IMAGE))
    if task == "semantic":
        return rules.semantic(class_logits, masks, result)
    if task == "panoptic":
        return rules.panoptic(class_logits, masks, result, OBJECT, OVERLAP)
    return rules.instance(class_logits, masks, result, SCORE)


def measure_memory(side: str, task: Task, original: Size) -> int:
    """Measure the peak memory of one call above the level before it, in bytes."""
    call = SIDES[side](task, original)
    with PeakMemory(torch.device("cpu")) as memory:
        call()
    if memory.before is None or memory.peak is None:
        raise SystemExit("the memory of a process cannot be measured on this system: use Linux")
    return memory.peak - memory.before


def memory_alone(side: str, task: Task, original: Size) -> int:
    """Measure memory in a separate process."""
    arguments = json.dumps([side, task, original])
    command = [sys.executable, "-m", "benchmarks.postprocessing", arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def print_times() -> None:
    """Print a table of times for one thread, and one for all threads."""
    every = torch.get_num_threads()
    for threads, clock in ((1, time.process_time), (every, time.perf_counter)):
        torch.set_num_threads(threads)
        method = "1 thread, CPU time" if threads == 1 else f"{threads} threads, wall-clock time"
        print(f"\n{IMAGE[1]}x{IMAGE[0]}, {method}, seconds, median (minimum) of {ROUNDS} runs")
        print(f"{'':10}{'unimask':>16}{'transformers':>16}{'ratio':>8}")
        for task in TASKS:
            spent = times(task, clock)
            middle = {name: statistics.median(rows) for name, rows in spent.items()}
            cells = "".join(f"{middle[n]:7.3f} ({min(spent[n]):.3f})".rjust(16) for n in SIDES)
            print(f"{task:10}{cells}{middle['unimask'] / middle['transformers']:8.3f}", flush=True)


def print_agreement() -> bool:
    """Print how many pixels differ from the direct rules; return whether all of them are ties."""
    right = True
    print(f"\n{IMAGE[1]}x{IMAGE[0]}, pixels that differ from the direct rules")
    for task in TASKS:
        differ, beyond = check(task)
        right = right and not beyond
        print(f"{task:10}{differ:8}, of which {beyond} beyond ties of {rules.TIE:g}", flush=True)
    return right


def print_memory(size: Size) -> None:
    """Print a table of peak memory."""
    print(f"\n{size[1]}x{size[0]}, peak additional memory, MB")
    print(f"{'':10}{'unimask':>16}{'transformers':>16}{'ratio':>8}")
    for task in TASKS:
        memory = [memory_alone(side, task, size) / 1e6 for side in SIDES]
        cells = "".join(f"{megabytes:16.0f}" for megabytes in memory)
        print(f"{task:10}{cells}{memory[0] / memory[1]:8.3f}", flush=True)


def main() -> None:
    """Print times, agreement and memory; exit with 1 if a pixel is wrong."""
    for name, value in describe_machine(torch.device("cpu")).items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    print(f"transformers: {version('transformers')}")
    print(f"\n{QUERIES} queries, {CONFIDENT} of them confident, {CLASSES} classes")
    print_times()
    right = print_agreement()
    print_memory(IMAGE)
    print_memory(LARGE)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        wanted_side, wanted_task, wanted_size = json.loads(sys.argv[1])
        print(measure_memory(wanted_side, wanted_task, tuple(wanted_size)))
    else:
        main()
