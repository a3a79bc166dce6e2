"""Pre-processing of images to tensors, and post-processing of logits to segments."""

from dataclasses import dataclass, replace
from typing import Literal

Window = tuple[float, float] | Literal["auto", "z-score"] | None
"""Values that become black and white. "auto" (the 0.1 and 99.9 percentiles) and "z-score" (the mean
minus and plus 4 standard deviations) compute them per image or volume, None uses the range of the
dtype.
"""

Preprocessing = Literal["authors", "hub"]
"""Source of pre-processing settings: the authors' test settings, or preprocessor_config.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessingConfig:
    """Pre-processing of an image to a tensor.

    Attributes:
        shortest_edge: Length of the shorter side after resizing, in pixels; the aspect ratio is
            kept.
        longest_edge: Maximum length of the longer side, in pixels; it limits the resizing.
        squash: Height and width to which every image is resized whatever its aspect ratio, instead
            of by its edges; some converted checkpoints on the Hub ask for this. No author tests
            this way.
        size_divisor: Number of which the height and width are multiples after padding at the bottom
            and right, which follows normalisation.
        mean: Mean per channel of the image, on a scale from 0 to 255.
        std: Standard deviation per channel of the image, on a scale from 0 to 255.
        stretch: Whether each image's 0.1 and 99.9 percentiles are mapped to black and white first,
            as microscopy needs and photographs do not.
        fixed_size: Height and width of the network's input, for exported graphs that take no
            other: images that are larger after resizing are scaled down to fit, and all are padded
            to it. None pads to multiples of `size_divisor` only.
        square: How images become squares of `fixed_size` (EoMT). "pad" scales them to fit, and
            pads them with black before normalisation. "windows" scales their shorter side, and
            divides the longer one into overlapping windows; class scores are averaged where these
            overlap. None for the other rules; `squash` takes precedence.
        window: Values of images deeper than 8 bits that become black and white on reading, in
            training and prediction; "auto" uses each image's 0.1 and 99.9 percentiles, "z-score"
            its mean minus and plus 4 standard deviations, None the range of its dtype.
        keep_scale: Whether rasters are segmented at their own scale, as a network that was trained
            on chips of rasters must see them.
        bands: Band of each channel of rasters, counted from 1, as in training; None for the usual
            ones.
        slices: Number of neighbouring slices of volumes that are channels of the image: 1, 3 or 5.
    """

    shortest_edge: int = 800
    longest_edge: int = 1333
    squash: tuple[int, int] | None = None
    size_divisor: int = 32
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    stretch: bool = False
    square: Literal["pad", "windows"] | None = None
    window: Window = None
    fixed_size: tuple[int, int] | None = None
    keep_scale: bool = False
    bands: tuple[int, ...] | None = None
    slices: int = 1

    def with_channels(self, channels: int) -> "PreprocessingConfig":
        """Return the configuration for images with another number of channels.

        Additional channels get the average mean and deviation of the known ones; with fewer
        channels, all get the average.
        """
        known = len(self.mean)
        if channels == known:
            return self
        num_known = known if channels > known else 0
        average = (sum(self.mean) / known,), (sum(self.std) / known,)
        return replace(
            self,
            mean=self.mean[:num_known] + average[0] * (channels - num_known),
            std=self.std[:num_known] + average[1] * (channels - num_known),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PostprocessingConfig:
    """Post-processing of logits to segments (reference: `mask2former/maskformer_model.py`).

    Attributes:
        object_threshold: Panoptic: minimum class score of a query.
        overlap_threshold: Panoptic: minimum fraction of its mask that a segment retains after
            overlaps are resolved.
        uncertain_pixels: Panoptic: pixels where the best query's mask probability is below one
            half. "void" leaves them unassigned (Mask2Former), "winner" assigns them to that query
            (MaskFormer). "logits" assigns every pixel to the query with the largest mask logit,
            and retains segments of more than 4 pixels whatever their overlaps (DETR).
        instance_threshold: Instance: minimum score of the instances that predictions return unless
            asked for others.
        top_k: Instance: number of best pairs of query and class.
        min_visible: Instance: minimum fraction of a mask that no instance with a higher score
            covers. 0 retains all instances, as the authors do; one half suits objects that never
            overlap.
        resize: "masks" resizes mask logits before any decision; "scores" combines classes first and
            resizes their scores, as checkpoints for semantic segmentation only do.
    """

    object_threshold: float = 0.8
    overlap_threshold: float = 0.8
    uncertain_pixels: Literal["void", "winner", "logits"] = "void"
    instance_threshold: float = 0.5
    top_k: int = 100
    min_visible: float = 0.0
    resize: Literal["masks", "scores"] = "masks"
