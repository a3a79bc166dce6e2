"""Networks that another runtime computes, behind the same call as PyTorch's."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unimask.labels import Task
from unimask.outputs import SegmenterOutput
from unimask.runtimes.metadata import ExportedDescription, weights_path
from unimask.runtimes.signature import GraphNames

Arrays = dict[str, np.ndarray]


class RuntimeNetwork(nn.Module, ABC):
    """Network of an exported graph.

    Args:
        description: Inputs of the graph and the order of its tasks.
        path: File of the graph.
        names: Names of the graph's inputs and outputs.
    """

    runtime: ClassVar[str]
    """Name of the library that computes the network."""

    def __init__(self, description: ExportedDescription, path: Path, names: GraphNames) -> None:
        super().__init__()
        self.description = description
        self.path = path
        self.names = names

    @abstractmethod
    def run(self, inputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Compute class and mask logits of the inputs by name."""

    @property
    def weight_bytes(self) -> int:
        """Size of the file with its external weights, in bytes."""
        files = (self.path, weights_path(self.path))
        return sum(file.stat().st_size for file in files if file.is_file())

    def forward(self, pixel_values: Tensor, task: Task | None = None) -> SegmenterOutput:
        """Compute class and mask logits for every query.

        Args:
            pixel_values: Images (b, c, h, w) in the dtype and size of the graph: from 0 to 255, or
                normalised for graphs of other programs.
            task: Task of all images; used by OneFormer only, None means its first.
        """
        size = self.description.input.batch
        if size is None:
            classes, masks = self.run_batch(pixel_values, task)
        else:
            parts = [self.run_padded(part, size, task) for part in pixel_values.split(size)]
            classes, masks = (np.concatenate(part) for part in zip(*parts, strict=True))
        return SegmenterOutput(torch.from_numpy(classes), torch.from_numpy(masks))

    def run_padded(
        self, pixel_values: Tensor, size: int, task: Task | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run a graph with a fixed batch size; the last image is repeated to fill the batch."""
        count = len(pixel_values)
        repeated = pixel_values[-1:].expand(size - count, -1, -1, -1)
        classes, masks = self.run_batch(torch.cat([pixel_values, repeated]), task)
        return classes[:count], masks[:count]

    def run_batch(self, pixel_values: Tensor, task: Task | None) -> tuple[np.ndarray, np.ndarray]:
        """Run the graph on a batch of the size that it takes."""
        inputs = {self.names.pixel_values: pixel_values.contiguous().numpy()}
        if self.description.takes_task:
            index = 0 if task is None else self.description.tasks.index(task)
            inputs["task"] = np.full(len(pixel_values), index, np.int64)
        return self.run(inputs)
