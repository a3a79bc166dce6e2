"""Prediction: images to results."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Literal, Unpack, get_args, overload

from unimask.errors import ImageError
from unimask.inference.augmentation import Augmentations, PendingViews, parse_augmentations
from unimask.inference.batches import Prepared, equal_sizes, prefetched
from unimask.inference.options import OnError, PredictOptions
from unimask.inference.precision import precision_name
from unimask.inference.saving import SaveMixin
from unimask.inference.slide_mixin import SlideMixin
from unimask.inference.sources import is_single, open_sources
from unimask.inference.tiles import (
    MAX_TILED_PIXELS,
    PendingTiles,
    TileOption,
    TileOptions,
    choose_tile,
)
from unimask.inference.video_mixin import VideoMixin
from unimask.inference.volume_mixin import VolumeMixin
from unimask.processing.arguments import check_choice, check_count, check_fraction
from unimask.processing.images import MAX_PIXELS, Source, Window
from unimask.rasters.recognition import is_raster
from unimask.results import Result

__all__ = ["OnError", "Predictor"]


class Predictor(SaveMixin, SlideMixin, VideoMixin, VolumeMixin):
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
        **options: Unpack[PredictOptions],
    ) -> Result: ...

    @overload
    def predict(
        self,
        images: list[Source],
        task: str | None = None,
        **options: Unpack[PredictOptions],
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
        tile: TileOption = "auto",
        overlap=0.25,
        scale=1.0,
        tta: bool | Augmentations = False,
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
            max_pixels: Largest number of pixels per image; larger files are refused.
            retain_confidence: Whether results retain the logits that `Result.confidence` needs.
            tile: Side of overlapping tiles in which to segment images, in pixels of the network's
                input; None for no tiles. "auto" divides arrays and `.npy` files of more than
                `max_pixels`, and georeferenced rasters that the model's resizing rule would shrink
                to less than half. Results of tiles and rasters have no `confidence`.
            overlap: Overlap of neighbouring tiles as a share of their side, 0 to 0.5.
            scale: Pixels of the network's input per pixel of the image, for tiles; other images
                are resized by the model's own rule.
            tta: Whether to predict from several views of each image (test-time augmentation): True
                for the default views of the task, or `Augmentations`.

        Returns:
            One result for one image; a list for a list, folder or pattern; an iterator for an
            iterator.

        Raises:
            ImageError: An image cannot be read.
            SettingsError: An option is out of range, or `tta` goes with tiles.
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
            tile=tile,
            overlap=overlap,
            scale=scale,
            tta=tta,
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
        on_error: Literal["raise"] = "raise",
        **options: Unpack[PredictOptions],
    ) -> Generator[Result]: ...

    @overload
    def stream(
        self,
        images: Source | Iterable[Source],
        task: str | None = None,
        *,
        on_error: Literal["yield"],
        **options: Unpack[PredictOptions],
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
        tile: TileOption = "auto",
        overlap: float = 0.25,
        scale: float = 1.0,
        tta: bool | Augmentations = False,
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
            tile: See `predict`.
            overlap: See `predict`.
            scale: See `predict`.
            tta: See `predict`.
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

        tiles = TileOptions(tile, overlap, scale)
        if tile is not None:
            choose_tile(tile, self.description.preprocessing, self.name)
        sources = open_sources(images)

        views = parse_augmentations(tta, tile, self.description.preprocessing, self.name)

        def prepare(source: Source) -> Prepared:
            if views is not None:
                return self.prepare_views(source, window, max_pixels, views)
            if not tiles.applies_to(source, max_pixels):
                return self.prepare(source, window, max_pixels)
            in_memory = tile == "auto" and not is_raster(source)
            limit = MAX_TILED_PIXELS if in_memory else max_pixels
            return self.prepare_tiles(source, window, limit)

        def results() -> Generator[Result | ImageError]:
            with closing(prefetched(sources, prepare, batch_size + 1)) as pending:
                for group in equal_sizes(pending, batch_size):
                    if isinstance(group, PendingTiles):
                        yield self.run_tiles(group, resolved_task, threshold, tiles, batch_size)
                    elif isinstance(group, PendingViews):
                        rules = resolved_task, threshold, retain_confidence
                        yield self.run_views(group, *rules, batch_size)
                    elif not isinstance(group, ImageError):
                        yield from self.run(group, resolved_task, threshold, retain_confidence)
                    elif on_error == "yield":
                        yield group
                    else:
                        raise group
                    del group  # else its images stay in memory while the next ones are read

        return results()
