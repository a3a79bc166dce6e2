"""Pictures in the order and the shape of training: a function of seed, step and place alone."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from unimask.config import PreprocessingConfig
from unimask.datasets import Dataset
from unimask.datasets.sample import build_target
from unimask.datasets.transforms import augment
from unimask.labels import Task
from unimask.outputs import Target
from unimask.processing.preprocess import normalise
from unimask.training.settings import TrainingSettings

Example = tuple[Float[Tensor, "3 h w"], Target]
Batch = tuple[Float[Tensor, "b 3 h w"], list[Target]]


class Examples(TorchDataset):
    """The endless sequence of training examples: each epoch is one shuffled pass over the data.

    Args:
        dataset: Labelled pictures.
        task: What targets are made for.
        settings: Augmentation and seed.
        preprocessing: The size at which pictures are predicted, and their normalisation.
    """

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        settings: TrainingSettings,
        preprocessing: PreprocessingConfig,
    ) -> None:
        self.dataset = dataset
        self.task: Task = task
        self.settings, self.preprocessing = settings, preprocessing
        self.order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __getitem__(self, number: int) -> Example:
        """Give example `number` of the sequence."""
        epoch, place = divmod(number, len(self.dataset))
        if self.order[0] != epoch:
            shuffled = np.random.default_rng((self.settings.seed, epoch)).permutation
            self.order = (epoch, shuffled(len(self.dataset)))
        index = int(self.order[1][place])
        random = np.random.default_rng((self.settings.seed, epoch, index))
        sample = augment(
            self.dataset[index], self.settings.augmentation, self.preprocessing, random
        )
        pixel_values = normalise(sample.image, self.preprocessing)
        return pixel_values, build_target(sample, self.task, self.dataset.labels)


def collate(examples: list[Example]) -> Batch:
    """Stack pictures of one size; targets stay a list."""
    return torch.stack([pixels for pixels, _ in examples]), [target for _, target in examples]


def batches(
    examples: Examples, settings: TrainingSettings, *, first_step: int, rank: int, world: int
) -> Iterator[Batch]:
    """Give this process's batches from `first_step` on, `accumulate` of them a step."""
    passes = range(first_step * settings.accumulate, settings.steps * settings.accumulate)
    numbers = [
        [
            (index * world + rank) * settings.batch_size + place
            for place in range(settings.batch_size)
        ]
        for index in passes
    ]
    loader = DataLoader(
        examples,
        batch_sampler=numbers,
        num_workers=settings.workers,
        collate_fn=collate,
        persistent_workers=False,
    )
    yield from loader
