"""Defaults of settings from the data and the hardware (docs/training.md)."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

import torch
from PIL import Image

from unimask.checkpoints import Checkpoint
from unimask.datasets import Dataset
from unimask.datasets.interface import open_image
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError, SettingsError
from unimask.inference.load import fastest_dtype
from unimask.processing.preprocess import input_size
from unimask.training.settings import TrainingSettings, check_choices, check_real, check_whole

NOMINAL_BATCH = {"cpu": 4, "gpu": 16}
"""Number of images per step: the papers' 16; on a CPU, more and smaller steps learn faster."""

LARGEST_SQUARE = {"cpu": 256, "gpu": 512}
SMALLEST_SQUARE = 64

TRAINED_RATE, UNTRAINED_RATE = 1e-4, 5e-4
"""Peak learning rates at the papers' batch size: for trained weights, and from scratch."""

SMALL = 10_000_000
"""Number of parameters below which a trained network is trained as from scratch, with the full
rate for its backbone: it was not pretrained on larger data (`recipes/nuclei.py`, second stage).
"""

PASSES, LEAST_STEPS, MOST_STEPS = 50, 1000, {"cpu": 3000, "gpu": 90_000}
"""Number of passes over the data as in the papers on COCO, and limits of the number of steps."""

PLAIN_PASSES, PLAIN_STEPS, STEADY_COLOUR = 15, 400, 0.1
"""Numbers of passes and of steps up to which images keep their scale and nearly their colours:
until every image was seen a few times, augmentation slows learning (docs/training.md, comparison
with `transformers`).
"""

VALIDATIONS, JUDGED = 10, 0.25
"""Number of validations per run; fewer if they would take more than this share of the training
images: without gradients an image takes a third of the time, at twice the size four thirds.
"""

MEASURED = 200
"""Largest number of images whose sizes are read."""

SHORTHANDS = ("size", "epochs")
"""Options besides the settings: side of the training crop, and passes instead of steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Properties of the hardware that the defaults depend on.

    Attributes:
        kind: "cpu", or "gpu" for any accelerator.
        memory_gb: Memory of one accelerator in GB; None if unknown.
        bfloat16: Whether bfloat16 is fast.
        cores: Number of CPU cores for each process of the run.
        processes: Number of processes of the run on all machines.
    """

    kind: str
    memory_gb: float | None
    bfloat16: bool
    cores: int
    processes: int


def find_machine(device: str) -> Machine:
    """Detect the hardware.

    Args:
        device: Device name as for `check_device`.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_cuda = device.partition(":")[0] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    on_mps = not on_cuda and device in ("auto", "gpu", "mps") and torch.backends.mps.is_available()
    place = torch.device("cuda" if on_cuda else "mps" if on_mps else "cpu")
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if on_cuda else None
    return Machine(
        kind="cpu" if place.type == "cpu" else "gpu",
        memory_gb=memory,
        bfloat16=fastest_dtype(place) == torch.bfloat16,
        cores=max(1, (os.cpu_count() or 1) // here),
        processes=int(os.environ.get("WORLD_SIZE", here)),
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """Options given for a run, and the facts from which the other settings are chosen.

    Attributes:
        said: Options given by name: fields of `TrainingSettings` and `SHORTHANDS`.
        settings: Complete settings, which `said` changes; None if the other settings are chosen.
        sizes: Sizes (height, width) of some images.
        machine: Hardware of the run.
    """

    said: Mapping[str, Any]
    settings: TrainingSettings | None
    sizes: list[tuple[int, int]]
    machine: Machine

    def first(self) -> TrainingSettings:
        """Return the settings that the network is built with: those given, and the crop size.

        Raises:
            SettingsError: A name is unknown, or two options contradict each other.
        """
        settings = with_changes(self.settings or TrainingSettings(), self.said)
        if self.settings is not None or {"size", "augmentation"} & set(self.said):
            return settings
        return with_square(settings, square(self.sizes, self.machine))

    def rest(
        self,
        settings: TrainingSettings,
        checkpoint: Checkpoint,
        pretrained: bool,
        images: int,
        judged: int,
    ) -> TrainingSettings:
        """Choose the settings that were not given.

        Args:
            settings: Settings from `first`.
            checkpoint: Network to train.
            pretrained: Whether the network or its backbone has trained weights.
            images: Number of training images.
            judged: Number of validation images.
        """
        machine, given = self.machine, self.said
        if self.settings is not None:
            return settings
        if not {"size", "augmentation"} & set(given):  # crops as large as images in prediction
            resized = [
                input_size(size, checkpoint.description.preprocessing) for size in self.sizes
            ]
            settings = with_square(settings, square(resized, machine))
        each = -(-nominal_batch(images, machine) // machine.processes)
        parameters = sum(tensor.numel() for tensor in checkpoint.state.values())
        largest = images_at_once(settings.augmentation.crop, parameters, machine)
        at_once = given.get("batch_size", min(each, largest))
        passes = given.get("accumulate", max(1, round(each / at_once)))
        batch = at_once * passes * machine.processes
        steps = given.get("steps", count_steps(images, batch, given.get("epochs"), machine))
        least = math.ceil(judged / (JUDGED * batch))
        small = parameters < SMALL and settings.backbone_weights is None
        rate = TRAINED_RATE if pretrained and not small else UNTRAINED_RATE
        defaults = {
            "batch_size": at_once,
            "accumulate": passes,
            "steps": steps,
            "learning_rate": rate * max(1.0, batch / NOMINAL_BATCH["gpu"]) ** 0.5,
            "backbone_rate": 1.0 if small else settings.backbone_rate,
            "warmup_steps": min(100, steps // 10),
            "evaluate_every": min(steps, max(steps // VALIDATIONS, least, 1)),
            "precision": "bfloat16" if machine.bfloat16 else "float32",
            "workers": min(2 if machine.kind == "cpu" else 8, machine.cores),
        }
        settings = replace(settings, **{k: v for k, v in defaults.items() if k not in given})
        if "augmentation" in given:
            return settings
        changed = for_length(settings.augmentation, steps, steps * batch / images)
        return replace(settings, augmentation=changed)

    def in_words(self, settings: TrainingSettings, images: int, judged: int) -> str:
        """Describe the course of a run and the options that change it.

        Args:
            settings: Settings of the run.
            images: Number of training images.
            judged: Number of validation images.
        """
        processes = self.machine.processes
        batch = settings.batch_size * settings.accumulate * processes
        parts = [f"{settings.batch_size} at a time"]
        parts += [f"{settings.accumulate} passes"] if settings.accumulate > 1 else []
        parts += [f"{processes} processes"] if processes > 1 else []
        names = ("size", "batch_size", "accumulate", "learning_rate", "steps", "precision")
        free = [
            f"--{name.replace('_', '-')}"
            for name in names
            if self.settings is None and name not in self.said
        ]
        description = (
            f"{images} images to learn from, {judged} to judge by\n"
            f"{settings.steps} steps of {batch} images ({', '.join(parts)}), "
            f"{settings.steps * batch / images:.1f} epochs; "
            f"squares of {settings.augmentation.crop} at {scale_range(settings.augmentation)}; "
            f"learning rate {settings.learning_rate:.1e}; {settings.precision}; "
            f"judged every {settings.evaluate_every or settings.steps} steps"
        )
        return description + (f" (chosen here; to change: {' '.join(free)})" if free else "")


def with_changes(settings: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """Replace fields of settings by name; `epochs` is left to `Choices.rest`.

    Raises:
        SettingsError: A name is unknown, or two options contradict each other.
    """
    field_names = {field.name for field in fields(TrainingSettings)}
    unknown = sorted(set(changes) - field_names - set(SHORTHANDS))
    if unknown:
        raise SettingsError(f"{unknown[0]!r} is no setting: see TrainingSettings")
    for pair in (("steps", "epochs"), ("augmentation", "size")):
        if set(pair) <= set(changes):
            raise SettingsError(f"give --{pair[0]} or --{pair[1]}, not both")
    check_choices(changes)
    settings = replace(settings, **{name: changes[name] for name in changes if name in field_names})
    return with_square(settings, changes["size"]) if "size" in changes else settings


def with_square(settings: TrainingSettings, side: int) -> TrainingSettings:
    """Replace the side of the training crop.

    Raises:
        SettingsError: The side is not an integer.
    """
    check_whole("size", side, 32, 16_384)
    return replace(settings, augmentation=replace(settings.augmentation, crop=side))


def scale_range(augmentation: Augmentation) -> str:
    """Describe the range of image scales relative to prediction."""
    least, most = (f"{scale:.2g}" for scale in (augmentation.min_scale, augmentation.max_scale))
    if least == most:
        return "the size of prediction" if least == "1" else f"{least} times the size of prediction"
    return f"{least} to {most} times the size of prediction"


def for_length(augmentation: Augmentation, steps: int, passes: float) -> Augmentation:
    """Reduce the changes of scale and colour for short runs.

    They are unchanged from `PASSES` passes and `LEAST_STEPS` steps on.
    """
    shares = (
        (passes - PLAIN_PASSES) / (PASSES - PLAIN_PASSES),
        (steps - PLAIN_STEPS) / (LEAST_STEPS - PLAIN_STEPS),
    )
    share = min(max(0.0, min(shares)), 1.0)
    return replace(
        augmentation,
        min_scale=augmentation.min_scale**share,
        max_scale=augmentation.max_scale**share,
        colour=STEADY_COLOUR + share * (augmentation.colour - STEADY_COLOUR),
    )


def square(sizes: list[tuple[int, int]], machine: Machine) -> int:
    """Compute the side of the training crop: the median of the images' shorter sides.

    It is a multiple of 32, from 64 to the largest side that trains at an acceptable speed.
    """
    largest = LARGEST_SQUARE[machine.kind]
    if not sizes:
        return largest
    side = int(median(min(size) for size in sizes))
    return min(max(SMALLEST_SQUARE, -(-side // 32) * 32), largest)


def image_sizes(dataset: Dataset) -> list[tuple[int, int]]:
    """Read the sizes of evenly spaced images from their headers.

    Files that Pillow cannot open are skipped, such as arrays and damaged images.
    """
    sizes = []
    for place in range(min(MEASURED, len(dataset))):
        index = place * len(dataset) // min(MEASURED, len(dataset))
        try:
            with open_image(dataset, index) as file, Image.open(file) as image:
                sizes.append((image.height, image.width))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, DataError):
            continue
    return sizes


def nominal_batch(images: int, machine: Machine) -> int:
    """Return the images per step: 16 as in the papers, 4 on a CPU, fewer for small data."""
    return max(2, min(NOMINAL_BATCH[machine.kind], images // 4))


def images_at_once(side: int, parameters: int, machine: Machine) -> int:
    """Estimate the number of images per forward pass that fit into the accelerator's memory.

    It is a power of two from a conservative estimate: 20 bytes per parameter (weights, gradients,
    AdamW's moments, average), 1 GB for PyTorch, and for an image of 512 x 512 0.6 GB plus 1 GB per
    90 million parameters. A CPU takes all images in one pass.
    """
    if machine.memory_gb is None:
        return NOMINAL_BATCH[machine.kind] if machine.kind == "cpu" else 2
    free = machine.memory_gb - 1 - 20e-9 * parameters
    one = (0.6 + parameters / 90e6) * (side / 512) ** 2
    fitting = max(1, int(free / one))
    return 1 << (fitting.bit_length() - 1)


def count_steps(images: int, batch: int, epochs: float | None, machine: Machine) -> int:
    """Compute the number of steps for `epochs`, or for the papers' 50 passes within limits.

    Raises:
        SettingsError: `epochs` is not a positive number, or far too large.
    """
    if epochs is not None:
        check_real("epochs", epochs, 0.0, 1e9, "a positive number, such as 50")
        if epochs == 0:
            raise SettingsError("epochs is 0: give a positive number, such as 50")
        return max(1, round(epochs * images / batch))
    return min(max(LEAST_STEPS, round(PASSES * images / batch)), MOST_STEPS[machine.kind])
