"""Plan of a new run: everything that it is built from."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unimask.checkpoints import Checkpoint, ModelDescription
from unimask.checkpoints.channels import RGB
from unimask.datasets import Dataset, describe
from unimask.labels import LabelSet, Task
from unimask.processing.value_ranges import ignore_range_warnings
from unimask.training.choices import Choices, find_machine, image_sizes
from unimask.training.queries import most_queries, told_crowding
from unimask.training.request import Request, open_splits, whole_path
from unimask.training.run_record import RunRecord
from unimask.training.scale import fit_squares
from unimask.training.settings import TrainingSettings
from unimask.training.start import described, starting_point
from unimask.training.texts import tokenizer_for

if TYPE_CHECKING:
    from unimask.training.saved_state import SavedState

Splits = tuple[Dataset, Dataset]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a run is built from.

    Attributes:
        record: Record of the run's start, stored in its folder.
        settings: Settings of the run.
        checkpoint: Network, initial weights, classes and rules.
        tasks: Tasks to train for.
        dataset: Training images.
        validation: Validation images.
        words: Description printed before training starts.
        state: Saved state to resume from; None for a new run.
    """

    record: RunRecord
    settings: TrainingSettings
    checkpoint: Checkpoint
    tasks: tuple[Task, ...]
    dataset: Dataset
    validation: Dataset
    words: str
    state: "SavedState | None" = None

    @property
    def device(self) -> str:
        """Device of the run."""
        return self.record.device or "auto"

    @property
    def best(self) -> float:
        """Best score so far."""
        return -1.0 if self.state is None else self.state.best

    @property
    def pretrained(self) -> bool:
        """Whether the backbone has trained weights, and so a lower learning rate."""
        return self.record.pretrained


def new_plan(
    request: Request, splits: Splits, task: str, tasks: tuple[Task, ...], *, resumed: bool = False
) -> Plan:
    """Choose the settings that were not given, and build the initial network.

    Args:
        request: Arguments of `train`, including data and model.
        splits: Training and validation images, from `open_splits`.
        task: Name of the task in the option.
        tasks: Tasks to train for.
        resumed: Whether saved weights follow, so that weight files are not needed.
    """
    assert request.model is not None
    dataset, validation = splits
    machine = find_machine(request.device or "auto")
    choices = Choices(request.changes, request.settings, image_sizes(dataset), machine)
    first = choices.first()
    settings = replace(first, tokenizer=tokenizer_for(request.model, first.tokenizer))
    checkpoint, pretrained, words, new_head = starting_point(
        request.model, dataset.labels, tasks, settings, resumed
    )
    if (channels := checkpoint.description.config.backbone.in_channels) != RGB:
        dataset, validation = open_splits(request, channels)  # first opened as RGB
    settings = choices.rest(settings, checkpoint, pretrained, len(dataset), len(validation))
    if request.settings is None:
        settings, why = fit_squares(dataset, checkpoint, settings, new_head)
        if settings.preprocessing is not None:
            checkpoint = described(checkpoint, preprocessing=settings.preprocessing)
        words += why
    words += f"\n{describe(dataset)}\n{choices.in_words(settings, len(dataset), len(validation))}"
    with ignore_range_warnings():  # of images read without the run's window
        words += told_crowding(dataset, most_queries(checkpoint.description.config), tasks)
    record = new_record(request, task, dataset.labels, checkpoint.description)
    return Plan(
        record=replace(record, processes=machine.processes, pretrained=pretrained),
        settings=settings,
        checkpoint=checkpoint,
        tasks=tasks,
        dataset=dataset,
        validation=validation,
        words=words,
    )


def new_record(
    request: Request, task: str, labels: LabelSet, description: ModelDescription
) -> RunRecord:
    """Record the arguments of a new run."""
    return RunRecord(
        model=whole_path(str(request.model)),
        task=task,
        data=request.place(),
        labels=labels.names,
        split=request.split,
        val_split=request.val_split,
        names=request.names,
        format=request.format,
        masks=request.masks,
        device=request.device,
        network=description,
    )
