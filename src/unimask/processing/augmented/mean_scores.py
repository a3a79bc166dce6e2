"""Semantic segmentation of several views: the class with the highest mean score.

The authors' rule (`SemanticSegmentorWithTTA` in `mask2former/test_time_augmentation.py`): every
view gets its class scores at the size of the image, mirrored views are mirrored back, and the
scores are averaged. They are computed in strips of rows, so that they are never held for the whole
image.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt16
from torch import Tensor

from unimask.processing.augmented.views import ViewOutput
from unimask.processing.blocks import label_map_dtype
from unimask.processing.class_shares import mask_activation, query_class_probs
from unimask.processing.resize import Axis, Resizer, Size

MAX_VALUES = 2**24
"""Number of mask probabilities or class scores in memory at a time."""

SHARE_CODES = 2**16 - 1
"""Code of a share of 1 in a map of shares."""


@dataclass(frozen=True, eq=False)
class ShareMap:
    """Confidence of semantic segmentation, stored for every pixel.

    Attributes:
        codes: Transposed map of the share of a pixel's class in its class scores, 65535 for 1.
    """

    codes: UInt16[np.ndarray, "w h"]

    @property
    def nbytes(self) -> int:
        """Number of bytes of the map."""
        return self.codes.nbytes

    def compute(self, ids: Integer[np.ndarray, "w h"]) -> Float[np.ndarray, "h w"]:
        """Return the confidence of every pixel, 0 where no segment is."""
        shares = self.codes.T.astype(np.float32) / SHARE_CODES
        return np.where(ids.T > 0, shares, np.float32(0))


def mean_semantic_map(
    views: Sequence[ViewOutput], size: Size, *, resize_scores: bool, threshold: float | None
) -> tuple[Integer[np.ndarray, "w h"], ShareMap]:
    """Return the transposed label map of an image, and the share of each pixel's class.

    Args:
        views: Network outputs of all views.
        size: Height and width of the image.
        resize_scores: Whether scores are resized to the image instead of mask logits (the rule
            "scores" of semantic-only checkpoints).
        threshold: Minimum share, below which a pixel gets no class (-1); None for no minimum.
    """
    strips = mean_scores(views, size, resize_scores=resize_scores)
    return best_classes(strips, size, views[0].class_logits.shape[1] - 1, threshold)


def best_classes(
    strips: Iterable[tuple[slice, Float[Tensor, "k r w"]]],
    size: Size,
    num_classes: int,
    threshold: float | None,
) -> tuple[Integer[np.ndarray, "w h"], ShareMap]:
    """Return the transposed map of the best classes, and their shares; see `mean_semantic_map`."""
    labels = torch.empty(size[::-1], dtype=label_map_dtype(num_classes))
    codes = np.empty(size[::-1], np.uint16)
    for rows, scores in strips:
        best, classes = scores.max(0)
        shares = best / scores.sum(0).clamp(min=torch.finfo(best.dtype).tiny)
        if threshold is not None:
            classes = classes.where(shares >= threshold, -1)
        labels[:, rows] = classes.T.to(labels)
        codes[:, rows] = (shares.clamp(max=1) * SHARE_CODES).round().int().T.cpu().numpy()
    return labels.numpy(), ShareMap(codes)


def mean_scores(
    views: Sequence[ViewOutput], size: Size, *, resize_scores: bool
) -> Iterator[tuple[slice, Float[Tensor, "k r w"]]]:
    """Yield strips of rows with the mean class scores over all views; see `mean_semantic_map`."""
    num_queries, num_classes = (side for side in views[0].class_logits.shape)
    step = max(1, MAX_VALUES // (max(num_queries, num_classes) * size[1]))
    strips = [ScoreStrips(view, size, resize_scores=resize_scores) for view in views]
    for top in range(0, size[0], step):
        rows = slice(top, min(top + step, size[0]))
        total = strips[0].scores(rows)
        for strip in strips[1:]:
            total += strip.scores(rows)
        yield rows, total.div_(len(views))


class ScoreStrips:
    """Class scores of a view in strips of rows of the image.

    Args:
        view: Network output of the view.
        size: Height and width of the image.
        resize_scores: See `mean_semantic_map`.
    """

    def __init__(self, view: ViewOutput, size: Size, *, resize_scores: bool) -> None:
        self.mask_logits = view.mask_logits
        self.probs = query_class_probs(view.class_logits)
        self.activation = mask_activation(self.probs, view.mask_logits)
        self.score_resizer: Resizer | None = None
        if resize_scores:
            self.mask_resizer, self.score_resizer = view.score_resizers(size)
        else:
            self.mask_resizer = view.mask_resizer(size)

    def scores(self, rows: slice) -> Float[Tensor, "k r w"]:
        """Compute the class scores of some rows of the image."""
        if self.score_resizer is None:
            return self.unresized_scores(rows)
        inputs = input_rows(self.score_resizer.rows, rows)
        scores = self.unresized_scores(inputs)
        return resize_rows(scores, self.score_resizer, rows, inputs)

    def unresized_scores(self, rows: slice) -> Float[Tensor, "k r w"]:
        """Compute class scores of rows of the map to which mask logits are resized."""
        inputs = input_rows(self.mask_resizer.rows, rows)
        logits = self.mask_logits[:, inputs].float()
        masks = self.activation(resize_rows(logits, self.mask_resizer, rows, inputs))
        return (self.probs @ masks.flatten(1)).unflatten(1, masks.shape[1:])


def input_rows(axis: Axis, outputs: slice) -> slice:
    """Return the inputs on which some outputs of an axis depend."""
    used = axis.inputs[outputs][axis.weights[outputs] > 0]
    return slice(int(used.min()), int(used.max()) + 1)


def resize_rows(
    values: Float[Tensor, "n i j"], resizer: Resizer, outputs: slice, inputs: slice
) -> Float[Tensor, "n r w"]:
    """Resize maps of which only some rows are given and wanted.

    Args:
        values: Rows `inputs` of the maps.
        resizer: Resizing of whole maps.
        outputs: Rows of the result.
        inputs: Rows of the maps, from `input_rows`.
    """
    rows = dense_weights(resizer.rows, outputs, inputs).to(values.device)
    columns = dense_weights(resizer.columns, slice(None), slice(0, values.shape[2]))
    return rows @ values @ columns.T.to(values.device)


def dense_weights(axis: Axis, outputs: slice, inputs: slice) -> Float[Tensor, "r i"]:
    """Return the weights of some inputs for some outputs as a matrix."""
    places, weights = axis.inputs[outputs], axis.weights[outputs]
    count = inputs.stop - inputs.start
    table = weights.new_zeros(len(places), count)
    return table.scatter_add_(1, (places - inputs.start).clamp(0, count - 1), weights)
