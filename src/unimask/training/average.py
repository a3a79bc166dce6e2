"""Exponential moving average of the weights, for validation and saving."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of parameters and buffers.

    The decay rises with the number of updates, so that the initial weights have little influence.

    Args:
        network: Network whose weights are averaged.
        decay: Final decay per update, 0 to 1; 0 copies the weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average with the current weights."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.decay else 0.0
        for name, value in network.state_dict().items():
            average = self.state[name]
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), 1 - keep)
            else:
                average.copy_(value)

    def state_dict(self) -> dict[str, object]:
        """Return the state for `load_state_dict`."""
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, saved: dict[str, object]) -> None:
        """Restore a saved average."""
        self.updates = int(saved["updates"])  # type: ignore[call-overload]
        state: dict[str, Tensor] = saved["state"]  # type: ignore[assignment]
        for name, value in state.items():
            self.state[name].copy_(value)
