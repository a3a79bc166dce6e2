"""Settings that fit the data and the machine, for all that nobody said (docs/training.md)."""

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
from unimask.datasets.found import open_picture
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError, SettingsError
from unimask.inference.load import quickest_dtype
from unimask.processing.preprocess import input_size
from unimask.training.settings import TrainingSettings, check_choices, check_real, check_whole

NOMINAL_BATCH = {"cpu": 4, "gpu": 16}
"""Pictures per update: the papers' 16; on a CPU more small steps learn more per hour."""

LARGEST_SQUARE = {"cpu": 256, "gpu": 512}
SMALLEST_SQUARE = 64

TRAINED_RATE, UNTRAINED_RATE = 1e-4, 5e-4
"""Peak rates at the papers' batch: theirs, for trained weights or backbones; and from scratch."""

SMALL = 10_000_000
"""Parameters below which a network that was trained as a whole goes on as from scratch, with its
backbone at the full rate: it was trained on nothing larger (`recipes/nuclei.py`, second leg)."""

PASSES, LEAST_STEPS, MOST_STEPS = 50, 1000, {"cpu": 3000, "gpu": 90_000}
"""The papers' passes over COCO, within what small data need and what a day allows."""

PLAIN_PASSES, PLAIN_STEPS, STEADY_COLOUR = 15, 400, 0.1
"""Passes, and steps, up to which pictures keep their scale, and nearly their colours: until all was
seen a few times, every change of it is one more thing to learn (docs/training.md, beside
`transformers`)."""

VALIDATIONS, JUDGED = 10, 0.25
"""Validations of a run; fewer, where they would judge more than this share of what it learns from:
without gradients a picture takes a third of the time, at twice the size four thirds."""

MEASURED = 200
"""Pictures whose sizes are looked at."""

SHORTHANDS = ("size", "epochs")
"""What may be said besides the settings: the side of the square, and passes in place of steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the rules ask of a machine.

    Attributes:
        kind: "cpu", or "gpu" for any accelerator.
        memory_gb: Of one accelerator; None if unknown.
        bfloat16: Whether it multiplies in bfloat16.
        cores: Of the processor, for each process of the run.
        processes: Of the run, on all machines.
    """

    kind: str
    memory_gb: float | None
    bfloat16: bool
    cores: int
    processes: int


def find_machine(device: str) -> Machine:
    """Look at the machine.

    Args:
        device: As `check_device` takes it.
    """
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_cuda = device.partition(":")[0] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    on_mps = not on_cuda and device in ("auto", "gpu", "mps") and torch.backends.mps.is_available()
    place = torch.device("cuda" if on_cuda else "mps" if on_mps else "cpu")
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if on_cuda else None
    return Machine(
        kind="cpu" if place.type == "cpu" else "gpu",
        memory_gb=memory,
        bfloat16=quickest_dtype(place) == torch.bfloat16,
        cores=max(1, (os.cpu_count() or 1) // here),
        processes=int(os.environ.get("WORLD_SIZE", here)),
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """What was said of a run, and what the rest follows from.

    Attributes:
        said: Fields of `TrainingSettings` by name, and `SHORTHANDS`.
        settings: All of them, which `said` changes; None leaves all else to the rules.
        sizes: Of some pictures, (height, width).
        machine: Where.
    """

    said: Mapping[str, Any]
    settings: TrainingSettings | None
    sizes: list[tuple[int, int]]
    machine: Machine

    def first(self) -> TrainingSettings:
        """Give the settings that a network is built with: all that was said, and the square.

        Raises:
            SettingsError: Something said is no setting, or two things contradict each other.
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
        pictures: int,
        judged: int,
    ) -> TrainingSettings:
        """Fill in what nobody said.

        Args:
            settings: From `first`.
            checkpoint: What is trained.
            pretrained: Whether its weights, or its backbone's, were trained before.
            pictures: To learn from.
            judged: To judge by.
        """
        machine, said = self.machine, self.said
        if self.settings is not None:
            return settings
        if not {"size", "augmentation"} & set(said):  # as large as pictures are predicted
            seen = [input_size(size, checkpoint.preprocessing) for size in self.sizes]
            settings = with_square(settings, square(seen, machine))
        each = -(-nominal_batch(pictures, machine) // machine.processes)
        parameters = sum(tensor.numel() for tensor in checkpoint.state.values())
        largest = pictures_at_once(settings.augmentation.crop, parameters, machine)
        at_once = said.get("batch_size", min(each, largest))
        passes = said.get("accumulate", max(1, round(each / at_once)))
        batch = at_once * passes * machine.processes
        steps = said.get("steps", count_steps(pictures, batch, said.get("epochs"), machine))
        least = math.ceil(judged / (JUDGED * batch))
        small = parameters < SMALL and settings.backbone_weights is None
        rate = TRAINED_RATE if pretrained and not small else UNTRAINED_RATE
        chosen = {
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
        settings = replace(settings, **{k: v for k, v in chosen.items() if k not in said})
        if "augmentation" in said:
            return settings
        changed = for_length(settings.augmentation, steps, steps * batch / pictures)
        return replace(settings, augmentation=changed)

    def in_words(self, settings: TrainingSettings, pictures: int, judged: int) -> str:
        """Say how a run goes, and which options say otherwise.

        Args:
            settings: Of the run.
            pictures: To learn from.
            judged: To judge by.
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
        told = (
            f"{pictures} pictures to learn from, {judged} to judge by\n"
            f"{settings.steps} steps of {batch} pictures ({', '.join(parts)}), "
            f"{settings.steps * batch / pictures:.1f} epochs; "
            f"squares of {settings.augmentation.crop} at {scale_range(settings.augmentation)}; "
            f"learning rate {settings.learning_rate:.1e}; {settings.precision}; "
            f"judged every {settings.evaluate_every or settings.steps} steps"
        )
        return told + (f" (chosen here; to change: {' '.join(free)})" if free else "")


def with_changes(settings: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """Give settings with some fields changed; `epochs` is left to `Choices.rest`.

    Raises:
        SettingsError: A name is none of a setting, or two contradict each other.
    """
    known = {field.name for field in fields(TrainingSettings)}
    unknown = sorted(set(changes) - known - set(SHORTHANDS))
    if unknown:
        raise SettingsError(f"{unknown[0]!r} is no setting: see TrainingSettings")
    for pair in (("steps", "epochs"), ("augmentation", "size")):
        if set(pair) <= set(changes):
            raise SettingsError(f"give --{pair[0]} or --{pair[1]}, not both")
    check_choices(changes)
    settings = replace(settings, **{name: changes[name] for name in changes if name in known})
    return with_square(settings, changes["size"]) if "size" in changes else settings


def with_square(settings: TrainingSettings, side: int) -> TrainingSettings:
    """Return the settings with another training square.

    Raises:
        SettingsError: The side is no whole number.
    """
    check_whole("size", side, 32, 16_384)
    return replace(settings, augmentation=replace(settings.augmentation, crop=side))


def scale_range(augmentation: Augmentation) -> str:
    """Describe the scales at which images are seen."""
    least, most = (f"{scale:.2g}" for scale in (augmentation.min_scale, augmentation.max_scale))
    if least == most:
        return "the size of prediction" if least == "1" else f"{least} times the size of prediction"
    return f"{least} to {most} times the size of prediction"


def for_length(augmentation: Augmentation, steps: int, passes: float) -> Augmentation:
    """Give an augmentation the changes of scale and colour that fit a run's length.

    Its own from the papers' passes over the data and the least steps of a run on, fewer in shorter
    ones.
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
    """Give the side of the training square: half of the pictures have no shorter side above it.

    A multiple of 32, from 64 to what a machine of this kind trains at a bearable speed.
    """
    largest = LARGEST_SQUARE[machine.kind]
    if not sizes:
        return largest
    side = int(median(min(size) for size in sizes))
    return min(max(SMALLEST_SQUARE, -(-side // 32) * 32), largest)


def picture_sizes(dataset: Dataset) -> list[tuple[int, int]]:
    """Read the sizes of some pictures, evenly spaced, from their headers alone.

    Files that are no pictures to Pillow are passed over: arrays, and what is damaged.
    """
    sizes = []
    for place in range(min(MEASURED, len(dataset))):
        index = place * len(dataset) // min(MEASURED, len(dataset))
        try:
            with open_picture(dataset, index) as file, Image.open(file) as picture:
                sizes.append((picture.height, picture.width))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, DataError):
            continue
    return sizes


def nominal_batch(pictures: int, machine: Machine) -> int:
    """Give the pictures per update: the papers' 16, or 4 on a CPU; of small data a quarter."""
    return max(2, min(NOMINAL_BATCH[machine.kind], pictures // 4))


def pictures_at_once(side: int, parameters: int, machine: Machine) -> int:
    """Give the pictures of one pass: a power of two that should fit in an accelerator's memory.

    A rule of thumb on the careful side: weights, gradients, AdamW's moments and the average are
    20 bytes a parameter, PyTorch itself a gigabyte; a picture of 512 x 512 is 0.6 GB, and 1 GB more
    for each 90 million parameters. A CPU takes all at once.
    """
    if machine.memory_gb is None:
        return NOMINAL_BATCH[machine.kind] if machine.kind == "cpu" else 2
    free = machine.memory_gb - 1 - 20e-9 * parameters
    one = (0.6 + parameters / 90e6) * (side / 512) ** 2
    fitting = max(1, int(free / one))
    return 1 << (fitting.bit_length() - 1)


def count_steps(pictures: int, batch: int, epochs: float | None, machine: Machine) -> int:
    """Return the updates of a run: those of `epochs`, else of the papers' 50, within bounds.

    Raises:
        SettingsError: `epochs` is no positive number, or far too many.
    """
    if epochs is not None:
        check_real("epochs", epochs, 0.0, 1e9, "a positive number, such as 50")
        if epochs == 0:
            raise SettingsError("epochs is 0: give a positive number, such as 50")
        return max(1, round(epochs * pictures / batch))
    return min(max(LEAST_STEPS, round(PASSES * pictures / batch)), MOST_STEPS[machine.kind])
