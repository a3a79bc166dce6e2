"""Prediction: images to results."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, overload

import torch
from torch import Tensor

from unimask.errors import ImageError, TaskError
from unimask.inference.batches import Pending, equal_sizes, prefetched, synchronise
from unimask.inference.precision import precision_name
from unimask.inference.saving import SaveMixin
from unimask.inference.sources import is_single, open_sources
from unimask.kernels.memory import keep_freed_memory, release_freed_memory
from unimask.labels import Task, parse_task
from unimask.outputs import SegmenterOutput
from unimask.processing import postprocess
from unimask.processing.arguments import check_choice, check_count, check_fraction
from unimask.processing.images import MAX_PIXELS, ImageArray, Source, Window, read_image
from unimask.processing.multichannel import to_displayable
from unimask.processing.preprocess import Preprocessed, preprocess
from unimask.results import Result

if TYPE_CHECKING:  # predictors of exported files need none of these
    from unimask.checkpoints import ModelDescription
    from unimask.modeling.segmenter import Segmenter

INSTANCE_THRESHOLD = 0.5
"""Default minimum score of an instance; 0.0 keeps all of the top k."""

OnError = Literal["raise", "yield"]
"""What `Predictor.stream` does with the error of an image that cannot be read."""


class Predictor(SaveMixin):
    """Trained network with its labels, pre- and post-processing.

    Args:
        network: Network in eval mode on its device.
        description: Architecture, labels, tasks, and settings of pre- and post-processing.
        name: Name of the model in messages.
        compiled: Whether to compile the network for recurring sizes; see `CompiledSegmenter`.

    Raises:
        SettingsError: The compiler does not work on this machine.

    Example:
        >>> import unimask
        >>> model = unimask.load("nuclei")  # doctest: +SKIP
        >>> result = model.predict("cells.png", task="panoptic")  # doctest: +SKIP
        >>> results = model.predict(["1.png", "2.png"], batch_size=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        network: "Segmenter",
        description: "ModelDescription",
        name: str,
        *,
        compiled: bool = False,
    ) -> None:
        self.network = network
        self.compiled = None
        if compiled:
            from unimask.inference.compiled import CompiledSegmenter

            self.compiled = CompiledSegmenter(network)
        self.description = description
        self.name = name
        if self.device.type == "cpu":
            keep_freed_memory()

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, indexed by label id."""
        return self.description.labels.names

    @property
    def is_thing(self) -> tuple[bool, ...]:
        """Whether each class is a thing, whose objects are counted."""
        return self.description.labels.is_thing

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that the weights were trained for, the most general first."""
        return self.description.tasks

    @property
    def channels(self) -> int:
        """Number of channels of the images that the network reads; 3 for RGB."""
        return self.description.config.backbone.in_channels

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network's weights."""
        return next(self.network.parameters()).dtype

    def __repr__(self) -> str:
        classes = f"{len(self.labels)} classes: {', '.join(self.labels[:4])}"
        return (
            f"Predictor({self.name}, {classes}{', ...' if len(self.labels) > 4 else ''}; "
            f"{', '.join(self.tasks)}; {precision_name(self.network, self.dtype)} on {self.device})"
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
        retain_confidence: bool = True,
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
        retain_confidence: bool = True,
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
        retain_confidence=True,
    ):
        """Segment images.

        The result of an image does not depend on the other images of a list: only images of equal
        padded size share a forward pass, and none is padded to another's size. Images of a list,
        folder or pattern are prefetched in threads.

        Args:
            images: One image (path, address, PIL image, uint8 array (h, w, 3) in RGB, or
                (h, w, channels) for a model with other channels), a list of them, a folder, a glob
                pattern, or an iterator of frames.
            task: "semantic", "instance" or "panoptic"; by default the model's most general task.
            threshold: Minimum score, 0 to 1. By default 0.5 for instance, and the checkpoint's own
                for panoptic. Semantic: minimum confidence of a pixel, below which it gets no class;
                by default none.
            batch_size: Largest number of images per forward pass.
            window: Values mapped to 0 and 255, or "auto"; see `read_image`. By default that of
                the training, if any; (0, 255) leaves 8-bit images unchanged.
            max_pixels: Largest number of pixels per image; larger images are refused.
            retain_confidence: Whether results retain the logits that `Result.confidence` needs.

        Returns:
            One result for one image; a list for a list, folder or pattern; an iterator for an
            iterator.

        Raises:
            ImageError: An image cannot be read.
            SettingsError: Batch size, threshold or largest number of pixels is out of range.
            TaskError: The model was not trained for the task.
        """
        results = self.stream(
            images,
            task,
            threshold=threshold,
            batch_size=batch_size,
            window=window,
            max_pixels=max_pixels,
            retain_confidence=retain_confidence,
        )
        if is_single(images):
            return next(results)
        return results if isinstance(images, Iterator) else list(results)

    __call__ = predict

    @overload
    def stream(
        self,
        images: Source | Iterable[Source],
        task: str | None = None,
        *,
        threshold: float | None = None,
        batch_size: int = 1,
        window: Window = None,
        max_pixels: int = MAX_PIXELS,
        retain_confidence: bool = True,
        on_error: Literal["raise"] = "raise",
    ) -> Generator[Result]: ...

    @overload
    def stream(
        self,
        images: Source | Iterable[Source],
        task: str | None = None,
        *,
        threshold: float | None = None,
        batch_size: int = 1,
        window: Window = None,
        max_pixels: int = MAX_PIXELS,
        retain_confidence: bool = True,
        on_error: Literal["yield"],
    ) -> Generator[Result | ImageError]: ...

    def stream(
        self,
        images: Source | Iterable[Source],
        task: str | None = None,
        *,
        threshold: float | None = None,
        batch_size: int = 1,
        window: Window = None,
        max_pixels: int = MAX_PIXELS,
        retain_confidence: bool = True,
        on_error: OnError = "raise",
    ) -> Generator[Result | ImageError]:
        """Segment images one after another, in constant memory.

        Args:
            images: Images as in `predict`. Those of a list are prefetched in threads; those of an
                iterator are taken when they are needed, since the next frame may take long.
            task: See `predict`.
            threshold: See `predict`.
            batch_size: See `predict`; results of a batch follow when it is complete.
            window: See `predict`.
            max_pixels: See `predict`.
            retain_confidence: See `predict`.
            on_error: What an image that cannot be read does: "raise" raises its `ImageError` after
                the results of the images before it; "yield" yields the error in the place of the
                result and continues.

        Returns:
            Iterator with one result, or one error, for each image, in order.

        Raises:
            ImageError: An image cannot be read, and `on_error` is "raise".
            SettingsError: See `predict`.
            TaskError: See `predict`.

        Example:
            >>> import unimask
            >>> model = unimask.load("nuclei")  # doctest: +SKIP
            >>> for result in model.stream(paths, on_error="yield"):  # doctest: +SKIP
            ...     print(result if isinstance(result, Exception) else len(result))
        """
        resolved_task = self.resolve_task(task)
        check_fraction("threshold", threshold, optional=True)
        check_count("batch_size", batch_size)
        check_count("max_pixels", max_pixels)
        check_choice("on_error", on_error, get_args(OnError))

        sources = open_sources(images)

        def prepare(source: Source) -> Pending:
            return self.prepare(source, window, max_pixels)

        def results() -> Generator[Result | ImageError]:
            with closing(prefetched(sources, prepare, batch_size + 1)) as pending:
                for group in equal_sizes(pending, batch_size):
                    if not isinstance(group, ImageError):
                        yield from self.run(group, resolved_task, threshold, retain_confidence)
                    elif on_error == "yield":
                        yield group
                    else:
                        raise group
                    del group  # else its images stay in memory while the next ones are read

        return results()

    def resolve_task(self, task: str | None) -> Task:
        """Parse a task and check that the weights were trained for it.

        Raises:
            TaskError: They were not; the message lists their tasks.
        """
        if task is None:
            return self.tasks[0]
        parsed = parse_task(task)
        if parsed not in self.tasks:
            known = ", ".join(self.tasks)
            raise TaskError(f"{self.name} was not trained for {parsed}; it does {known}")
        return parsed

    def prepare(self, source: Source, window: Window, max_pixels: int) -> Pending:
        """Read and preprocess an image."""
        start = time.perf_counter()
        effective_window = self.description.preprocessing.window if window is None else window
        image = read_image(
            source, window=effective_window, max_pixels=max_pixels, channels=self.channels
        )
        release_freed_memory(image.shape[0] * image.shape[1])  # memory of the decoder
        preprocessed = self.preprocess(image)
        release_freed_memory(image.shape[0] * image.shape[1])
        return Pending(source, image, preprocessed, 1000 * (time.perf_counter() - start))

    def preprocess(self, image: ImageArray) -> Preprocessed:
        """Resize, normalise and pad an image."""
        return preprocess(image, self.description.preprocessing)

    @torch.inference_mode()
    def run(
        self,
        batch: list[Pending],
        task: Task,
        threshold: float | None,
        retain_confidence: bool = True,
    ) -> Iterator[Result]:
        """Segment images of equal padded size."""
        start = time.perf_counter()
        pixel_values = torch.stack([item.preprocessed.pixel_values for item in batch])
        output = self.logits(pixel_values.to(self.device, self.dtype), task)
        synchronise(output)
        network_ms = 1000 * (time.perf_counter() - start) / len(batch)
        for index, item in enumerate(batch):
            start = time.perf_counter()
            result = self.postprocess(
                output, index, item.preprocessed, task, threshold, retain_confidence
            )
            release_freed_memory(item.image.shape[0] * item.image.shape[1])
            speed = {
                "preprocess": item.milliseconds,
                "network": network_ms,
                "postprocess": 1000 * (time.perf_counter() - start),
            }
            path = Path(item.source) if isinstance(item.source, str | Path) else None
            yield replace(
                result,
                labels=self.description.labels,  # with colours, unlike post-processing
                path=path,
                image=to_displayable(item.image),
                speed=speed,
            )

    def logits(self, pixel_values: Tensor, task: Task) -> SegmenterOutput:
        """Run the network, compiled if requested."""
        return (self.compiled or self.network)(pixel_values, task)

    def postprocess(
        self,
        output: SegmenterOutput,
        index: int,
        preprocessed: Preprocessed,
        task: Task,
        threshold: float | None,
        retain_confidence: bool = True,
    ) -> Result:
        """Convert one image's logits to a result."""
        rules = self.description.postprocessing
        if task == "instance" and threshold is None:
            threshold = INSTANCE_THRESHOLD
        return postprocess(
            output.class_logits[index],
            output.mask_logits[index],
            task=task,
            labels=self.labels,
            is_thing=self.is_thing,
            padded_size=preprocessed.padded_size,
            input_size=preprocessed.input_size,
            original_size=preprocessed.original_size,
            object_threshold=rules.object_threshold,
            overlap_threshold=rules.overlap_threshold,
            uncertain_pixels=rules.uncertain_pixels,
            top_k=rules.top_k,
            min_visible=rules.min_visible,
            resize=rules.resize,
            threshold=threshold,
            retain_confidence=retain_confidence,
        )
