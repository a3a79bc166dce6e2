"""What passes between the rooms: predictions of the network, and targets to train it."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor


class LayerPrediction(NamedTuple):
    """What one decoder layer says of every query; the last class column is "no object"."""

    class_logits: Float[Tensor, "b q k"]
    mask_logits: Float[Tensor, "b q h w"]


class SegmenterOutput(NamedTuple):
    """The last layer's prediction, and where asked for what only training needs.

    Attributes:
        class_logits: The last column is "no object".
        mask_logits: At a quarter of the input's height and width.
        auxiliary: Predictions of the earlier layers, first those of bare queries if the decoder
            judges them.
        queries: The bare queries, where they are judged.
        texts: What the picture's texts mean, as many as queries; OneFormer alone has them.
    """

    class_logits: Float[Tensor, "b q k"]
    mask_logits: Float[Tensor, "b q h w"]
    auxiliary: tuple[LayerPrediction, ...] = ()
    queries: Float[Tensor, "b q c"] | None = None
    texts: Float[Tensor, "b q c"] | None = None


class MaskFactors:
    """Masks of all layers as what they are products of, to be drawn a few at a time.

    Drawn, the masks of every query of every layer are the most that a training step holds, and its
    losses look at few of them. Not a tuple: whoever turns outputs into another type, as training
    in half precision does, leaves it as it is.

    Args:
        embed: Of the queries of all layers, one layer after the other.
        own: What is added to all cells of a query.
        features: Of the cells, at a quarter of the input's height and width.
    """

    __slots__ = ("embed", "features", "own")

    def __init__(
        self,
        embed: Float[Tensor, "b n c"],
        own: Float[Tensor, "b n 1"],
        features: Float[Tensor, "b c h w"],
    ) -> None:
        self.embed, self.own, self.features = embed, own, features


class FactoredOutput(NamedTuple):
    """Predictions of all layers for losses that draw masks themselves.

    Attributes:
        class_logits: Of each layer, the last one last; the last column is "no object".
        masks: Of all layers.
        queries: The bare queries.
        texts: What the picture's texts mean, as many as queries; OneFormer alone has them.
    """

    class_logits: tuple[Float[Tensor, "b q k"], ...]
    masks: MaskFactors
    queries: Float[Tensor, "b q c"] | None = None
    texts: Float[Tensor, "b q c"] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The truth of one picture, at the size of the network's input.

    Attributes:
        labels: Label id per object.
        masks: Pixels per object; objects may overlap.
        ignored: Pixels of unknown truth, which touch neither matching nor loss; None for none.
    """

    labels: Int[Tensor, " n"]
    masks: Bool[Tensor, "n h w"]
    ignored: Bool[Tensor, "h w"] | None = None

    def to(self, device: object) -> "Target":
        """Give the target on `device`."""
        ignored = None if self.ignored is None else self.ignored.to(device)  # type: ignore[arg-type]
        return Target(self.labels.to(device), self.masks.to(device), ignored)  # type: ignore[arg-type]
