"""Progress of a run: its counters and the current log interval, saved whole in `state.pt`."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

LOSSES = {"loss", "class", "mask", "dice", "auxiliary"}
"""Names of the sums over a log interval."""

BOX_LOSSES = {"box", "giou"}
"""Names of additional sums for networks that predict boxes."""


class Progress(msgspec.Struct, kw_only=True):
    """Counters of a run that change during training.

    Attributes:
        step: Number of steps taken, including skipped ones.
        best: Best validation score so far; -1 before the first validation.
        bad_validations: Number of validations since the best score.
        validation_pending: Whether the validation after the last step is still to be done.
        skipped_steps: Number of steps skipped because of non-finite losses or gradients.
        skipped_in_a_row: Number of skipped steps since the last good one.
        unreadable_images: Number of unreadable images that were replaced, with repetitions.
        unreadable_reasons: Error message of each unreadable image, once.
        loss_sums: Sums of the losses over the current log interval.
        interval_steps: Number of steps in the current log interval.
        interval_seconds: Duration of these steps in seconds.
    """

    step: Count = 0
    best: float = -1.0
    bad_validations: Count = 0
    validation_pending: bool = False
    skipped_steps: Count = 0
    skipped_in_a_row: Count = 0
    unreadable_images: Count = 0
    unreadable_reasons: list[str] = msgspec.field(default_factory=list)
    loss_sums: dict[str, float] = msgspec.field(default_factory=dict)
    interval_steps: Count = 0
    interval_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Validate the score and the sums.

        Raises:
            ValueError: The score is not finite, or the sums do not match the number of steps.
        """
        if not math.isfinite(self.best):
            raise ValueError(f"its best score is {self.best}")
        names = set(self.loss_sums)
        if names - BOX_LOSSES != (LOSSES if self.interval_steps else set()) or (
            names & BOX_LOSSES not in (set(), BOX_LOSSES)
        ):
            raise ValueError("its sums are not those of the losses")

    def add_step(self, losses: Mapping[str, float], seconds: float) -> None:
        """Count a step, and add its losses to the log interval."""
        self.step += 1
        self.interval_steps += 1
        self.interval_seconds += seconds
        self.loss_sums = {name: self.loss_sums.get(name, 0.0) + v for name, v in losses.items()}

    def start_interval(self) -> None:
        """Start a new log interval."""
        self.loss_sums, self.interval_steps, self.interval_seconds = {}, 0, 0.0

    def add_unreadable(self, reasons: Sequence[str]) -> None:
        """Count unreadable images, and record each error message once."""
        self.unreadable_images += len(reasons)
        known = self.unreadable_reasons
        known += [reason for reason in dict.fromkeys(reasons) if reason not in known]


OLD_NAMES = {
    "step": "step",
    "best": "best",
    "worse": "bad_validations",
    "unjudged": "validation_pending",
    "bad_steps": "skipped_steps",
    "bad_in_a_row": "skipped_in_a_row",
    "sums": "loss_sums",
    "taken": "interval_steps",
    "spent": "interval_seconds",
}
"""Names of the counters in states of earlier releases, which had no `progress`."""


def upgrade_progress(state: Mapping[str, object]) -> dict[str, object]:
    """Convert the counters of a state of an earlier release to the values of `Progress`."""
    progress = {new: state[old] for old, new in OLD_NAMES.items() if old in state}
    unreadable = state.get("unreadable")
    if isinstance(unreadable, dict):
        progress |= {
            "unreadable_images": unreadable.get("times"),
            "unreadable_reasons": unreadable.get("told"),
        }
    return progress
