"""Speed of a model by stage, compared with the maximum speed of the machine."""

import inspect
import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from unimask.errors import SettingsError
from unimask.inference import Dtype, Predictor, load
from unimask.inference.dtypes import check_dtype, choose_dtype
from unimask.inference.exported import ExportedPredictor
from unimask.inference.precision import check_int8, precision_name
from unimask.inference.untrained import build
from unimask.labels import Task
from unimask.presets import PRESETS
from unimask.processing.images import MAX_PIXELS
from unimask.profiling.machine import describe_machine
from unimask.profiling.peak_memory import PeakMemory
from unimask.profiling.rates import copy_rate, int8_rate, matrix_rate, synchronize
from unimask.profiling.stages import PARTS, STAGES, PartsClock, count_flops, synthetic_output
from unimask.runtimes.int8 import prepare_int8

Size = tuple[int, int]
Progress = Callable[[int, int, str], None]
"""Function of the number of finished steps, the number of all steps, and the next step's name."""

DEFAULT_IMAGE_SIZE = (480, 640)
"""Height and width of a typical image of COCO."""

MIN_RUNS = 5


def benchmark(
    model: str | Path | Predictor,
    *,
    size: Size | None = None,
    task: str | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    compile: bool = False,
    batch_size: int = 1,
    runs: int = 7,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Measure a model's speed and memory on this machine, and compare it with the machine's limits.

    The floor of a stage is its arithmetic (matrix products and convolutions only) divided by the
    highest rate at which the machine multiplies matrices of that dtype: nothing can be faster, and
    stages bound by memory stay above it. Post-processing is measured on synthetic logits of 20
    round objects.

    Args:
        model: Predictor, any model that `load` takes, or the name of a preset, which gets random
            weights.
        size: Height and width of the network's input, rounded up to its padding. By default the
            size to which the model resizes an image of 480 by 640.
        task: Task to predict; the model's most demanding one by default.
        device: Device on which a named model runs.
        dtype: Data type of the computation, as `load` takes it.
        compile: Whether the model is compiled, as `load` does; the network is then a single stage.
        batch_size: Number of images per forward pass.
        runs: Number of timed runs, at least 5, after two warm-up runs.
        progress: Function that is called before each step.

    Returns:
        `{model, task, image_size, input_size, batch_size, device, dtype, compiled, runs, stages,
        network, total, images_per_second, memory, rates, machine}`. Each stage (preprocess,
        backbone, pixel_decoder, transformer_decoder, postprocess), the network and the total have
        `median_ms` and `minimum_ms` of a run; those with arithmetic also `gflop`, `floor_ms` and
        `floor_percent`, which is the floor in percent of the median. Memory is in MB: `weights`,
        `before` a run and its `peak`. Rates are in GFLOP/s and GB/s.

    Raises:
        CheckpointError, TaskError: The model does not exist, or does not support the task.
        SettingsError: A number is not positive, or there are too few runs.

    Example:
        >>> import unimask.evaluation
        >>> report = unimask.profiling.benchmark("mask2former-nano", runs=5)  # doctest: +SKIP
    """
    validate_settings(size, batch_size, runs)
    predictor = (
        model if isinstance(model, Predictor) else load_or_build(model, device, dtype, compile)
    )
    predictor = predictor if size is None else with_input_size(predictor, size)
    selected_task = predictor.resolve_task(task)
    report_step = step_reporter(runs + 3, progress)
    image = np.random.default_rng(0).integers(0, 256, (*(size or DEFAULT_IMAGE_SIZE), 3), np.uint8)
    timed = TimedPrediction(predictor, [image] * batch_size, selected_task)
    with PeakMemory(predictor.device) as memory:
        flops = timed.run_repeatedly(runs, report_step)
    report_step("the machine's own rates")
    rates = measure_rates(predictor)
    report_step("done")
    return {
        **timed.description(),
        "runs": runs,
        **summarise_times(timed.times, flops, rates[compute_dtype(predictor)], batch_size),
        "memory": memory_report(predictor, memory),
        "rates": rates,
        "machine": describe_machine(predictor.device),
    }


class TimedPrediction:
    """Prediction of a batch of images, timed by stage.

    Args:
        predictor: Model to measure.
        images: Images of equal size, of shape (h, w, 3).
        task: Task to predict.

    Attributes:
        times: Milliseconds of each run, by stage, for the network and in total.
        input_size: Height and width of the last network input.
    """

    def __init__(self, predictor: Predictor, images: list[np.ndarray], task: Task) -> None:
        self.predictor, self.images = predictor, images
        self.task: Task = task
        self.times: dict[str, list[float]] = {}
        self.input_size: Size = (0, 0)

    @property
    def is_exported(self) -> bool:
        """Whether the network is a graph of another runtime, which shows no parts."""
        return isinstance(self.predictor, ExportedPredictor)

    def description(self) -> dict[str, object]:
        """Return what is measured."""
        return {
            "model": self.predictor.name,
            "task": self.task,
            "image_size": self.images[0].shape[:2],
            "input_size": self.input_size,
            "batch_size": len(self.images),
            "device": str(self.predictor.device),
            "dtype": precision_name(self.predictor.network, self.predictor.dtype),
            "compiled": self.predictor.compiled is not None,
        }

    @torch.no_grad()
    def run_repeatedly(self, runs: int, report_step: Callable[[str], None]) -> dict[str, int]:
        """Run twice to warm up, then `runs` times; return the network's FLOP per run.

        A compiled network runs uncompiled the first time, is compiled at the second run, and on
        CUDA recorded as a CUDA graph at the third.
        """
        report_step("warming up, counting")
        flops = {} if self.is_exported else count_flops(self.predictor.network, self.run)
        report_step("warming up" if self.predictor.compiled is None else "compiling")
        for _ in range(1 if self.predictor.compiled is None else 3):
            self.run()
        self.times.clear()
        for run in range(runs):
            report_step(f"run {run + 1} of {runs}")
            self.run()
        return flops

    def run(self) -> None:
        """Run all stages once and record their times."""
        predictor, device = self.predictor, self.predictor.device
        start = time.perf_counter()
        pending = [predictor.prepare(image, None, MAX_PIXELS) for image in self.images]
        pixel_values = torch.stack([item.preprocessed.pixel_values for item in pending])
        pixel_values = pixel_values.to(device, predictor.dtype)
        synchronize(device)
        preprocessed = time.perf_counter()
        # Hooks on its modules would become part of a compiled network.
        parts = () if self.is_exported or predictor.compiled is not None else PARTS
        with PartsClock(predictor.network, device, parts) as clock:
            output = predictor.logits(pixel_values, self.task)
            synchronize(device)
        predicted = time.perf_counter()
        synthetic = synthetic_output(output)
        synchronize(device)
        postprocess_start = time.perf_counter()
        for index, item in enumerate(pending):
            predictor.postprocess(synthetic, index, item.preprocessed, self.task, None)
        postprocess_end = time.perf_counter()
        self.input_size = pending[0].preprocessed.padded_size
        self.record("preprocess", preprocessed - start)
        for name in parts:
            self.record(name, sum(clock.times[name]) / 1000)
        self.record("postprocess", postprocess_end - postprocess_start)
        self.record("network", predicted - preprocessed)
        self.record("total", predicted - start + postprocess_end - postprocess_start)

    def record(self, name: str, seconds: float) -> None:
        """Append a time to the list of a stage."""
        self.times.setdefault(name, []).append(1000 * seconds)


def validate_settings(size: Size | None, batch_size: int, runs: int) -> None:
    """Refuse sizes and numbers that cannot be measured."""
    if batch_size < 1:
        raise SettingsError(f"batch_size is {batch_size}, but must be at least 1")
    if runs < MIN_RUNS:
        raise SettingsError(f"runs is {runs}, but a measurement needs at least {MIN_RUNS}")
    if size is not None and min(size) < 1:
        raise SettingsError(f"size is {size[0]}x{size[1]}, but height and width must be positive")


def load_or_build(model: str | Path, device: str, dtype: Dtype, compile: bool) -> Predictor:
    """Load a model, or build a preset with random weights."""
    if str(model) not in PRESETS:
        return load(model, device=device, dtype=dtype, compile=compile)
    num_classes = inspect.signature(PRESETS[str(model)]).parameters["num_classes"].default
    predictor = build(str(model), labels=[f"class {n}" for n in range(num_classes)], device=device)
    predictor.network.text_mapper = None  # only training reads texts, and `load` omits it
    check_dtype(dtype)
    if dtype == "int8":
        check_int8(predictor.device, compile=compile)
    kind = choose_dtype(dtype, predictor.device, predictor.network)
    network = predictor.network.to(kind).requires_grad_(False)
    if dtype == "int8":
        prepare_int8(network)
    return Predictor(network, predictor.description, predictor.name, compiled=compile)


def with_input_size(predictor: Predictor, size: Size) -> Predictor:
    """Return the same model with pre-processing that does not resize images of this size."""
    preprocessing = replace(
        predictor.description.preprocessing, shortest_edge=min(size), longest_edge=max(size)
    )
    if isinstance(predictor, ExportedPredictor):
        fixed = predictor.network.description.input.size
        raise SettingsError(
            f"{predictor.name} takes images of {fixed[0]}x{fixed[1]} only: leave the size out, or "
            "export the model again with another --size"
        )
    changed = copy(predictor)
    changed.description = replace(predictor.description, preprocessing=preprocessing)
    return changed


def step_reporter(total: int, progress: Progress | None) -> Callable[[str], None]:
    """Return a function that reports the next step to `progress`."""
    names: list[str] = []

    def report_step(name: str) -> None:
        if progress is not None:
            progress(len(names), total, name)
        names.append(name)

    return report_step


def measure_rates(predictor: Predictor) -> dict[str, float]:
    """Measure matrix rates in float32 and the model's dtype (GFLOP/s), and copy rate (GB/s)."""
    device = predictor.device
    rates = {
        name: (int8_rate() if name == "int8" else matrix_rate(device, getattr(torch, name))) / 1e9
        for name in dict.fromkeys(("float32", compute_dtype(predictor)))
    }
    return {**rates, "copy": copy_rate(device) / 1e9}


def summarise_times(
    times: dict[str, list[float]], flops: dict[str, int], rate: float, batch_size: int
) -> dict[str, object]:
    """Compute median, minimum and floor of every stage."""
    rows: dict[str, dict[str, float]] = {}
    for name in times:
        row = {"median_ms": median(times[name]), "minimum_ms": min(times[name])}
        if name in flops:
            row["gflop"] = flops[name] / 1e9
            row["floor_ms"] = 1000 * row["gflop"] / rate
            row["floor_percent"] = 100 * row["floor_ms"] / row["median_ms"]
        rows[name] = row
    return {
        "stages": {name: rows[name] for name in STAGES if name in rows},
        "network": rows["network"],
        "total": rows["total"],
        "images_per_second": 1000 * batch_size / rows["total"]["median_ms"],
    }


def memory_report(predictor: Predictor, memory: PeakMemory) -> dict[str, float | None]:
    """Return memory in MB; None for values that the system does not provide."""
    if isinstance(predictor, ExportedPredictor):
        weights = predictor.network.weight_bytes
    else:
        weights = sum(tensor.nbytes for tensor in predictor.network.state_dict().values())
    sizes = {"weights": weights, "before": memory.before, "peak": memory.peak}
    return {name: None if size is None else size / 1e6 for name, size in sizes.items()}


def compute_dtype(predictor: Predictor) -> str:
    """Return the name of the dtype of a network's products, at whose rate floors are computed."""
    if isinstance(predictor, ExportedPredictor):
        return "float32"
    return precision_name(predictor.network, predictor.dtype)
