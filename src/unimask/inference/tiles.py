"""Prediction of large images in overlapping tiles of one scale."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Integral, Real
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.errors import SettingsError
from unimask.labels import LabelSet, Task
from unimask.outputs import SegmenterOutput
from unimask.processing.arguments import abbreviate
from unimask.processing.images import ImageArray, Source, count_pixels
from unimask.processing.postprocess import check_logits
from unimask.processing.preprocess import Preprocessed, input_size, intensity_table
from unimask.processing.tiled.collect import COLLECTORS, TileCollector, TileRules
from unimask.processing.tiled.scores import TileLogits
from unimask.rasters.recognition import has_rasterio, is_raster
from unimask.results import Result
from unimask.tiling.windows import Tile, TileGrid, TileWindow

TileOption = int | Literal["auto"] | None
"""Side of the tiles in pixels of the network's input; "auto" tiles only very large images."""

MIN_TILE, MAX_TILE = 64, 8192
"""Smallest and largest side of a tile."""

AUTO_TILES = (256, 1024)
"""Smallest and largest side of the tiles that "auto" chooses."""

MIN_WHOLE_SCALE = 0.5
"""Smallest scale, by the model's rule of resizing, at which "auto" does not divide an image."""

MAX_OVERLAP = 0.5
"""Largest overlap of neighbouring tiles; with more, three tiles would overlap."""

MAX_TILED_PIXELS = 2**31 - 1
"""Largest number of pixels of an image in memory, which run lengths can express."""

STAGES: tuple[str, ...] = ("preprocess", "network", "postprocess")
"""Stages whose milliseconds are measured."""

SCALES = (1 / 64, 64.0)
"""Smallest and largest scale."""


@dataclass(frozen=True)
class TileOptions:
    """How large images are divided.

    Attributes:
        tile: Side of the tiles in pixels of the network's input, "auto" to tile only rasters and
            images of more than `max_pixels`, None for none.
        overlap: Overlap of neighbouring tiles as a share of their side, 0 to 0.5.
        scale: Pixels of the network's input per pixel of the image.

    Raises:
        SettingsError: A value is out of range.
    """

    tile: TileOption = "auto"
    overlap: float = 0.25
    scale: float = 1.0

    def __post_init__(self) -> None:
        tile = self.tile
        is_side = isinstance(tile, Integral) and not isinstance(tile, bool)
        if not (tile is None or (isinstance(tile, str) and tile == "auto")) and not (
            is_side and MIN_TILE <= tile <= MAX_TILE  # type: ignore[operator]
        ):
            raise SettingsError(
                f"tile is {abbreviate(tile)}: pass a side from {MIN_TILE} to {MAX_TILE} pixels, "
                "'auto' or None"
            )
        check_range("overlap", self.overlap, 0, MAX_OVERLAP)
        check_range("scale", self.scale, *SCALES)
        if self.scale != 1 and tile is None:
            raise SettingsError("scale applies to tiles only: pass tile= (--tile) as well")

    def applies_to(self, source: Source, max_pixels: int) -> bool:
        """Return whether an image is to be segmented in tiles.

        "auto" leaves image files to the limit of pixels, since they must be decoded whole.
        """
        if self.tile != "auto":
            return self.tile is not None
        if is_raster(source) and has_rasterio():
            return True
        is_array = isinstance(source, np.ndarray) or str(source).lower().endswith(".npy")
        return is_array and count_pixels(source) > max_pixels


class WindowSource(Protocol):
    """Image that can be read in parts."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    def read(self, window: TileWindow) -> UInt8[np.ndarray, "h w c"]:
        """Read the pixels of a window."""
        ...

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window hold data, None if all do."""
        ...


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Image in memory.

    Attributes:
        image: The image.
        table: Lookup table for its values, computed once for all windows; None for none.
        valid: Pixels that hold data, None for all.
    """

    image: ImageArray
    table: UInt8[np.ndarray, "256"] | None = None
    valid: Bool[np.ndarray, "h w"] | None = None

    @classmethod
    def stretched(cls, image: ImageArray, config: PreprocessingConfig) -> "ArraySource":
        """Return an image with the contrast stretched if the model needs that."""
        return cls(image, intensity_table(image) if config.stretch else None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def read(self, window: TileWindow) -> UInt8[np.ndarray, "h w c"]:
        """Return the pixels of a window."""
        part = self.image[window.row : window.bottom, window.column : window.right]
        return part if self.table is None else self.table[part]

    def read_valid(self, window: TileWindow) -> Bool[np.ndarray, "h w"] | None:
        """Return which pixels of a window hold data, None if all do."""
        if self.valid is None:
            return None
        part = self.valid[window.row : window.bottom, window.column : window.right]
        return None if part.all() else part


class PendingTiles(NamedTuple):
    """Image that was read, to be segmented in tiles."""

    source: Source
    pixels: ArraySource
    milliseconds: float


@dataclass(frozen=True, eq=False)
class TileModel:
    """What the prediction of tiles needs of a model.

    Attributes:
        name: Name of the model for messages.
        task: Task of the network.
        labels: Classes of the network.
        preprocessing: Rules of pre-processing, of which those about sizes do not apply to tiles.
        postprocessing: Settings of post-processing.
        preprocess: Function from an image and rules to the network's input.
        logits: Function from a batch of inputs (b, c, h, w) to the network's output.
    """

    name: str
    task: Task
    labels: LabelSet
    preprocessing: PreprocessingConfig
    postprocessing: PostprocessingConfig
    preprocess: Callable[[ImageArray, PreprocessingConfig], Preprocessed]
    logits: Callable[[Tensor], SegmenterOutput]

    def divide(self, size: tuple[int, int], options: TileOptions) -> tuple[TileGrid, float]:
        """Cover an image of a height and width with tiles; return them and their scale.

        "auto" makes one tile of an image that the model's rule of resizing hardly shrinks, unless
        the model was trained on chips of rasters.
        """
        rules = self.preprocessing
        tile = choose_tile(options.tile or "auto", rules, self.name)
        is_resized = rules.squash is None and not rules.keep_scale
        if options.tile == "auto" and options.scale == 1 and is_resized:
            whole = input_size(size, rules)[0] / size[0]
            if whole >= MIN_WHOLE_SCALE:
                return TileGrid.divide(size, size, (0, 0)), whole
        return divide_image(size, tile, options, rules.size_divisor), options.scale


def check_range(name: str, value: object, lowest: float, highest: float) -> None:
    """Raise SettingsError unless a value is a number within limits."""
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not isfinite(value) or not lowest <= value <= highest:  # type: ignore[arg-type,operator]
        raise SettingsError(
            f"{name} is {abbreviate(value)}: pass a number from {lowest:g} to {highest:g}"
        )


def choose_tile(
    tile: int | Literal["auto"], config: PreprocessingConfig, name: str
) -> tuple[int, int]:
    """Return height and width of the tiles in pixels of the network's input.

    Args:
        tile: Requested side, or "auto" for the size for which the model was trained or exported.
        config: Rules of pre-processing.
        name: Name of the model for messages.

    Raises:
        SettingsError: The model is an exported graph of another size.
    """
    fixed = config.fixed_size
    if tile == "auto":
        step = max(1, config.size_divisor)
        side = -(-min(max(config.shortest_edge, AUTO_TILES[0]), AUTO_TILES[1]) // step) * step
        return fixed or (side, side)
    if fixed is not None and fixed != (tile, tile):
        sizes = f"tile={fixed[0]} or " if fixed[0] == fixed[1] else ""
        raise SettingsError(
            f"{name} takes inputs of {fixed[0]} x {fixed[1]} pixels only: pass {sizes}tile='auto', "
            f"or export it with --size {tile}x{tile}"
        )
    return tile, tile


def divide_image(
    size: tuple[int, int], tile: tuple[int, int], options: TileOptions, divisor: int
) -> TileGrid:
    """Cover an image with tiles of a height and width in pixels of the network's input."""
    height, width = (max(1, round(side / options.scale)) for side in tile)
    overlap = round(options.overlap * height), round(options.overlap * width)
    step = max(1, divisor) / options.scale
    return TileGrid.divide(
        size, (height, width), overlap, int(step) if step >= 1 and step == int(step) else 1
    )


def segment_tiles(
    model: TileModel,
    source: WindowSource,
    options: TileOptions,
    threshold: float | None,
    batch_size: int,
) -> Result:
    """Segment an image tile by tile.

    Args:
        model: The model.
        source: The image.
        options: How to divide the image.
        threshold: See `Predictor.predict`.
        batch_size: Largest number of tiles per forward pass.
    """
    grid, scale = model.divide(source.size, options)
    rules = TileRules(grid, model.labels, model.postprocessing, threshold, scale)
    collector = COLLECTORS[model.task](rules)
    speed: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    collect_tiles(model, source, collector, list(grid.tiles()), batch_size, speed)
    with timed(speed, "postprocess"):
        segments = collector.finish()
    candidates = () if segments else collector.best_candidates()
    return Result(
        model.task, source.size, model.labels, segments, speed=speed, candidates=candidates
    )


def collect_tiles(
    model: TileModel,
    source: WindowSource,
    collector: TileCollector,
    tiles: Sequence[Tile],
    batch_size: int,
    speed: dict[str, float],
) -> None:
    """Segment tiles, and add them to a collector in order.

    Args:
        model: The model.
        source: The image.
        collector: Collector of the segments.
        tiles: Tiles to segment, the next ones of the collector's grid.
        batch_size: Largest number of tiles per forward pass.
        speed: Milliseconds of each stage, to which those of the tiles are added.
    """
    rules = collector.rules
    for first in range(0, len(tiles), batch_size):
        batch = tiles[first : first + batch_size]
        with timed(speed, "preprocess"):
            masks = [source.read_valid(tile.window) for tile in batch]
            inputs = [
                prepare_tile(model, source, tile, rules.scale)
                for tile, valid in zip(batch, masks, strict=True)
                if valid is None or valid.any()
            ]
        output = None
        if inputs:
            with timed(speed, "network"):
                output = model.logits(torch.stack([item.pixel_values for item in inputs]))
        with timed(speed, "postprocess"):
            index = 0
            for tile, valid in zip(batch, masks, strict=True):
                if output is None or (valid is not None and not valid.any()):
                    collector.skip(tile)
                    continue
                logits = output.class_logits[index], output.mask_logits[index]
                check_logits(*logits, rules.labels)
                collector.add(tile, TileLogits(*logits, *inputs[index][1:]), valid)
                index += 1
            del output


def prepare_tile(model: TileModel, source: WindowSource, tile: Tile, scale: float) -> Preprocessed:
    """Read and preprocess a tile at its scale, whatever sizes the model's rules prescribe."""
    window = tile.window
    height, width = (max(1, round(side * scale)) for side in (window.height, window.width))
    config = replace(model.preprocessing, squash=(height, width), stretch=False)
    return model.preprocess(source.read(window), config)


@contextmanager
def timed(speed: dict[str, float], stage: str) -> Iterator[None]:
    """Add the milliseconds of a block to those of a stage."""
    start = time.perf_counter()
    yield
    speed[stage] += 1000 * (time.perf_counter() - start)
