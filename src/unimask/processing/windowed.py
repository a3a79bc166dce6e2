"""Semantic segmentation of images in square windows along their longer side.

The rule of EoMT's authors (`training/lightning_module.py`): class scores of the windows are
averaged where they overlap, and resized to the image.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unimask.config import PreprocessingConfig
from unimask.labels import LabelSet
from unimask.processing.augmented.mean_scores import (
    MAX_VALUES,
    ScoreStrips,
    best_classes,
    input_rows,
    resize_rows,
)
from unimask.processing.augmented.views import ViewOutput
from unimask.processing.postprocess import check_logits, semantic_segments
from unimask.processing.preprocess import Preprocessed
from unimask.processing.resize import Resizer, Size
from unimask.results import Result


def list_windows(size: Size, config: PreprocessingConfig) -> list[slice]:
    """Return the windows along the longer side of a resized image.

    Args:
        size: Height and width of the resized image.
        config: Rules of pre-processing; there are no windows unless `square` says so.
    """
    if config.square != "windows" or config.fixed_size is None or config.squash is not None:
        return []
    side, longest = config.fixed_size[0], max(size)
    count = math.ceil(longest / side)
    overlap = (count * side - longest) / max(1, count - 1)
    starts = [int(index * (side - overlap)) for index in range(count)]
    return [slice(start, start + side) for start in starts]


def cut_windows(
    pixel_values: Float[Tensor, "b c h w"], windows: Sequence[slice]
) -> Float[Tensor, "n c s s"]:
    """Cut images of equal size into windows; those of an image follow each other."""
    vertical = pixel_values.shape[2] > pixel_values.shape[3]
    parts = [
        pixel_values[:, :, window] if vertical else pixel_values[:, :, :, window]
        for window in windows
    ]
    return torch.stack(parts, dim=1).flatten(0, 1)


class WindowScores:
    """Class scores of a resized image, in strips of rows.

    Args:
        class_logits: Class logits of each window.
        mask_logits: Mask logits of each window.
        windows: The windows.
        size: Height and width of the resized image.
    """

    def __init__(
        self,
        class_logits: Float[Tensor, "n q k1"],
        mask_logits: Float[Tensor, "n q i j"],
        windows: Sequence[slice],
        size: Size,
    ) -> None:
        side = windows[0].stop - windows[0].start
        square = side, side
        views = [
            ViewOutput(classes, masks, square, square, False)
            for classes, masks in zip(class_logits, mask_logits, strict=True)
        ]
        self.strips = [ScoreStrips(view, square, resize_scores=True) for view in views]
        self.windows, self.size = windows, size

    def scores(self, rows: slice) -> Float[Tensor, "k r w"]:
        """Compute the mean class scores of some rows of the resized image."""
        height, width = rows.stop - rows.start, self.size[1]
        probs = self.strips[0].probs
        totals, counts = probs.new_zeros(len(probs), height, width), probs.new_zeros(height, width)
        for strip, window in zip(self.strips, self.windows, strict=True):
            inner, place = rows, (slice(None), window)
            if self.size[0] > width:
                first, last = max(rows.start, window.start), min(rows.stop, window.stop)
                if first >= last:
                    continue
                inner = slice(first - window.start, last - window.start)
                place = slice(first - rows.start, last - rows.start), slice(None)
            totals[:, place[0], place[1]] += strip.unresized_scores(inner)
            counts[place] += 1
        return totals.div_(counts)

    def resized(self, size: Size) -> Iterator[tuple[slice, Float[Tensor, "k r w"]]]:
        """Yield strips of rows of the class scores at another size."""
        resizer = Resizer.linear(self.size, size)
        num_queries, num_classes = self.strips[0].probs.shape
        width = max(size[1], self.size[1])
        step = max(1, MAX_VALUES // (max(num_queries, num_classes) * width))
        for top in range(0, size[0], step):
            rows = slice(top, min(top + step, size[0]))
            inputs = input_rows(resizer.rows, rows)
            yield rows, resize_rows(self.scores(inputs), resizer, rows, inputs)


def segment_windows(
    class_logits: Float[Tensor, "n q k1"],
    mask_logits: Float[Tensor, "n q i j"],
    windows: Sequence[slice],
    sizes: Preprocessed,
    labels: LabelSet,
    *,
    threshold: float | None = None,
    retain_confidence: bool = True,
) -> Result:
    """Convert the logits of an image's windows to the best class of every pixel.

    Args:
        class_logits: Class logits of each window.
        mask_logits: Mask logits of each window.
        windows: The windows.
        sizes: Sizes of the image.
        labels: Classes of the network.
        threshold: Minimum share of a class in the class scores; None for no minimum.
        retain_confidence: Whether the result retains what `Result.confidence` needs.

    Raises:
        SettingsError: The logits do not match the label set, or are not finite.
    """
    for classes, masks in zip(class_logits, mask_logits, strict=True):
        check_logits(classes, masks, labels)
    size = sizes.original_size
    scores = WindowScores(class_logits, mask_logits, windows, sizes.input_size)
    label_map, shares = best_classes(scores.resized(size), size, len(labels), threshold)
    segments = semantic_segments(label_map, labels)
    source = shares if retain_confidence else None
    return Result("semantic", size, labels, segments, confidence_source=source)
