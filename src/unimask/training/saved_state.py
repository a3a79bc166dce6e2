"""Saved state of a run, validated before anything is built from it."""

import math
from collections.abc import Mapping
from typing import Annotated

import msgspec
from torch import Tensor, optim

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

LOSSES = {"loss", "class", "mask", "dice", "auxiliary"}
"""Names of the sums over a log interval."""


class AverageState(msgspec.Struct, frozen=True):
    """State of the averaged weights."""

    updates: Count
    state: dict[str, Tensor]


class SkippedImages(msgspec.Struct, frozen=True):
    """Images that could not be read; see `Unreadable`."""

    times: Count
    told: list[str]


class OptimizerState(msgspec.Struct, frozen=True):
    """Moments of each parameter, and the parameters of each group."""

    state: dict[int, dict[str, Tensor]]
    param_groups: list[dict[str, object]]


class SavedState(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `state.pt`; the attributes are those of `Loop` and `Trainee`."""

    step: Count
    best: float
    bad_steps: Count
    bad_in_a_row: Count
    unreadable: SkippedImages
    worse: Count
    had_enough: bool
    sums: dict[str, float]
    taken: Count
    spent: float
    unjudged: bool
    network: dict[str, Tensor]
    optimizer: OptimizerState
    average: AverageState

    def __post_init__(self) -> None:
        """Validate the score and the sums.

        Raises:
            ValueError: The score is not finite, or the sums do not match the number of steps.
        """
        if not math.isfinite(self.best):
            raise ValueError(f"its best score is {self.best}")
        if set(self.sums) != (LOSSES if self.taken else set()):
            raise ValueError("its sums are not those of the losses")

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
    """Validate the content of a state file.

    Raises:
        ValueError: A value is missing, or of another type.
    """
    return msgspec.convert(value, SavedState)  # its ValidationError is a ValueError
