"""Everything that a run is built from, for a new run."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unimask.checkpoints import Checkpoint
from unimask.checkpoints.channels import RGB
from unimask.datasets import Dataset, describe
from unimask.labels import Task
from unimask.processing.value_ranges import ignore_range_warnings
from unimask.training.choices import Choices, find_machine, picture_sizes
from unimask.training.queries import most_queries, told_crowding
from unimask.training.request import Request, open_splits, whole_path
from unimask.training.run_record import ModelRecord, RunRecord
from unimask.training.scale import fit_squares
from unimask.training.settings import TrainingSettings
from unimask.training.start import starting_point
from unimask.training.texts import tokenizer_for

if TYPE_CHECKING:
    from unimask.training.saved_state import SavedState

Splits = tuple[Dataset, Dataset]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a run is built from.

    Attributes:
        record: How the run was started, as its folder keeps it.
        settings: The settings of the run.
        checkpoint: Network, weights to begin with, classes and rules.
        tasks: What is trained.
        dataset: Images that are trained on.
        validation: Images that are validated on.
        words: What is printed at the start.
        state: Where the run goes on; None for a new one.
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
        """Where the run is computed."""
        return self.record.device or "auto"

    @property
    def best(self) -> float:
        """The best score so far."""
        return -1.0 if self.state is None else self.state.best

    @property
    def pretrained(self) -> bool:
        """Whether the backbone was trained before, and so learns at a lower rate."""
        return self.record.network is not None and self.record.network.pretrained


def new_plan(
    request: Request, splits: Splits, task: str, tasks: tuple[Task, ...], *, resumed: bool = False
) -> Plan:
    """Choose what was not asked for, and build the network to begin with.

    Args:
        request: With data and model.
        splits: What `open_splits` opens for it.
        task: What is trained, by the name of the option.
        tasks: The same, task by task.
        resumed: Whether saved weights follow, so that files of weights are not needed.
    """
    assert request.model is not None
    dataset, validation = splits
    machine = find_machine(request.device or "auto")
    choices = Choices(request.changes, request.settings, picture_sizes(dataset), machine)
    settings = choices.first()
    settings = replace(settings, tokenizer=tokenizer_for(request.model, settings.tokenizer))
    start = starting_point(request.model, dataset.labels, tasks, settings, resumed)
    checkpoint, pretrained, words, other_classes = start
    if (channels := checkpoint.config.backbone.in_channels) != RGB:  # known as the labels are
        dataset, validation = open_splits(request, channels)
    settings = choices.rest(settings, checkpoint, pretrained, len(dataset), len(validation))
    if request.settings is None:
        settings, why = fit_squares(dataset, checkpoint, settings, other_classes)
        seen = settings.preprocessing or checkpoint.preprocessing
        checkpoint, words = replace(checkpoint, preprocessing=seen), words + why
    chosen = choices.in_words(settings, len(dataset), len(validation))
    with ignore_range_warnings():  # of images that are read without the run's window
        crowding = told_crowding(dataset, most_queries(checkpoint.config), tasks)
    record = RunRecord(
        model=whole_path(request.model),
        task=task,
        data=request.place(),
        labels=dataset.labels.names,
        split=request.split,
        val_split=request.val_split,
        names=request.names,
        format=request.format,
        masks=request.masks,
        device=request.device,
        processes=machine.processes,
        network=ModelRecord.from_checkpoint(checkpoint, pretrained=pretrained),
    )
    return Plan(
        record=record,
        settings=settings,
        checkpoint=checkpoint,
        tasks=tasks,
        dataset=dataset,
        validation=validation,
        words=f"{words}\n{describe(dataset)}\n{chosen}{crowding}",
    )
