"""Test-time augmentation: prediction from several views of an image."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

from unimask.config import PreprocessingConfig
from unimask.errors import SettingsError
from unimask.label_sides import mirrored_label_ids
from unimask.labels import Task
from unimask.outputs import SegmenterOutput
from unimask.processing.arguments import abbreviate
from unimask.processing.augmented.views import View, ViewOutput, draw_view
from unimask.processing.images import ImageArray, Source
from unimask.processing.preprocess import Preprocessed, Size, resize_by_rule, scaled_size

AUTHORS_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Scales of the authors' views for semantic segmentation, where their table has no sizes."""

DETECTRON2_SIZES = tuple(range(400, 1201, 100)), 4000
"""Sizes that detectron2 uses where the authors' configurations set none."""

AUTHORS_SIZES: dict[Size, tuple[tuple[int, ...], int]] = {
    (800, 1333): DETECTRON2_SIZES,
    (2048, 2048): DETECTRON2_SIZES,
    (1024, 2048): ((512, 768, 1024, 1280, 1536, 1792), 4096),
    (896, 3584): ((448, 678, 896, 1120, 1344, 1568), 6272),
}
"""Shorter sides of the authors' views, and the largest longer side, by the test size (shorter side,
longest longer side) of a model. Source: `TEST.AUG` in the configurations of Mask2Former, MaskFormer
and OneFormer; those of other test sizes are `AUTHORS_SCALES` times the test size.
"""

SCALES = (1 / 8, 8.0)
"""Smallest and largest scale of a view."""

MAX_VIEWS = 64
"""Largest number of views."""


@dataclass(frozen=True)
class Augmentations:
    """Views of an image for test-time augmentation.

    Attributes:
        scales: Sizes of the views relative to the model's test size. None for the authors' sizes
            for semantic segmentation, and the test size alone for other tasks.
        flip: Whether every view is also mirrored from left to right.

    Raises:
        SettingsError: A scale is out of range, or there are none.

    Example:
        >>> import unimask
        >>> views = unimask.Augmentations(scales=(1, 1.25), flip=True)
        >>> result = unimask.load("nuclei").predict("cells.png", tta=views)  # doctest: +SKIP
    """

    scales: tuple[float, ...] | None = None
    flip: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.flip, bool):
            raise SettingsError(f"flip is {abbreviate(self.flip)}: pass True or False")
        if self.scales is None:
            return
        try:
            scales = tuple(self.scales)
        except TypeError:
            scales = ()
        if not 0 < len(scales) * (1 + self.flip) <= MAX_VIEWS:
            raise SettingsError(
                f"scales is {abbreviate(self.scales)}: pass from 1 to {MAX_VIEWS // 2} numbers"
            )
        for scale in scales:
            is_number = isinstance(scale, Real) and not isinstance(scale, bool)
            if not is_number or not isfinite(scale) or not SCALES[0] <= scale <= SCALES[1]:
                raise SettingsError(
                    f"a scale is {abbreviate(scale)}: pass numbers from {SCALES[0]:g} to "
                    f"{SCALES[1]:g}"
                )
        object.__setattr__(self, "scales", scales)

    def views(self, size: Size, task: Task, config: PreprocessingConfig) -> list[View]:
        """List the views of an image.

        Args:
            size: Height and width of the image at the model's test size.
            task: Task of the network. For all but semantic segmentation, the view that is nearest
                to the test size is the first.
            config: Pre-processing of the model.
        """
        sizes = self.sizes(size, task, config)
        if task != "semantic":
            sizes.sort(key=lambda item: abs(item[0] / size[0] - 1))
        mirrors = (False, True) if self.flip else (False,)
        return [View(item, is_mirrored) for item in sizes for is_mirrored in mirrors]

    def sizes(self, size: Size, task: Task, config: PreprocessingConfig) -> list[Size]:
        """List the sizes of the views that are not mirrored; see `views`."""
        edges = config.shortest_edge, config.longest_edge
        if config.squash is not None:
            edges = min(config.squash), max(config.squash)
        if self.scales is None and (task != "semantic" or config.fixed_size is not None):
            return [size]
        if self.scales is None and edges in AUTHORS_SIZES and config.squash is None:
            sides, longest = AUTHORS_SIZES[edges]
            limits = [(side, longest) for side in sides]
        elif self.scales is None:
            longest = round(edges[1] * AUTHORS_SCALES[-1])
            limits = [(round(edges[0] * scale), longest) for scale in AUTHORS_SCALES]
        else:
            return [scale_size(size, scale) for scale in self.scales]
        return [
            scaled_size(size, replace(config, shortest_edge=side, longest_edge=longest))
            for side, longest in limits
        ]


def scale_size(size: Size, scale: float) -> Size:
    """Multiply a height and width by a scale."""
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def parse_augmentations(
    tta: object, tile: object, config: PreprocessingConfig, name: str
) -> Augmentations | None:
    """Return the augmentations of an argument `tta`, None for none.

    Args:
        tta: False, True or the augmentations.
        tile: Side of the tiles of large images, with which views cannot be combined.
        config: Pre-processing of the model.
        name: Name of the model for messages.

    Raises:
        SettingsError: The argument is something else, or goes with tiles, or the model is an
            exported graph, which takes no other size.
    """
    if tta is False or tta is None:
        return None
    augmentations = Augmentations() if tta is True else tta
    if not isinstance(augmentations, Augmentations):
        raise SettingsError(f"tta is {abbreviate(tta)}: pass True, False or Augmentations(...)")
    if tile not in (None, "auto"):
        raise SettingsError("tta does not go with tiles: leave out tile= (--tile) or tta")
    if config.square == "windows":
        raise SettingsError(f"{name} segments windows of images, which tta does not go with")
    if config.fixed_size is not None and augmentations.scales not in (None, (1,)):
        raise SettingsError(
            f"{name} takes inputs of one size only: pass scales=(1,), or load the model that it "
            "was exported from"
        )
    return augmentations


class PendingViews(NamedTuple):
    """Image that was read, to be segmented from several views."""

    source: Source
    image: ImageArray
    milliseconds: float
    augmentations: Augmentations


@dataclass(frozen=True, eq=False)
class ViewModel:
    """What the prediction of views needs of a model.

    Attributes:
        task: Task of the network.
        labels: Class names; mirrored views exchange those of the left and the right side.
        preprocessing: Rules of pre-processing.
        preprocess: Function from an image and rules to the network's input.
        logits: Function from a batch of inputs (b, c, h, w) to the network's output.
    """

    task: Task
    labels: tuple[str, ...]
    preprocessing: PreprocessingConfig
    preprocess: Callable[[ImageArray, PreprocessingConfig], Preprocessed]
    logits: Callable[[Tensor], SegmenterOutput]


def predict_views(
    model: ViewModel, image: ImageArray, augmentations: Augmentations, batch_size: int
) -> tuple[list[ViewOutput], dict[str, float]]:
    """Run the network on all views of an image.

    As in detectron2, the image is resized to the model's test size first, and views are resized
    from that.

    Args:
        model: The model.
        image: The image.
        augmentations: Views of the image.
        batch_size: Largest number of views of one size per forward pass.

    Returns:
        Network output of each view, and the milliseconds of each stage.
    """
    start = time.perf_counter()
    resized, _ = resize_by_rule(image, model.preprocessing)
    views = augmentations.views(
        (resized.shape[0], resized.shape[1]), model.task, model.preprocessing
    )
    outputs: list[ViewOutput] = []
    class_order = [*mirrored_label_ids(model.labels), len(model.labels)]  # the last: no object
    speed = {"preprocess": 1000 * (time.perf_counter() - start), "network": 0.0}
    for group in equal_views(views, batch_size):
        start = time.perf_counter()
        inputs = [
            model.preprocess(
                draw_view(resized, view),
                replace(model.preprocessing, squash=view.size, stretch=False),
            )
            for view in group
        ]
        network_start = time.perf_counter()
        output = model.logits(torch.stack([item.pixel_values for item in inputs]))
        for index, (view, item) in enumerate(zip(group, inputs, strict=True)):
            class_logits, mask_logits = output.class_logits[index], output.mask_logits[index]
            if view.is_mirrored:
                class_logits = class_logits[:, class_order]
            sizes = item.padded_size, item.input_size
            outputs.append(ViewOutput(class_logits, mask_logits, *sizes, view.is_mirrored))
        speed["preprocess"] += 1000 * (network_start - start)
        speed["network"] += 1000 * (time.perf_counter() - network_start)
    return outputs, speed


def equal_views(views: list[View], batch_size: int) -> Iterator[list[View]]:
    """Yield consecutive views of equal size together, at most `batch_size` at a time."""
    group: list[View] = []
    for view in views:
        if group and (view.size != group[0].size or len(group) == batch_size):
            yield group
            group = []
        group.append(view)
    yield group
