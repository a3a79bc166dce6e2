"""How pictures become tensors, and logits segments."""

from dataclasses import dataclass, replace
from typing import Literal

Window = tuple[float, float] | Literal["auto"] | None
"""Values that become black and white; "auto" takes them from each image; None from its type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessingConfig:
    """How a picture becomes a tensor.

    Attributes:
        shortest_edge: The shorter side is resized to this many pixels, aspect kept.
        longest_edge: ... unless the longer side would then exceed this.
        squash: Height and width that every picture is resized to, whatever its shape and in place
            of the edges, as the Hub's converted folders ask. No author tests so.
        size_divisor: Padding at the bottom and right, after normalisation, up to a multiple.
        mean: Per channel of the picture, on the scale 0 to 255.
        std: Per channel of the picture, on the scale 0 to 255.
        stretch: Map each picture's own 0.1 and 99.9 percentiles to black and white first, as
            microscopy needs; photographs do not.
        window: Values of deep images that become black and white when they are read, in training
            as in prediction; "auto" takes each image's own 0.1 and 99.9 percentiles, None the
            range of its type.
    """

    shortest_edge: int = 800
    longest_edge: int = 1333
    squash: tuple[int, int] | None = None
    size_divisor: int = 32
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    stretch: bool = False
    window: Window = None

    def for_channels(self, channels: int) -> "PreprocessingConfig":
        """Give the rule for pictures with so many channels.

        More channels than there are take the average mean and deviation of those that there are;
        fewer take the average, all of them.
        """
        known = len(self.mean)
        if channels == known:
            return self
        kept = known if channels > known else 0
        average = (sum(self.mean) / known,), (sum(self.std) / known,)
        return replace(
            self,
            mean=self.mean[:kept] + average[0] * (channels - kept),
            std=self.std[:kept] + average[1] * (channels - kept),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PostprocessingConfig:
    """How logits become segments (reference: `mask2former/maskformer_model.py`).

    Attributes:
        object_threshold: Panoptic: a query counts from this class score on.
        overlap_threshold: Panoptic: the share of its mask that a segment must keep.
        uncertain_pixels: Panoptic: where the best query's mask is below one half, "void" leaves
            the pixel to nobody, Mask2Former's rule; "winner" gives it to that query, MaskFormer's.
        top_k: Instance: pairs of query and class kept.
        min_visible: Instance: least share of its mask that no better instance has taken. 0 keeps
            all, the authors' way; one half suits objects that never overlap in truth.
        resize: "masks" resizes mask logits before any decision; "scores", the rule of
            semantic-only checkpoints, combines classes first and resizes their scores.
    """

    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    uncertain_pixels: Literal["void", "winner"] = "void"
    top_k: int = 100
    min_visible: float = 0.0
    resize: Literal["masks", "scores"] = "masks"
