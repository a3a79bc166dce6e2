"""Saved state of a run, validated before anything is built from it."""

from collections.abc import Mapping

import msgspec
from torch import Tensor, optim

from unimask.training.progress import Count, Progress, upgrade_progress


class AverageState(msgspec.Struct, frozen=True):
    """State of the averaged weights."""

    updates: Count
    state: dict[str, Tensor]


class OptimizerState(msgspec.Struct, frozen=True):
    """Moments of each parameter, and the parameters of each group."""

    state: dict[int, dict[str, Tensor]]
    param_groups: list[dict[str, object]]


class SavedState(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `state.pt`: the progress of a run, and the state dicts of its `TrainState`."""

    progress: Progress
    network: dict[str, Tensor]
    optimizer: OptimizerState
    average: AverageState

    def check_shapes(self, wanted: Mapping[str, Tensor]) -> None:
        """Raise ValueError unless the weights match the network.

        Args:
            wanted: Tensors of the network by name.

        Raises:
            ValueError: A tensor is missing, unknown, or of another shape.
        """
        for where, tensors in (("network", self.network), ("average", self.average.state)):
            for name in sorted(set(wanted) ^ set(tensors)):
                raise ValueError(f"its {where} {'lacks' if name in wanted else 'has'} {name}")
            for name, tensor in wanted.items():
                if tensors[name].shape != tensor.shape:
                    shapes = tuple(tensors[name].shape), tuple(tensor.shape)
                    raise ValueError(f"{name} is {shapes[0]}, the network needs {shapes[1]}")

    def restore_optimizer(self, optimizer: optim.Optimizer) -> None:
        """Load the optimizer's moments; learning rates and decays stay those of the settings.

        Raises:
            ValueError: The moments belong to other parameters.
        """
        groups = optimizer.state_dict()["param_groups"]
        saved_groups = [group.get("params") for group in self.optimizer.param_groups]
        if saved_groups != [group["params"] for group in groups]:
            raise ValueError("its optimizer has other groups of parameters")
        shapes = [p.shape for group in optimizer.param_groups for p in group["params"]]
        for number, moments in self.optimizer.state.items():
            for name, tensor in moments.items():
                if not 0 <= number < len(shapes) or tensor.shape not in (shapes[number], ()):
                    raise ValueError(f"its optimizer's {name} of parameter {number} does not fit")
        optimizer.load_state_dict({"state": self.optimizer.state, "param_groups": groups})


def parse_state(value: object) -> SavedState:
    """Validate the content of a state file, also of one that an earlier release wrote.

    Raises:
        ValueError: A value is missing, or of another type.
    """
    if isinstance(value, dict) and "progress" not in value and "step" in value:
        value = value | {"progress": upgrade_progress(value)}
    return msgspec.convert(value, SavedState)  # its ValidationError is a ValueError
