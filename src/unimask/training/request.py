"""Arguments of `train`, and the datasets and tasks that follow from them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unimask.checkpoints.channels import RGB
from unimask.datasets import Dataset, check_supervision, check_tasks, widest_task
from unimask.datasets.interface import check_slices_option
from unimask.datasets.opening import open_train_and_val
from unimask.errors import SettingsError
from unimask.labels import TASKS, Task, parse_task
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.training.loggers import check_loggers
from unimask.training.processes import check_device, require_extra
from unimask.training.settings import TrainingSettings, with_changes
from unimask.training.texts import tokenizer_for
from unimask.volumes.slice_images import check_slices, count_channels


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Arguments of `train`; None if not given.

    Attributes:
        data: Dataset folder, or name of a dataset on the Hub.
        model: Initial model.
        task: Task to train for.
        out: Folder of the run.
        names: Class names.
        format: Format of the labels.
        masks: Label maps to read.
        split: Split to train on.
        val_split: Split to validate on.
        bands: Bands of scenes.
        chip: Side of the chips of scenes.
        slices: Number of neighbouring slices of volumes.
        settings: Complete settings.
        device: Device to train on.
        changes: Single settings by name.
    """

    data: str | Path | None = None
    model: str | None = None
    task: str | None = None
    out: Path | None = None
    names: tuple[str, ...] | None = None
    format: str | None = None
    masks: str | None = None
    split: str | None = None
    val_split: str | None = None
    bands: tuple[int, ...] | None = None
    chip: int | None = None
    slices: int | None = None
    settings: TrainingSettings | None = None
    device: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def check(self, *, resume: bool) -> None:
        """Validate everything that does not require the data.

        Raises:
            MissingExtraError: The extra `train`, or a logger's package, is not installed.
            SettingsError: An argument is missing, or the device is not available.
        """
        require_extra()
        check_device("auto" if self.device is None else self.device)
        settings = self.settings or TrainingSettings()
        check_loggers(self.changes.get("loggers") or settings.loggers)
        if resume and self.out is None:
            raise SettingsError("--resume needs --out, the folder of the run that goes on")
        if not resume and self.data is None:
            raise SettingsError("pass DATA, the folder of the dataset (only --resume knows it)")

    @property
    def fixes_crop(self) -> bool:
        """Whether the side of the training crop was given."""
        return self.settings is not None or bool({"size", "augmentation"} & set(self.changes))

    def requested_settings(self) -> TrainingSettings:
        """Return the settings that were given, with defaults for all others.

        Raises:
            SettingsError: A name is unknown, or two options contradict each other.
        """
        settings = with_changes(self.settings or TrainingSettings(), self.changes)
        if self.bands is not None and settings.channels is None:
            settings = replace(settings, channels=len(self.bands))
        if self.slices is not None and settings.channels is None:
            settings = replace(settings, channels=count_channels(check_slices(self.slices)))
        if self.model is None:
            return settings
        return replace(settings, tokenizer=tokenizer_for(str(self.model), settings.tokenizer))

    def place(self) -> str:
        """Return the absolute path of the dataset folder, or its name on the Hub."""
        return whole_path(str(self.data))


def whole_path(name: str) -> str:
    """Return the absolute path of an existing file or folder, or any other name unchanged."""
    path = Path(name).expanduser()
    return os.path.abspath(path) if path.exists() else name


def open_splits(request: Request, channels: int = RGB, slices: int = 1) -> tuple[Dataset, Dataset]:
    """Open the training and validation images.

    Args:
        request: Arguments of `train`.
        channels: Number of channels of the images.
        slices: Number of neighbouring slices of volumes that are channels.

    Raises:
        DataError: A split cannot be opened, or their classes differ.
        SettingsError: Both splits are the same, or an option does not apply.
    """
    assert request.data is not None
    train, val = open_train_and_val(
        request.data,
        split=request.split,
        val_split=request.val_split,
        names=request.names,
        channels=channels,
        format=request.format,
        masks=request.masks,
        bands=request.bands,
        chip=request.chip,
        slices=slices,
    )
    check_slices_option(train, request.slices or 1)
    return train, val


def chosen_tasks(task: str | None, model: str, dataset: Dataset) -> tuple[str, tuple[Task, ...]]:
    """Return the tasks to train for, as the name of the option and as single tasks.

    Raises:
        DataError: The labels have nothing for the task.
        TaskError: The task is unknown, or does not match the labels.
    """
    task = task or default_task(model, dataset)
    tasks: tuple[Task, ...] = TASKS if task == "all" else (parse_task(task),)
    check_tasks(dataset, tasks)
    check_supervision(dataset, tasks)
    return task, tasks


def default_task(model: str, dataset: Dataset) -> str:
    """Return the task of a published configuration, else the most general one of the labels."""
    is_published = model in MODEL_CONFIGS
    return MODEL_CONFIGS[model].publication.task if is_published else widest_task(dataset)
