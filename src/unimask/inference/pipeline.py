"""Stages of prediction: reading, pre-processing, network, post-processing."""

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unimask.config import PreprocessingConfig
from unimask.errors import ImageError, TaskError
from unimask.inference.augmentation import (
    Augmentations,
    PendingViews,
    ViewModel,
    predict_views,
)
from unimask.inference.batches import Pending, synchronise
from unimask.inference.tiles import (
    ArraySource,
    PendingTiles,
    TileModel,
    TileOptions,
    segment_tiles,
)
from unimask.kernels.memory import keep_freed_memory, release_freed_memory
from unimask.labels import Task, parse_task
from unimask.outputs import SegmenterOutput
from unimask.processing import postprocess
from unimask.processing.images import ImageArray, ImageWarning, Source, Window, read_image
from unimask.processing.multichannel import to_displayable
from unimask.processing.preprocess import Preprocessed, preprocess
from unimask.processing.windowed import cut_windows, list_windows, segment_windows
from unimask.rasters.gdal_image import GdalImage
from unimask.rasters.large_image import LargeImage
from unimask.rasters.recognition import has_rasterio, is_raster
from unimask.rasters.scaled_image import ScaledImage
from unimask.results import Result
from unimask.tiling.windows import TileWindow

if TYPE_CHECKING:  # predictors of exported files need none of these
    from unimask.checkpoints import ModelDescription
    from unimask.modeling.segmenter import Segmenter


class Pipeline:
    """Network with the stages before and after it; see `Predictor` for the arguments."""

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
    def segments_clips(self) -> bool:
        """Whether the network segments clips of a video (Mask2Former for video)."""
        return self.description.config.clips

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the network's weights."""
        return next(self.network.parameters()).dtype

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
        image = self.read(source, window, max_pixels)
        preprocessed = self.preprocess(image)
        release_freed_memory(image.shape[0] * image.shape[1])
        return Pending(source, image, preprocessed, 1000 * (time.perf_counter() - start))

    def prepare_tiles(self, source: Source, window: Window, max_pixels: int) -> PendingTiles:
        """Read an image that is to be segmented in tiles."""
        start = time.perf_counter()
        if isinstance(source, str | Path) and is_raster(source) and has_rasterio():
            pixels = self.read_raster(source, window, max_pixels)
        else:
            image = self.read(source, window, max_pixels)
            pixels = ArraySource.stretched(image, self.description.preprocessing)
        return PendingTiles(source, pixels, 1000 * (time.perf_counter() - start))

    def read_raster(self, path: str | Path, window: Window, max_pixels: int) -> ArraySource:
        """Read a raster whole, with its usual bands.

        Raises:
            ImageError: It cannot be read, or has more than `max_pixels`.
            SettingsError: Its bands must be chosen.
        """
        with GdalImage(path) as raster:
            height, width = raster.size
            if height * width > max_pixels:
                raise ImageError(
                    f"{path} has {height} x {width} pixels, more than {max_pixels:,}: use "
                    "predict_raster (unimask predict), which reads it by windows, or raise "
                    "max_pixels"
                )
            scaled = self.scale_image(raster, None, window)
            whole = TileWindow(0, 0, height, width)
            return ArraySource(scaled.read(whole), valid=scaled.read_valid(whole))

    def scale_image(
        self, image: LargeImage, bands: Sequence[int] | None, window: Window
    ) -> ScaledImage:
        """Choose the bands and the scaling of a large image for the model."""
        rules = self.description.preprocessing
        return ScaledImage.choose(
            image,
            self.channels,
            bands=rules.bands if bands is None else bands,
            window=rules.window if window is None else window,
            stretch=rules.stretch,
        )

    def prepare_views(
        self, source: Source, window: Window, max_pixels: int, augmentations: Augmentations
    ) -> PendingViews:
        """Read an image that is to be segmented from several views."""
        start = time.perf_counter()
        image = self.read(source, window, max_pixels)
        milliseconds = 1000 * (time.perf_counter() - start)
        return PendingViews(source, image, milliseconds, augmentations)

    def read(self, source: Source, window: Window, max_pixels: int) -> ImageArray:
        """Read an image in the form that the network needs."""
        if is_raster(source) and not has_rasterio():
            warnings.warn(
                f"{source} is georeferenced, but is read as any image without rasterio: "
                "pip install 'unimask[geo]'",
                ImageWarning,
                stacklevel=2,
            )
        window = self.description.preprocessing.window if window is None else window
        image = read_image(source, window=window, max_pixels=max_pixels, channels=self.channels)
        release_freed_memory(image.shape[0] * image.shape[1])  # memory of the decoder
        return image

    def preprocess(
        self, image: ImageArray, config: PreprocessingConfig | None = None
    ) -> Preprocessed:
        """Resize, normalise and pad an image, by other rules than the model's if given."""
        return preprocess(image, config or self.description.preprocessing)

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
        windows = list_windows(batch[0].preprocessed.input_size, self.description.preprocessing)
        if windows:
            pixel_values = cut_windows(pixel_values, windows)
        output = self.logits(pixel_values.to(self.device, self.dtype), task)
        synchronise(output)
        network_ms = 1000 * (time.perf_counter() - start) / len(batch)
        for index, item in enumerate(batch):
            start = time.perf_counter()
            rules = item.preprocessed, task, threshold, retain_confidence
            if windows:
                result = self.merge_windows(output, index, windows, *rules)
            else:
                result = self.postprocess(output, index, *rules)
            release_freed_memory(item.image.shape[0] * item.image.shape[1])
            speed = {
                "preprocess": item.milliseconds,
                "network": network_ms,
                "postprocess": 1000 * (time.perf_counter() - start),
            }
            yield replace(
                result,
                labels=self.description.labels,  # with colours, unlike post-processing
                path=source_path(item.source),
                image=to_displayable(item.image),
                speed=speed,
            )

    @torch.inference_mode()
    def run_tiles(
        self,
        item: PendingTiles,
        task: Task,
        threshold: float | None,
        options: TileOptions,
        batch_size: int,
    ) -> Result:
        """Segment an image in tiles."""
        threshold = self.min_score(task, threshold)
        result = segment_tiles(self.tile_model(task), item.pixels, options, threshold, batch_size)
        speed = {**result.speed, "preprocess": result.speed["preprocess"] + item.milliseconds}
        path, image = source_path(item.source), to_displayable(item.pixels.image)
        return replace(result, path=path, image=image, speed=speed)

    def tile_model(self, task: Task) -> TileModel:
        """Return what the prediction of tiles needs of the model."""
        description = self.description
        return TileModel(
            self.name,
            task,
            description.labels,
            description.preprocessing,
            description.postprocessing,
            self.preprocess,
            lambda pixel_values: self.logits(pixel_values.to(self.device, self.dtype), task),
        )

    @torch.inference_mode()
    def run_views(
        self,
        item: PendingViews,
        task: Task,
        threshold: float | None,
        retain_confidence: bool,
        batch_size: int,
    ) -> Result:
        """Segment an image from several views."""
        # Imported here because it imports SciPy, which other predictions do not need.
        from unimask.processing.augmented.segment import ViewRules, segment_views

        threshold = self.min_score(task, threshold)
        model = ViewModel(
            task,
            self.labels,
            self.description.preprocessing,
            self.preprocess,
            lambda pixel_values: self.logits(pixel_values.to(self.device, self.dtype), task),
        )
        views, speed = predict_views(model, item.image, item.augmentations, batch_size)
        start = time.perf_counter()
        size = item.image.shape[0], item.image.shape[1]
        rules = ViewRules(
            task, self.description.labels, size, self.description.postprocessing, threshold
        )
        result = segment_views(views, rules, retain_confidence=retain_confidence)
        release_freed_memory(size[0] * size[1])
        speed["postprocess"] = 1000 * (time.perf_counter() - start)
        speed["preprocess"] += item.milliseconds
        path, image = source_path(item.source), to_displayable(item.image)
        return replace(result, path=path, image=image, speed=speed)

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
        return postprocess(
            output.class_logits[index],
            output.mask_logits[index],
            task=task,
            labels=self.labels,
            is_thing=self.is_thing,
            padded_size=preprocessed.padded_size,
            input_size=preprocessed.input_size,
            original_size=preprocessed.original_size,
            **asdict(self.description.postprocessing),
            threshold=threshold,
            retain_confidence=retain_confidence,
        )

    def merge_windows(
        self,
        output: SegmenterOutput,
        index: int,
        windows: list[slice],
        preprocessed: Preprocessed,
        task: Task,
        threshold: float | None,
        retain_confidence: bool,
    ) -> Result:
        """Convert the logits of one image's windows to a result.

        Raises:
            TaskError: The task is not semantic segmentation.
        """
        if task != "semantic":
            raise TaskError(f"{self.name} segments windows of images: it does semantic only")
        own = slice(index * len(windows), (index + 1) * len(windows))
        return segment_windows(
            output.class_logits[own],
            output.mask_logits[own],
            windows,
            preprocessed,
            self.description.labels,
            threshold=threshold,
            retain_confidence=retain_confidence,
        )

    def min_score(self, task: Task, threshold: float | None = None) -> float | None:
        """Return the `threshold` of post-processing: the requested one, or the task's default."""
        if task != "instance" or threshold is not None:
            return threshold
        return self.description.postprocessing.instance_threshold


def source_path(source: Source) -> Path | None:
    """Return the path of an image's file, None for an image in memory."""
    return Path(source) if isinstance(source, str | Path) else None
