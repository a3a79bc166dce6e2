"""Pictures in, results out."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unimask.checkpoints import Checkpoint, write_huggingface
from unimask.errors import TaskError
from unimask.inference.ahead import ahead
from unimask.inference.compiled import CompiledSegmenter
from unimask.kernels.memory import keep_freed_memory, release_freed_memory
from unimask.labels import Task, parse_task
from unimask.modeling.segmenter import Segmenter
from unimask.outputs import SegmenterOutput
from unimask.processing import postprocess
from unimask.processing.arguments import check_count
from unimask.processing.pictures import (
    MAX_PIXELS,
    Picture,
    Source,
    Window,
    list_pictures,
    names_many,
    read_picture,
)
from unimask.processing.postprocess import check_threshold
from unimask.processing.preprocess import Preprocessed, preprocess
from unimask.processing.stacks import visible
from unimask.results import Result

INSTANCE_THRESHOLD = 0.5
"""Least score of an instance where nobody gives one: 0.0 keeps all of the top k."""

ONE_PICTURE = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True, eq=False)
class Pending:
    """A picture on its way to the network."""

    source: Source
    image: Picture
    ready: Preprocessed
    milliseconds: float


class Predictor:
    """A trained network with its labels and rules.

    Args:
        network: In eval mode, on its device.
        checkpoint: Labels, tasks, pre- and post-processing, and the architecture; its weights
            are not looked at, the network has them.
        name: What the model is called in messages.
        compiled: Compile the network for sizes that come again; see `CompiledSegmenter`.

    Raises:
        SettingsError: Nothing can be compiled on this machine.
    """

    def __init__(
        self, network: Segmenter, checkpoint: Checkpoint, name: str, *, compiled: bool = False
    ) -> None:
        self.network = network
        self.compiled = CompiledSegmenter(network) if compiled else None
        self.checkpoint = checkpoint
        self.name = name
        if self.device.type == "cpu":
            keep_freed_memory()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names; the index is the label id."""
        return self.checkpoint.labels.names

    @property
    def is_thing(self) -> tuple[bool, ...]:
        """Per class: True where objects are counted."""
        return self.checkpoint.labels.is_thing

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the weights were trained for, widest first."""
        return self.checkpoint.tasks

    @property
    def channels(self) -> int:
        """Channels of the pictures that it reads, 3 for RGB."""
        return self.checkpoint.config.backbone.in_channels

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return next(self.network.parameters()).dtype

    def __repr__(self) -> str:
        classes = f"{len(self.labels)} classes: {', '.join(self.labels[:4])}"
        kind = str(self.dtype).removeprefix("torch.")
        return (
            f"Predictor({self.name}, {classes}{', ...' if len(self.labels) > 4 else ''}; "
            f"{', '.join(self.tasks)}; {kind} on {self.device})"
        )

    @overload
    def predict(
        self,
        images: Source,
        task: str | None = None,
        *,
        threshold: float | None = None,
        batch_size: int = 1,
        window: Window = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Result: ...

    @overload
    def predict(
        self,
        images: list[Source],
        task: str | None = None,
        *,
        threshold: float | None = None,
        batch_size: int = 1,
        window: Window = None,
        max_pixels: int = MAX_PIXELS,
    ) -> list[Result]: ...

    def predict(
        self,
        images,
        task=None,
        *,
        threshold=None,
        batch_size=1,
        window=None,
        max_pixels=MAX_PIXELS,
    ):
        """Segment pictures.

        A picture gives the same result alone and in any list: only pictures of equal padded size
        share a pass of the network, and none is padded to another's size. Pictures of a list,
        folder or pattern are read ahead in threads.

        Args:
            images: One picture (path, address, PIL picture, uint8 array (h, w, 3) RGB, or
                (h, w, channels) for a model of other channels), a list of them, a folder, a glob
                pattern, or an iterator of frames.
            task: "semantic", "instance" or "panoptic"; the widest the weights know by default.
            threshold: Least score. None: instance keeps scores from 0.5 on, panoptic takes the
                checkpoint's own; semantic has none.
            batch_size: Pictures that may share a pass.
            window: Values that become black and white, or "auto"; see `read_picture`. None takes
                what the model was trained with, if anything; (0, 255) leaves 8-bit images alone.
            max_pixels: Larger pictures are refused.

        Returns:
            One result for one picture; a list for a list, folder or pattern; an iterator for an
            iterator.

        Raises:
            ImageError: A picture cannot be used.
            SettingsError: Batch size, threshold or largest number of pixels is out of range, or
                semantic got a threshold.
            TaskError: These weights cannot do the task.
        """
        chosen = self.task_of(task)
        check_threshold(chosen, threshold)
        check_count("batch_size", batch_size)
        check_count("max_pixels", max_pixels)

        def prepare(source: Source) -> Pending:
            return self.prepare(source, window, max_pixels)

        def results(pending: Iterable[Pending]) -> Iterator[Result]:
            for batch in equal_sizes(pending, batch_size):
                yield from self.run(batch, chosen, threshold)

        if isinstance(images, str | Path) and names_many(images):
            images = list_pictures(images)
        elif isinstance(images, ONE_PICTURE) or not isinstance(images, Iterable):
            return next(results([prepare(images)]))  # what is no picture at all is refused there
        if isinstance(images, Iterator):  # a camera's next frame may be long in coming
            return results(map(prepare, images))
        with closing(ahead(images, prepare, batch_size + 1)) as prepared:
            return list(results(future.result() for _, future in prepared))

    __call__ = predict

    def task_of(self, task: str | None) -> Task:
        """Check that the weights can do `task`.

        Raises:
            TaskError: They cannot; the message lists what they can do.
        """
        if task is None:
            return self.tasks[0]
        wanted = parse_task(task)
        if wanted not in self.tasks:
            raise TaskError(
                f"{self.name} was not trained for {wanted}; it does {', '.join(self.tasks)}"
            )
        return wanted

    def prepare(self, source: Source, window: Window, max_pixels: int) -> Pending:
        """Read a picture and make it a tensor."""
        start = time.perf_counter()
        rules = self.checkpoint.preprocessing
        chosen = rules.window if window is None else window
        image = read_picture(source, window=chosen, max_pixels=max_pixels, channels=self.channels)
        release_freed_memory(image.shape[0] * image.shape[1])  # of the decoder
        ready = preprocess(image, rules)
        release_freed_memory(image.shape[0] * image.shape[1])
        return Pending(source, image, ready, 1000 * (time.perf_counter() - start))

    @torch.inference_mode()
    def run(self, batch: list[Pending], task: Task, threshold: float | None) -> Iterator[Result]:
        """Segment pictures of equal padded size."""
        start = time.perf_counter()
        pixel_values = torch.stack([item.ready.pixel_values for item in batch])
        output = self.logits(pixel_values.to(self.device, self.dtype), task)
        synchronise(output)
        network_ms = 1000 * (time.perf_counter() - start) / len(batch)
        for index, item in enumerate(batch):
            start = time.perf_counter()
            result = self.postprocess(output, index, item.ready, task, threshold)
            release_freed_memory(item.image.shape[0] * item.image.shape[1])
            speed = {
                "preprocess": item.milliseconds,
                "network": network_ms,
                "postprocess": 1000 * (time.perf_counter() - start),
            }
            path = Path(item.source) if isinstance(item.source, str | Path) else None
            yield replace(
                result,
                labels=self.checkpoint.labels,  # with their colours, which decide nothing
                path=path,
                image=visible(item.image),
                speed=speed,
            )

    def logits(self, pixel_values: Tensor, task: Task) -> SegmenterOutput:
        """Run the network, compiled if that was asked for."""
        return (self.compiled or self.network)(pixel_values, task)

    def postprocess(
        self,
        output: SegmenterOutput,
        index: int,
        ready: Preprocessed,
        task: Task,
        threshold: float | None,
    ) -> Result:
        """Turn one picture's logits into a result."""
        rules = self.checkpoint.postprocessing
        if task == "instance" and threshold is None:
            threshold = INSTANCE_THRESHOLD
        return postprocess(
            output.class_logits[index],
            output.mask_logits[index],
            task=task,
            labels=self.labels,
            is_thing=self.is_thing,
            padded_size=ready.padded_size,
            input_size=ready.input_size,
            original_size=ready.original_size,
            object_threshold=rules.object_threshold,
            overlap_threshold=rules.overlap_threshold,
            uncertain_pixels=rules.uncertain_pixels,
            top_k=rules.top_k,
            min_visible=rules.min_visible,
            resize=rules.resize,
            threshold=threshold,
        )

    def save(self, folder: str | Path) -> None:
        """Write the model in the Hugging Face schema: it loads here, and there where it can.

        Raises:
            OutputError: The folder cannot be written to.
        """
        state = {
            name: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu()
            for name, tensor in self.network.state_dict().items()
        }
        write_huggingface(Path(folder), replace(self.checkpoint, state=state))


def equal_sizes(pending: Iterable[Pending], batch_size: int) -> Iterator[list[Pending]]:
    """Group neighbours of equal padded size, in order, at most `batch_size` of them."""
    batch: list[Pending] = []
    for item in pending:
        if batch and item.ready.padded_size != batch[0].ready.padded_size:
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def synchronise(output: SegmenterOutput) -> None:
    """Wait for the GPU, so that the stages' times are their own."""
    if output.class_logits.is_cuda:
        torch.cuda.synchronize()
