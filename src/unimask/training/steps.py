"""One optimizer step: forward, losses, backward, and a check for non-finite numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn, optim

from unimask.errors import TrainingError
from unimask.losses import BoxLosses, Losses
from unimask.training.average import WeightAverage
from unimask.training.batches import Batch
from unimask.training.mask_annealing import anneal_masks
from unimask.training.progress import Progress
from unimask.training.schedule import rate_at
from unimask.training.settings import TrainingSettings

MAX_NAMED_IMAGES = 4
"""Largest number of images named for a skipped step."""


@dataclass(eq=False)
class TrainState:
    """State that changes during training.

    Attributes:
        network: Network to train.
        optimizer: Optimizer of its weights.
        average: Moving average of its weights.
        criterion: Loss function.
        progress: Counters of the run.
        skip_message: Description of the last skipped step, until it is printed.
    """

    network: nn.Module
    optimizer: optim.Optimizer
    average: WeightAverage
    criterion: nn.Module
    progress: Progress = field(default_factory=Progress)
    skip_message: str = ""


def update(
    fabric: Fabric,
    state: TrainState,
    stream: Iterator[Batch],
    step: int,
    settings: TrainingSettings,
) -> dict[str, float]:
    """Run one optimizer step, and return the means of its losses.

    A step with non-finite losses or gradients in any process changes no weights.

    Raises:
        TrainingError: `max_bad_steps` steps in a row were skipped.
    """
    # Dropout and stochastic depth depend on this seed, so that a resumed run is reproducible.
    seed = settings.seed * 1_000_003 + step * fabric.world_size + fabric.global_rank
    torch.manual_seed(seed % 2**63)
    generator = torch.Generator().manual_seed(torch.initial_seed() % 2**31)
    anneal_masks(state.network, step / settings.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = settings.learning_rate * group["rate"] * rate_at(step, settings)
    sums: dict[str, float] = {}
    paths: list[Path] = []
    bad_paths: list[Path] = []
    for index in range(settings.accumulate):
        last = index == settings.accumulate - 1
        with fabric.no_backward_sync(state.network, enabled=not last):  # type: ignore[arg-type]
            batch = next(stream)
            state.progress.add_unreadable(batch.skipped)
            losses = forward(fabric, state, batch, generator)
            fabric.backward(losses.total / settings.accumulate)
        terms = headline(losses)  # one transfer, since each one waits for the GPU
        values = torch.stack(list(terms.values())).tolist()
        for name, value in zip(terms, values, strict=True):
            sums[name] = sums.get(name, 0.0) + value / settings.accumulate
        paths += batch.paths
        bad_paths += [] if math.isfinite(sum(values)) else batch.paths
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip_norm)
    if everywhere_finite(fabric, norm, sums["loss"] + sums["auxiliary"]):
        state.optimizer.step()
        state.average.update(getattr(state.network, "module", state.network))
        state.progress.skipped_in_a_row = 0
    else:
        reason = non_finite_reason(sums, float(norm))
        count_skipped_step(state, step, bad_paths or paths, settings, reason)
    state.optimizer.zero_grad()
    return sums


def headline(losses: Losses | BoxLosses) -> dict[str, Tensor]:
    """Name the losses to log: the last layer's total and terms, and the sum of all others."""
    boxes = {}
    if isinstance(losses, BoxLosses):
        boxes = {"box": losses.box_loss, "giou": losses.giou_loss}
    return {
        **boxes,
        "loss": losses.headline,
        "class": losses.class_loss,
        "mask": losses.mask_loss,
        "dice": losses.dice_loss,
        "auxiliary": losses.total.detach() - losses.headline,
    }


def forward(
    fabric: Fabric, state: TrainState, batch: Batch, generator: torch.Generator
) -> Losses | BoxLosses:
    """Run the network and the criterion on one batch."""
    sentences = None if batch.sentences is None else fabric.to_device(batch.sentences)
    output = state.network(
        fabric.to_device(batch.pixel_values),
        batch.tasks,
        sentences=sentences,
        factored=state.criterion.takes_factors,
    )
    targets = [target.to(fabric.device) for target in batch.targets]
    return state.criterion(output, targets, generator=generator)


def everywhere_finite(fabric: Fabric, norm: Tensor, loss: float) -> bool:
    """Return whether loss and gradients are finite in all processes."""
    good = torch.isfinite(norm) & torch.isfinite(torch.tensor(loss, device=norm.device))
    agreed = fabric.all_reduce(good.float(), reduce_op="mean")
    return float(agreed) == 1.0  # type: ignore[arg-type]


def non_finite_reason(losses: dict[str, float], norm: float) -> str:
    """Describe which number of a step is not finite."""
    terms = [f"{name} {value:g}" for name, value in losses.items() if not math.isfinite(value)]
    if terms:
        return f"losses are not finite ({', '.join(terms)})"
    if not math.isfinite(norm):
        return f"the losses are finite, but the norm of the gradients is {norm:g}"
    return "another process had losses or gradients that are not finite"


def count_skipped_step(
    state: TrainState, step: int, images: Sequence[Path], settings: TrainingSettings, reason: str
) -> None:
    """Count and describe a skipped step; fail after too many in a row.

    Args:
        state: State with the counters.
        step: Number of the step, from 0.
        images: Images with non-finite loss; all images of the step if only gradients are.
        settings: Settings with the limit.
        reason: Description of the non-finite number.

    Raises:
        TrainingError: `max_bad_steps` steps in a row were skipped.
    """
    progress = state.progress
    progress.skipped_steps += 1
    progress.skipped_in_a_row += 1
    names = ", ".join(str(path) for path in images[:MAX_NAMED_IMAGES])
    names += f" and {len(images) - MAX_NAMED_IMAGES} more" if len(images) > MAX_NAMED_IMAGES else ""
    state.skip_message = f"step {step + 1}, its loss or gradients are not finite: {names}"
    if progress.skipped_in_a_row >= settings.max_bad_steps:
        raise TrainingError(
            f"{progress.skipped_in_a_row} steps in a row up to step {step + 1} were skipped, the "
            f"last with {names}, as {reason}: {remedy(settings)}; the last saved state is kept"
        )


def remedy(settings: TrainingSettings) -> str:
    """Format advice for a run with non-finite numbers."""
    rate = f"lower --learning-rate (now {settings.learning_rate:g})"
    return rate if settings.precision == "float32" else f"{rate}, or pass --precision float32"
