"""Types that packages exchange: predictions of the network, and targets to train it."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor


class LayerPrediction(NamedTuple):
    """Prediction of one decoder layer for every query; the last class column is "no object"."""

    class_logits: Float[Tensor, "b q k"]
    mask_logits: Float[Tensor, "b q *t h w"]


class BoxPrediction(NamedTuple):
    """Classes and boxes that one decoder layer predicts for every query.

    Boxes are (centre x, centre y, width, height) as fractions of the network's input.
    """

    class_logits: Float[Tensor, "b q k"]
    boxes: Float[Tensor, "b q 4"]


class SegmenterOutput(NamedTuple):
    """Prediction of the last layer, and on request what only training needs.

    Attributes:
        class_logits: Class logits; the last column is "no object".
        mask_logits: Mask logits at a quarter of the input's height and width; of clips, those of
            each frame, (b, q, t, h, w).
        auxiliary: Predictions of the earlier layers; the first is that of the initial queries if
            the decoder supervises them.
        object_queries: Initial queries, if the decoder supervises them.
        text_queries: Embedded texts of each image, as many as queries; OneFormer only.
        boxes: Classes and boxes of all layers, the last layer last; DETR only, whose earlier layers
            predict no masks.
    """

    class_logits: Float[Tensor, "b q k"]
    mask_logits: Float[Tensor, "b q *t h w"]
    auxiliary: tuple[LayerPrediction, ...] = ()
    object_queries: Float[Tensor, "b q c"] | None = None
    text_queries: Float[Tensor, "b q c"] | None = None
    boxes: tuple[BoxPrediction, ...] = ()

    def group_frames(self, frames: int) -> "SegmenterOutput":
        """Return the output with the masks (b * t, q, h, w) of each layer as (b, q, t, h, w)."""

        def by_clip(masks: Float[Tensor, "n q h w"]) -> Float[Tensor, "b q t h w"]:
            return masks.unflatten(0, (-1, frames)).transpose(1, 2)

        earlier = [
            layer._replace(mask_logits=by_clip(layer.mask_logits)) for layer in self.auxiliary
        ]
        return self._replace(mask_logits=by_clip(self.mask_logits), auxiliary=tuple(earlier))


class MaskFactors:
    """Masks of all layers as the factors of their product, to be computed a few at a time.

    The masks of every query of every layer would take most of a training step's memory, and losses
    read few of them. Of clips, each frame counts as an image here, with the embeddings of its clip.
    This is not a tuple, so that code which converts the dtype of outputs (mixed
    precision training) leaves it unchanged.

    Args:
        embed: Mask embeddings of the queries of all layers, layer after layer.
        bias: Added to all pixels of a query's mask.
        features: Mask features at a quarter of the input's height and width.
    """

    __slots__ = ("bias", "embed", "features")

    def __init__(
        self,
        embed: Float[Tensor, "b n c"],
        bias: Float[Tensor, "b n 1"],
        features: Float[Tensor, "b c h w"],
    ) -> None:
        self.embed, self.bias, self.features = embed, bias, features


class FactoredOutput(NamedTuple):
    """Predictions of all layers for losses that compute masks themselves.

    Attributes:
        class_logits: Class logits of each layer, the last layer last; their last column is "no
            object".
        masks: Masks of all layers as factors.
        object_queries: Initial queries.
        text_queries: Embedded texts of each image, as many as queries; OneFormer only.
    """

    class_logits: tuple[Float[Tensor, "b q k"], ...]
    masks: MaskFactors
    object_queries: Float[Tensor, "b q c"] | None = None
    text_queries: Float[Tensor, "b q c"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Ground truth of one image at the size of the network's input.

    Attributes:
        labels: Label id per object.
        masks: Mask per object; objects may overlap.
        ignored: True for pixels without ground truth, which neither matching nor losses use; None
            if there are none.
    """

    labels: Int[Tensor, " n"]
    masks: Bool[Tensor, "n h w"]
    ignored: Bool[Tensor, "h w"] | None = None

    def to(self, device: object) -> "Target":
        """Return the target on `device`."""
        ignored = None if self.ignored is None else self.ignored.to(device)  # type: ignore[arg-type]
        return Target(self.labels.to(device), self.masks.to(device), ignored)  # type: ignore[arg-type]
