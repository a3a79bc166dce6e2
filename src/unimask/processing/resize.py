"""The authors' two bilinear steps, as weights along each axis, so that no mask exists at full size.

Mask logits go to the padded size, the padding is cropped, and the rest goes to the original size
(reference: `mask2former/maskformer_model.py`, detectron2's `sem_seg_postprocess`). Both steps are
linear and separable: along one axis every output is a weighted mean of a few inputs.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Size = tuple[int, int]


class Windows(NamedTuple):
    """What blocks of equal length along an axis read: as many inputs each, from `starts` on."""

    starts: Int[Tensor, " n"]
    weights: Float[Tensor, "n o p"]

    def to(self, device: torch.device) -> "Windows":
        """Give them on a device."""
        return Windows(self.starts.to(device), self.weights.to(device))


class Axis(NamedTuple):
    """Linear interpolation along an axis: the inputs that each output reads, and their weights."""

    inputs: Int[Tensor, "o t"]
    weights: Float[Tensor, "o t"]

    @classmethod
    @lru_cache(maxsize=64)
    def linear(cls, length: int, new_length: int) -> "Axis":
        """Give one step of PyTorch's linear interpolation (align_corners=False).

        The weights are those of PyTorch, rounding and all: at column 1000 a float32 position
        leaves an error of 1e-4 in them. They come from interpolating three combs of ones, each a
        third of the inputs, since neighbours are then in different combs.
        """
        combs = torch.arange(length) % 3 == torch.arange(3)[:, None]
        weights = F.interpolate(combs[None].float(), new_length, mode="linear")[0].T
        place = (torch.arange(new_length, dtype=torch.float64) + 0.5) * length / new_length - 0.5
        before = place.round().long()[:, None] - 1
        inputs = before + (torch.arange(3) - before) % 3
        return cls(inputs.clamp(0, length - 1), weights)

    def then(self, following: "Axis") -> "Axis":
        """Give both steps as one; the second may read less than the first makes."""
        inputs = self.inputs[following.inputs].flatten(1)
        first = self.weights[following.inputs].double()
        return Axis(inputs, (first * following.weights[..., None].double()).flatten(1).float())

    def windows(self, outputs: Int[Tensor, "n o"]) -> Windows:
        """Give what blocks of outputs read."""
        count, length = outputs.shape
        inputs = self.inputs[outputs].flatten(1)
        weights = self.weights[outputs].flatten(1)
        read = weights > 0
        last = inputs.where(read, 0).amax(1)
        starts = inputs.where(read, last[:, None]).amin(1)
        width = int((last - starts).max()) + 1
        starts = starts.clamp(max=int(last.max()) + 1 - width)
        places = (inputs - starts[:, None]).clamp(0, width - 1).view(count, length, -1)
        table = weights.new_zeros(count, length, width)
        return Windows(starts, table.scatter_add_(2, places, weights.view(places.shape)))


class Resizer(NamedTuple):
    """Linear interpolation of maps: down the rows, and across the columns."""

    rows: Axis
    columns: Axis

    @classmethod
    def linear(cls, size: Size, new_size: Size) -> "Resizer":
        """Give one step."""
        rows, columns = (Axis.linear(*axis) for axis in zip(size, new_size, strict=True))
        return cls(rows, columns)

    @classmethod
    def between(cls, logits: Size, padded: Size, shown: Size, original: Size) -> "Resizer":
        """Join both steps for given sizes (height, width)."""
        first, second = cls.linear(logits, padded), cls.linear(shown, original)
        return cls(first.rows.then(second.rows), first.columns.then(second.columns))

    @property
    def size(self) -> Size:
        """Height and width of the result."""
        return len(self.rows.inputs), len(self.columns.inputs)
