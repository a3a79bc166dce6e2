"""Training batches, which depend only on seed, step and process number."""

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
from unimask.datasets.clips import ClipSampler, build_clip_targets
from unimask.datasets.sample import Sample, build_target
from unimask.datasets.transforms import augment
from unimask.errors import DataError, UnimaskError
from unimask.label_sides import mirrored_label_ids
from unimask.labels import Task
from unimask.outputs import Target
from unimask.processing.preprocess import normalise
from unimask.processing.value_ranges import RangeWarning
from unimask.training.balance import shuffled
from unimask.training.settings import TrainingSettings
from unimask.training.texts import ImageTexts
from unimask.training.unreadable import MAX_UNREADABLE_IN_A_ROW, UNREADABLE


class Example(NamedTuple):
    """Augmented image or clip with targets for a task, and tokenized sentences for OneFormer.

    A clip has a target for each frame, an image has one.

    `skipped` holds the errors of unreadable images that it replaces.
    """

    pixel_values: Float[Tensor, "*t c h w"]
    targets: list[Target]
    task: Task
    path: Path
    sentences: Int[Tensor, "n t"] | None
    skipped: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Stacked examples of one size; targets stay a list, of clips frame after frame."""

    pixel_values: Float[Tensor, "b *t c h w"]
    targets: list[Target]
    tasks: list[Task]
    paths: list[Path]
    sentences: Int[Tensor, "b n t"] | None
    skipped: tuple[str, ...]


class Examples(TorchDataset):
    """Infinite sequence of training examples; an epoch has as many as the dataset has images.

    Args:
        dataset: Labelled images.
        tasks: Tasks to train for; one of them is drawn at random for each image.
        settings: Settings, of which augmentation and seed are used.
        preprocessing: Test size, relative to which images are scaled, and normalisation.
        texts: Texts that describe an image; None without text branch.
        factors: Repeat factor of each image; None for one each.
        clips: Whether an example is a clip of a video instead of an image.

    Raises:
        DataError: Clips are requested, but the dataset has no videos.
    """

    def __init__(
        self,
        dataset: Dataset,
        tasks: tuple[Task, ...],
        settings: TrainingSettings,
        preprocessing: PreprocessingConfig,
        texts: ImageTexts | None = None,
        factors: Float[np.ndarray, " n"] | None = None,
        *,
        clips: bool = False,
    ) -> None:
        self.factors = factors
        self.clips = ClipSampler(dataset) if clips else None
        self.dataset = dataset
        self.tasks = tasks
        self.settings, self.preprocessing = settings, preprocessing
        self.mirrored_ids = mirrored_label_ids(dataset.labels.names)
        self.texts = texts
        self.order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, number: int) -> Example:
        """Return example `number` of the sequence, or the next readable one."""
        skipped: list[str] = []
        for later in range(MAX_UNREADABLE_IN_A_ROW):
            try:
                return self.example(number + later, later)._replace(skipped=tuple(skipped))
            except UNREADABLE as error:
                if self.settings.on_bad_image == "stop":
                    raise
                skipped.append(str(error))
        raise DataError(f"{MAX_UNREADABLE_IN_A_ROW} images in a row cannot be read: {skipped[0]}")

    def example(self, number: int, later: int) -> Example:
        """Return example `number`, which replaces `later` unreadable ones.

        Each replacement is augmented with other random numbers.
        """
        epoch, place = divmod(number, len(self.dataset))
        if self.order[0] != epoch:
            images, seed = len(self.dataset), self.settings.seed
            self.order = (epoch, shuffled(images, self.factors, seed, epoch))
        index = int(self.order[1][place])
        before = 0  # earlier occurrences in this epoch; each is augmented differently
        if self.factors is not None:
            before = int((self.order[1][:place] == index).sum())
        draw = later + MAX_UNREADABLE_IN_A_ROW * before
        seed = (self.settings.seed, epoch, index, draw)
        if self.clips is not None:
            return self.clip_example(self.clips.draw(index, np.random.default_rng(seed)), seed)
        random = np.random.default_rng(seed)
        sample = self.augmented(index, random)
        pixel_values = normalise(sample.image, self.preprocessing, sample.image.shape[:2])
        task = self.tasks[int(random.integers(len(self.tasks)))]
        target = build_target(sample, task, self.dataset.labels)
        sentences = None if self.texts is None else self.texts.tokens(task, target)
        return Example(pixel_values, [target], task, sample.path, sentences)

    def augmented(self, index: int, random: np.random.Generator) -> Sample:
        """Return an image of the dataset with random changes."""
        return augment(
            self.dataset[index],
            self.settings.augmentation,
            self.preprocessing,
            random,
            self.mirrored_ids,
        )

    def clip_example(self, frames: list[int], seed: tuple[int, ...]) -> Example:
        """Return a clip, whose frames are all changed by the same random numbers."""
        samples = [self.augmented(index, np.random.default_rng((*seed, 1))) for index in frames]
        pixel_values = torch.stack(
            [normalise(s.image, self.preprocessing, s.image.shape[:2]) for s in samples]
        )
        targets = build_clip_targets(samples, self.dataset.labels)
        return Example(pixel_values, targets, "instance", samples[0].path, None)


def collate(examples: list[Example]) -> Batch:
    """Stack examples of one size."""
    sentences = [e.sentences for e in examples if e.sentences is not None]
    return Batch(
        torch.stack([example.pixel_values for example in examples]),
        [target for example in examples for target in example.targets],
        [example.task for example in examples],
        [example.path for example in examples],
        torch.stack(sentences) if sentences else None,
        tuple(reason for example in examples for reason in example.skipped),
    )


class ExampleNumbers:
    """Example numbers of each batch of one process.

    Args:
        settings: Settings, of which steps, passes and batch size are used.
        first_step: First step.
        rank: Number of this process, from 0.
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
    """Yield this process's batches from `first_step` on, `accumulate` batches per step.

    Raises:
        DataError: An image's labels cannot be read.
        ImageError: An image cannot be read.
    """
    loader = DataLoader(
        examples,
        batch_sampler=ExampleNumbers(settings, first_step, rank, world),  # type: ignore[arg-type]
        num_workers=settings.workers,
        collate_fn=collate,
        worker_init_fn=start_worker,
        persistent_workers=False,
        generator=torch.Generator(),  # the global generator also drives drop path
    )
    try:
        yield from loader
    except UnimaskError as error:
        raise as_raised(error) from error


def start_worker(_: int) -> None:
    """Ignore warnings of value ranges in a worker; the main process issues them."""
    warnings.simplefilter("ignore", RangeWarning)


def as_raised(error: UnimaskError) -> UnimaskError:
    """Recreate an error of a data loading worker without its traceback.

    PyTorch raises a new error whose message is the traceback; it ends with type and message, in
    which our errors write line ends as escapes.
    """
    kind = type(error)
    *before, message = str(error).split(f"{kind.__module__}.{kind.__name__}: ")
    return kind(message.removesuffix(r"\n") if before else message)
