"""Pictures in the order and the shape of training: a function of seed, step and place alone."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from unimask.config import PreprocessingConfig
from unimask.datasets import Dataset
from unimask.datasets.sample import build_target
from unimask.datasets.transforms import augment
from unimask.errors import DataError, UnimaskError
from unimask.labels import Task
from unimask.outputs import Target
from unimask.processing.preprocess import normalise
from unimask.processing.value_ranges import RangeWarning
from unimask.training.balance import shuffled
from unimask.training.settings import TrainingSettings
from unimask.training.texts import PictureTexts
from unimask.training.unreadable import AT_MOST, UNREADABLE


class Example(NamedTuple):
    """A picture with its target for a task, and its sentences where texts are learned.

    `skipped` says why others could not be read, in whose place it stands.
    """

    pixel_values: Float[Tensor, "c h w"]
    target: Target
    task: Task
    path: Path
    sentences: Int[Tensor, "n t"] | None
    skipped: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Examples of one size, stacked; targets stay a list."""

    pixel_values: Float[Tensor, "b c h w"]
    targets: list[Target]
    tasks: list[Task]
    paths: list[Path]
    sentences: Int[Tensor, "b n t"] | None
    skipped: tuple[str, ...]


class Examples(TorchDataset):
    """The endless sequence of training examples: each epoch has as many as the data.

    Args:
        dataset: Labelled pictures.
        tasks: What targets are made for; one of them is drawn for each picture.
        settings: Augmentation and seed.
        preprocessing: The size at which pictures are predicted, and their normalisation.
        texts: Says what a picture shows; None where no texts are learned.
        factors: How often each picture is shown; None shows all alike.
    """

    def __init__(
        self,
        dataset: Dataset,
        tasks: tuple[Task, ...],
        settings: TrainingSettings,
        preprocessing: PreprocessingConfig,
        texts: PictureTexts | None = None,
        factors: Float[np.ndarray, " n"] | None = None,
    ) -> None:
        self.factors = factors
        self.dataset = dataset
        self.tasks = tasks
        self.settings, self.preprocessing = settings, preprocessing
        self.texts = texts
        self.order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, number: int) -> Example:
        """Give example `number` of the sequence, or the next that can be read."""
        skipped: list[str] = []
        for later in range(AT_MOST):
            try:
                return self.example(number + later, later)._replace(skipped=tuple(skipped))
            except UNREADABLE as error:
                if self.settings.on_bad_picture == "stop":
                    raise
                skipped.append(str(error))
        raise DataError(f"{AT_MOST} pictures in a row cannot be read: {skipped[0]}")

    def example(self, number: int, later: int) -> Example:
        """Give example `number`, `later` of which stand for others: each is changed anew."""
        epoch, place = divmod(number, len(self.dataset))
        if self.order[0] != epoch:
            pictures, seed = len(self.dataset), self.settings.seed
            self.order = (epoch, shuffled(pictures, self.factors, seed, epoch))
        index = int(self.order[1][place])
        before = 0  # times that the epoch has shown this picture: it is changed anew each time
        if self.factors is not None:
            before = int((self.order[1][:place] == index).sum())
        random = np.random.default_rng((self.settings.seed, epoch, index, later + AT_MOST * before))
        sample = augment(
            self.dataset[index], self.settings.augmentation, self.preprocessing, random
        )
        pixel_values = normalise(sample.image, self.preprocessing, sample.image.shape[:2])
        task = self.tasks[int(random.integers(len(self.tasks)))]
        target = build_target(sample, task, self.dataset.labels)
        sentences = None if self.texts is None else self.texts.tokens(task, target)
        return Example(pixel_values, target, task, sample.path, sentences)


def collate(examples: list[Example]) -> Batch:
    """Stack pictures of one size."""
    sentences = [e.sentences for e in examples if e.sentences is not None]
    return Batch(
        torch.stack([example.pixel_values for example in examples]),
        [example.target for example in examples],
        [example.task for example in examples],
        [example.path for example in examples],
        torch.stack(sentences) if sentences else None,
        tuple(reason for example in examples for reason in example.skipped),
    )


class ExampleNumbers:
    """The numbers of the examples in each batch of one process.

    Args:
        settings: Steps, passes and batch size.
        first_step: Step to begin with.
        rank: Number of the process.
        world: Number of processes.
    """

    def __init__(self, settings: TrainingSettings, first_step: int, rank: int, world: int) -> None:
        self.size, self.rank, self.world = settings.batch_size, rank, world
        passes = settings.accumulate
        self.passes = range(first_step * passes, settings.steps * passes)

    def __iter__(self) -> Iterator[list[int]]:
        for index in self.passes:
            first = (index * self.world + self.rank) * self.size
            yield list(range(first, first + self.size))


def batches(
    examples: Examples, settings: TrainingSettings, *, first_step: int, rank: int, world: int
) -> Iterator[Batch]:
    """Give this process's batches from `first_step` on, `accumulate` of them a step.

    Raises:
        DataError: A picture's labels cannot be read.
        ImageError: A picture cannot be read.
    """
    loader = DataLoader(
        examples,
        batch_sampler=ExampleNumbers(settings, first_step, rank, world),  # type: ignore[arg-type]
        num_workers=settings.workers,
        collate_fn=collate,
        worker_init_fn=start_worker,
        persistent_workers=False,
        generator=torch.Generator(),  # else it draws from the global one, which drop path follows
    )
    try:
        yield from loader
    except UnimaskError as error:
        raise as_raised(error) from error


def start_worker(_: int) -> None:
    """Leave warnings of the range of values to the process that trains."""
    warnings.simplefilter("ignore", RangeWarning)


def as_raised(error: UnimaskError) -> UnimaskError:
    """Give the failure of a process that reads pictures without its traceback.

    PyTorch makes a new error of the traceback, which ends with type and message; our errors write
    its line ends as escapes.
    """
    kind = type(error)
    *before, told = str(error).split(f"{kind.__module__}.{kind.__name__}: ")
    return kind(told.removesuffix(r"\n") if before else told)
