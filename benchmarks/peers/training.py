"""Training steps of `benchmarks/peers/run.py`: forward, loss, backward, optimizer."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.peers.cases import HALF, TrainingCase
from benchmarks.peers.networks import images, read, silence_logs
from benchmarks.peers.process import timed
from unimask.checkpoints import read_huggingface
from unimask.kernels.memory import keep_freed_memory
from unimask.losses.build import build_criterion
from unimask.modeling.build import build_segmenter
from unimask.outputs import Target
from unimask.training.optimizer import build_optimizer
from unimask.training.settings import TrainingSettings

CPU = torch.device("cpu")

RATE = 1e-6
"""Learning rate, so low that the losses of all steps can be compared with each other."""


def prepare(system: str, kind: str, case: TrainingCase, folder: Path) -> dict[str, Callable]:
    """Return a process's request handlers: a timed step, and its loss."""
    silence_logs()
    step = stepper(system, kind, case, folder, CPU)
    step()  # warms up
    losses: list[float] = []
    return {
        "run": timed(lambda: losses.append(step())),
        "loss": lambda: sum(losses) / len(losses),
    }


def stepper(
    system: str, kind: str, case: TrainingCase, folder: Path, device: torch.device
) -> Callable[[], float]:
    """Return a function that takes a training step and returns its loss."""
    torch.manual_seed(0)
    loss_of = STEPS[system](case, folder, device)
    optimizer = OPTIMIZERS[system](loss_of)

    def step() -> float:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=kind == HALF):
            loss = loss_of()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def discs(case: TrainingCase) -> tuple[Tensor, Tensor]:
    """Return masks (n, h, w) of round objects on a grid, and their labels (n)."""
    across = int((case.objects - 1) ** 0.5) + 1
    number = torch.arange(case.objects)
    height, width = case.size
    y, x = (number // across + 0.5) / across * height, (number % across + 0.5) / across * width
    down = torch.arange(height)[None, :, None] - y[:, None, None]
    right = torch.arange(width)[None, None, :] - x[:, None, None]
    radius = 0.4 * min(case.size) / across
    return down.square() + right.square() < radius**2, number % case.network.classes


class Ours(nn.Module):
    """Our network and its criterion, combined as in `unimask train`."""

    def __init__(self, case: TrainingCase, folder: Path, device: torch.device) -> None:
        super().__init__()
        keep_freed_memory()
        checkpoint = read_huggingface(folder)
        self.network = build_segmenter(checkpoint.description.config).train()
        self.network.load_state_dict(checkpoint.state)
        self.criterion = build_criterion(checkpoint.description.config)
        masks, labels = discs(case)
        self.targets = [Target(labels, masks).to(device)] * case.batch
        self.pixel_values = images(case.batch, case.size).to(device)
        self.to(device)

    def forward(self) -> Tensor:
        """Compute the loss; like Fabric's, predictions leave autocast as float32."""
        output = self.network(self.pixel_values, factored=self.criterion.takes_factors)
        with torch.autocast(self.pixel_values.device.type, enabled=False):
            return self.criterion(in_float(output), self.targets).total


def in_float(output):
    """Convert every tensor of nested named tuples to float32."""
    if isinstance(output, Tensor):
        return output.float()
    if hasattr(output, "_fields"):
        return type(output)(*map(in_float, output))
    return tuple(map(in_float, output)) if isinstance(output, tuple) else output


class Theirs(nn.Module):
    """The network of `transformers`, which includes its loss."""

    def __init__(self, case: TrainingCase, folder: Path, device: torch.device) -> None:
        super().__init__()
        self.network = read(case.network, folder).train()
        masks, labels = (part.to(device) for part in discs(case))
        self.masks, self.labels = [masks.float()] * case.batch, [labels] * case.batch
        self.pixel_values = images(case.batch, case.size).to(device)
        self.to(device)

    def forward(self) -> Tensor:
        """Compute the loss."""
        output = self.network(
            pixel_values=self.pixel_values, mask_labels=self.masks, class_labels=self.labels
        )
        return output.loss.squeeze()


STEPS: dict[str, Callable[[TrainingCase, Path, torch.device], nn.Module]] = {
    "unimask": Ours,
    "transformers": Theirs,
}

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "unimask": lambda network: build_optimizer(
        network, TrainingSettings(learning_rate=RATE), pretrained=False
    ),
    "transformers": lambda network: torch.optim.AdamW(network.parameters(), lr=RATE),
}
