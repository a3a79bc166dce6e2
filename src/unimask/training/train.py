"""From a folder of labelled pictures to weights, in one call."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from unimask.checkpoints import Checkpoint
from unimask.checkpoints.channels import RGB
from unimask.datasets import Dataset, check_classes, check_tasks, describe, open_dataset
from unimask.datasets.windows import check_value_ranges, use_window, warn_of_ranges
from unimask.errors import SettingsError
from unimask.formats.terminal import Terminal
from unimask.inference import Predictor, load
from unimask.labels import TASKS, Task, parse_task
from unimask.losses import PixelCriterion, build_criterion
from unimask.losses.matched import MatchedCriterion
from unimask.modeling.build import build_segmenter
from unimask.processing.value_ranges import ignore_range_warnings
from unimask.text.tokenizers import open_tokenizer
from unimask.training.average import WeightAverage
from unimask.training.balance import class_weights, count_objects, repeat_factors
from unimask.training.choices import Choices, find_machine, picture_sizes
from unimask.training.loggers import open_loggers
from unimask.training.optimizer import build_optimizer
from unimask.training.processes import launch
from unimask.training.queries import most_queries, told_crowding
from unimask.training.recompute import recompute_layers
from unimask.training.run_folder import RunFolder
from unimask.training.scale import fit_squares
from unimask.training.settings import TrainingSettings
from unimask.training.start import starting_point, usual_task
from unimask.training.texts import tokenizer_for

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from unimask.training.loop import Loop


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run.

    Attributes:
        folder: Everything that it wrote.
        metrics: Name and best value of the headline score, in percent.
        finished: False if it was interrupted and can be resumed.
    """

    folder: Path
    metrics: dict[str, float]
    finished: bool

    @property
    def predictor(self) -> Predictor:
        """The best weights, loaded."""
        return load(self.folder)


def train(
    data: str | Path,
    model: str,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    names: tuple[str, ...] | None = None,
    format: str | None = None,
    settings: TrainingSettings | None = None,
    device: str = "auto",
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Train a network on a folder of labelled pictures.

    The run's folder holds settings, metrics, curves, samples, `weights/best` and `weights/last`
    (averaged, loadable), and `state.pt`, from which an interrupted run continues with the result
    of an uninterrupted one.

    Args:
        data: Folder of the dataset, with splits "train" and "val".
        model: A preset or published configuration by name, untrained; or whatever `load` takes.
        task: "panoptic" trains a Mask2Former for all three tasks; "all" a OneFormer, which is told
            for each picture what is asked. By default a configuration's own, else panoptic if the
            labels can teach it.
        out: The run's folder; `runs/TASK` by default.
        resume: Continue the run in `out`, with the settings it was started with.
        names: Of the classes, as `open_dataset` takes them.
        format: Of the labels, as `open_dataset` takes it.
        settings: Everything else. None chooses what fits the data and the machine
            (`unimask.training.choices`), and says what it chose.
        changes: Fields of `TrainingSettings` by name, which override either; besides `size`, the
            side of the training square, and `epochs` in place of `steps`.
        device: "auto", or what Lightning Fabric calls an accelerator.
        quiet: Print nothing.

    Raises:
        DataError, TaskError: The dataset cannot be read, or cannot teach the task.
        MissingExtraError: The extra `train` is not installed.
        SettingsError: The folder already holds a run, or the model is unknown.
        TrainingError: The run cannot be resumed, or its losses stay not finite.
    """
    dataset, validation = open_splits(data, names, format)
    task, tasks = chosen_tasks(task, model, dataset)
    folder = open_folder(Path(out or Path("runs") / task), resume=resume)
    told = folder.read_settings() if resume else settings
    sizes, said = picture_sizes(dataset), {} if resume else changes
    choices = Choices(said, told, sizes, find_machine(device))
    settings = choices.first()
    settings = replace(settings, tokenizer=tokenizer_for(model, settings.tokenizer))
    start = starting_point(model, dataset.labels, tasks, settings, resume)
    checkpoint, pretrained, words, other_classes = start
    if (channels := checkpoint.config.backbone.in_channels) != RGB:  # known as the labels are
        dataset, validation = open_splits(data, names, format, channels)
    settings = choices.rest(settings, checkpoint, pretrained, len(dataset), len(validation))
    if told is None:
        settings, why = fit_squares(dataset, checkpoint, settings, other_classes)
        seen = settings.preprocessing or checkpoint.preprocessing
        checkpoint, words = replace(checkpoint, preprocessing=seen), words + why
    fabric = launch(device, settings.precision)
    loop = prepare(fabric, dataset, validation, checkpoint, tasks, folder, settings, pretrained)
    facts = {"model": model, "task": task, "data": str(data), "labels": dataset.labels.names}
    begin(loop, facts, resume=resume)
    if not quiet and fabric.is_global_zero:
        told_choices = choices.in_words(settings, len(dataset), len(validation))
        crowding = told_crowding(dataset, most_queries(checkpoint.config), tasks)
        start = f"{words}\n{describe(dataset)}\n{told_choices}{crowding}"
        Terminal().print(start, soft_wrap=True)
    with ignore_range_warnings():  # some were read before, and warned of
        loop.run(quiet=quiet)
    return Run(folder.path, {"best": loop.best}, loop.finished)


def open_folder(path: Path, *, resume: bool) -> RunFolder:
    """Open the run's folder.

    Raises:
        SettingsError: It holds a run already, which is not to be resumed.
    """
    folder = RunFolder(path)
    if not resume and folder.state_path.exists():
        raise SettingsError(f"{folder.path} already holds a run: resume it, or give another folder")
    return folder


def begin(loop: "Loop", facts: dict[str, object], *, resume: bool) -> None:
    """Restore the run that is resumed, or write down what a new one was told."""
    folder = loop.folder
    if resume:
        loop.restore(folder.read_state())
    if not loop.fabric.is_global_zero:
        return
    loop.loggers = open_loggers(loop.settings.loggers, folder.path, facts)
    if resume:
        folder.forget_after(loop.step)
    else:
        folder.write_settings(loop.settings, facts)
        folder.forget_after(0)  # of a run that was killed before its first state
        loop.save()  # so that it can be resumed from any moment on, and a full disk is found now


def chosen_tasks(task: str | None, model: str, dataset: Dataset) -> tuple[str, tuple[Task, ...]]:
    """Give what is trained, as somebody calls it and task by task.

    Raises:
        TaskError: The task is unknown, or the labels cannot teach it.
    """
    task = task or usual_task(model, dataset)
    tasks: tuple[Task, ...] = TASKS if task == "all" else (parse_task(task),)
    check_tasks(dataset, tasks)
    return task, tasks


def open_splits(
    data: str | Path, names: tuple[str, ...] | None, format: str | None, channels: int = RGB
) -> tuple[Dataset, Dataset]:
    """Open what is learned from and what is judged by.

    Raises:
        DataError: One cannot be opened, or their classes differ.
    """
    train, val = (
        open_dataset(data, split, names=names, channels=channels, format=format)
        for split in ("train", "val")
    )
    check_classes(train, val)
    return train, val


def prepare(
    fabric: "Fabric",
    dataset: Dataset,
    validation: Dataset,
    checkpoint: Checkpoint,
    tasks: tuple[Task, ...],
    folder: RunFolder,
    settings: TrainingSettings,
    pretrained: bool,
) -> "Loop":
    """Put the parts of a run together."""
    for images in (dataset, validation):
        use_window(images, checkpoint.preprocessing.window)
    ranges = check_value_ranges(dataset)
    if fabric.is_global_zero:
        warn_of_ranges(ranges)
    from unimask.training.batches import Examples
    from unimask.training.loop import Loop
    from unimask.training.steps import Trainee
    from unimask.training.texts import PictureTexts

    network = build_segmenter(checkpoint.config)
    network.load_state_dict(checkpoint.state)
    optimizer = build_optimizer(network, settings, pretrained=pretrained)
    average = WeightAverage(network.to(fabric.device), settings.ema_decay)
    if settings.recompute:
        recompute_layers(network)
    network, optimizer = fabric.setup(network, optimizer)
    tokenizer = open_tokenizer(settings.tokenizer) if checkpoint.config.text else None
    texts = PictureTexts.of(checkpoint.config, tokenizer, dataset.labels)
    criterion = build_criterion(checkpoint.config, settings.criterion)
    factors = balance(criterion, folder, dataset, settings)
    return Loop(
        fabric=fabric,
        trainee=Trainee(network, optimizer, average, criterion.to(fabric.device)),
        examples=Examples(dataset, tasks, settings, checkpoint.preprocessing, texts, factors),
        validation=validation,
        checkpoint=checkpoint,
        folder=folder,
        settings=settings,
    )


def balance(
    criterion: MatchedCriterion | PixelCriterion,
    folder: RunFolder,
    dataset: Dataset,
    settings: TrainingSettings,
) -> Float[np.ndarray, " n"] | None:
    """Let rare classes count more if that is asked; give how often each picture is shown.

    Raises:
        SettingsError: The network classifies pixels, whose loss knows no weights of classes.
    """
    if not settings.repeat_rare and not settings.weigh_classes:
        return None
    with ignore_range_warnings():
        counts = folder.class_counts(lambda: count_objects(dataset))
    if settings.weigh_classes:
        if not isinstance(criterion, MatchedCriterion):
            raise SettingsError("weigh_classes goes with networks of queries, not of pixels")
        classes = len(criterion.class_weights) - 1  # a background may be none of the network's
        criterion.weigh(class_weights(counts)[:classes].tolist())
    return repeat_factors(counts, settings.repeat_rare) if settings.repeat_rare else None
