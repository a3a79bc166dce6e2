"""Settings that were not given, chosen from the data, the network and the hardware.

The rules are documented in docs/training.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from PIL import Image

from unimask.datasets import Dataset
from unimask.datasets.interface import HasSlices, chip_side, open_image
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError, SettingsError
from unimask.inference.dtypes import FastestDtype
from unimask.processing.image_plugins import register_for_stream
from unimask.training.plan.hardware import Machine
from unimask.training.settings import TrainingSettings, check_real

NOMINAL_BATCH = {"cpu": 4, "gpu": 16}
"""Number of images per step: the papers' 16; on a CPU, more and smaller steps learn faster."""

LARGEST_CROP = {"cpu": 256, "gpu": 512}
SMALLEST_CROP = 64

TRAINED_RATE, UNTRAINED_RATE, LIGHT_RATE = 1e-4, 5e-4, 6e-4
"""Peak learning rates at the papers' batch size: for trained weights, from scratch, and for a small
network of which only the backbone is pretrained.
"""

SMALL = 10_000_000
"""Number of parameters below which a network is small. It is trained as from scratch, with the full
rate for its backbone, if all its weights are trained: it was not pretrained on larger data
(`recipes/nuclei.py`, second stage).
"""

PASSES, MIN_STEPS, MAX_STEPS = 50, 1000, {"cpu": 3000, "gpu": 90_000}
"""Number of passes over the data as in the papers on COCO, and limits of the number of steps."""

PLAIN_PASSES, PLAIN_STEPS, PLAIN_COLOUR = 15, 400, 0.1
"""Numbers of passes and of steps up to which images keep their scale and nearly their colours:
until every image was seen a few times, augmentation slows learning (docs/training.md, comparison
with `transformers`).
"""

VALIDATIONS, VALIDATION_SHARE = 10, 0.25
"""Number of validations per run; fewer if they would take more than this share of the training
images: without gradients an image takes a third of the time, at twice the size four thirds.
"""

SAMPLED_IMAGES = 200
"""Largest number of images whose sizes are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """Facts that the course of a run is chosen from.

    Attributes:
        machine: Hardware of the run.
        images: Number of training images.
        validation_images: Number of validation images.
        elements: Number of elements of the network's parameters and buffers.
        trained: Whether the whole network has trained weights.
        pretrained: Whether the network or its backbone has trained weights.
        fastest: Dtype in which the network is fastest on the hardware.
        one_sided: Classes of one side whose counterparts are missing, as of
            `unimask.label_sides.one_sided_names`.
        plain_share: Share of the training images without any of the rarer classes (0 to 1).
    """

    machine: Machine
    images: int
    validation_images: int
    elements: int
    trained: bool
    pretrained: bool
    fastest: FastestDtype
    one_sided: tuple[str, ...] = ()
    plain_share: float = 0.0

    @property
    def precision(self) -> str:
        """Precision of the run: no float16, whose gradients would have to be scaled."""
        return "bfloat16" if self.fastest.dtype == torch.bfloat16 else "float32"


def choose_course(
    requested: TrainingSettings, given: Mapping[str, Any], crop: int, basis: Basis
) -> dict[str, Any]:
    """Choose batch, steps, rates and augmentation, except those that were given.

    Args:
        requested: Settings that were given, with defaults for all others.
        given: Options that were given by name: fields of `TrainingSettings` and `SHORTHANDS`.
        crop: Side of the training crop in pixels.
        basis: Facts to choose from.

    Returns:
        The chosen settings by name.

    Raises:
        SettingsError: `epochs` is out of range.
    """
    machine, images, elements = basis.machine, basis.images, basis.elements
    per_process = -(-nominal_batch(images, machine) // machine.processes)
    at_once = given.get("batch_size", min(per_process, images_at_once(crop, elements, machine)))
    passes = given.get("accumulate", max(1, round(per_process / at_once)))
    batch = at_once * passes * machine.processes
    steps = given.get("steps", count_steps(images, batch, given.get("epochs"), machine))
    validation_interval = math.ceil(basis.validation_images / (VALIDATION_SHARE * batch))
    rate = learning_rate(basis)
    small = elements < SMALL and (basis.trained or not basis.pretrained)
    flip = requested.augmentation.flip and not basis.one_sided
    augmentation = replace(requested.augmentation, crop=crop, flip=flip)
    chosen = {
        "batch_size": at_once,
        "accumulate": passes,
        "steps": steps,
        "learning_rate": rate * max(1.0, batch / NOMINAL_BATCH["gpu"]) ** 0.5,
        "backbone_rate": 1.0 if small else requested.backbone_rate,
        "warmup_steps": min(100, steps // 10),
        "evaluate_every": min(steps, max(steps // VALIDATIONS, validation_interval, 1)),
        "precision": basis.precision,
        "workers": min(2 if machine.kind == "cpu" else 8, machine.cores),
        "augmentation": for_length(augmentation, steps, steps * batch / images),
    }
    return {name: value for name, value in chosen.items() if name not in given}


def learning_rate(basis: Basis) -> float:
    """Return the peak learning rate at the papers' batch size."""
    if basis.elements < SMALL:
        return LIGHT_RATE if basis.pretrained and not basis.trained else UNTRAINED_RATE
    return TRAINED_RATE if basis.pretrained else UNTRAINED_RATE


def for_length(augmentation: Augmentation, steps: int, passes: float) -> Augmentation:
    """Reduce the changes of scale and colour for short runs.

    They are unchanged from `PASSES` passes and `MIN_STEPS` steps on.
    """
    shares = (
        (passes - PLAIN_PASSES) / (PASSES - PLAIN_PASSES),
        (steps - PLAIN_STEPS) / (MIN_STEPS - PLAIN_STEPS),
    )
    share = min(max(0.0, min(shares)), 1.0)
    return replace(
        augmentation,
        min_scale=augmentation.min_scale**share,
        max_scale=augmentation.max_scale**share,
        colour=PLAIN_COLOUR + share * (augmentation.colour - PLAIN_COLOUR),
    )


def crop_side(sizes: list[tuple[int, int]], machine: Machine) -> int:
    """Compute the side of the training crop: the median of the images' shorter sides.

    It is a multiple of 32, from 64 to the largest side that trains at an acceptable speed.
    """
    largest = LARGEST_CROP[machine.kind]
    if not sizes:
        return largest
    side = int(median(min(size) for size in sizes))
    return min(max(SMALLEST_CROP, -(-side // 32) * 32), largest)


def image_sizes(dataset: Dataset) -> list[tuple[int, int]]:
    """Read the sizes of evenly spaced images or slices from their headers; chips have one size.

    Files that Pillow cannot open are skipped, such as arrays and damaged images.
    """
    sizes: list[tuple[int, int]] = []
    if (side := chip_side(dataset)) is not None:
        return [(side, side)]
    for place in range(min(SAMPLED_IMAGES, len(dataset))):
        index = place * len(dataset) // min(SAMPLED_IMAGES, len(dataset))
        if isinstance(dataset, HasSlices):
            sizes.append(dataset.image_size(index))
            continue
        try:
            with open_image(dataset, index) as file:
                register_for_stream(file)
                with Image.open(file) as image:
                    sizes.append((image.height, image.width))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, DataError):
            continue
    return sizes


def nominal_batch(images: int, machine: Machine) -> int:
    """Return the images per step: 16 as in the papers, 4 on a CPU, fewer for small data."""
    return max(2, min(NOMINAL_BATCH[machine.kind], images // 4))


def images_at_once(side: int, elements: int, machine: Machine) -> int:
    """Estimate the number of images per forward pass that fit into the accelerator's memory.

    It is a power of two from a conservative estimate: 20 bytes per parameter (weights, gradients,
    AdamW's moments, average), 1 GB for PyTorch, and for an image of 512 x 512 0.6 GB plus 1 GB per
    90 million parameters. A CPU takes all images in one pass.
    """
    if machine.memory_gb is None:
        return NOMINAL_BATCH[machine.kind] if machine.kind == "cpu" else 2
    free = machine.memory_gb - 1 - 20e-9 * elements
    one = (0.6 + elements / 90e6) * (side / 512) ** 2
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
            raise SettingsError("epochs is 0: pass a positive number, such as 50")
        return max(1, round(epochs * images / batch))
    return min(max(MIN_STEPS, round(PASSES * images / batch)), MAX_STEPS[machine.kind])
