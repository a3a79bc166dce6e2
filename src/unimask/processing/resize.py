"""The authors' two bilinear resizing steps as weights per axis, so that no mask is stored in full.

Mask logits are resized to the padded size, cropped to the input size, and resized to the original
size (reference: `mask2former/maskformer_model.py`, detectron2's `sem_seg_postprocess`). Both steps
are linear and separable: along one axis every output is a weighted mean of a few inputs.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Size = tuple[int, int]


class Windows(NamedTuple):
    """Inputs of equally long blocks along an axis: start and weights of each block's window."""

    starts: Int[Tensor, " n"]
    weights: Float[Tensor, "n o p"]

    def to(self, device: torch.device) -> "Windows":
        """Copy the tensors to a device."""
        return Windows(self.starts.to(device), self.weights.to(device))


class Axis(NamedTuple):
    """Linear interpolation along an axis: the inputs of each output and their weights."""

    inputs: Int[Tensor, "o t"]
    weights: Float[Tensor, "o t"]

    @classmethod
    @lru_cache(maxsize=64)
    def linear(cls, length: int, new_length: int) -> "Axis":
        """Compute one step of PyTorch's linear interpolation (align_corners=False).

        The weights are PyTorch's own including rounding: at column 1000 a float32 position changes
        them by 1e-4. They are obtained by interpolating three indicator vectors, each of a third of
        the inputs, since neighbouring inputs belong to different vectors.
        """
        combs = torch.arange(length) % 3 == torch.arange(3)[:, None]
        weights = F.interpolate(combs[None].float(), new_length, mode="linear")[0].T
        place = (torch.arange(new_length, dtype=torch.float64) + 0.5) * length / new_length - 0.5
        before = place.round().long()[:, None] - 1
        inputs = before + (torch.arange(3) - before) % 3
        return cls(inputs.clamp(0, length - 1), weights)

    @classmethod
    @lru_cache(maxsize=64)
    def nearest(cls, length: int, new_length: int) -> "Axis":
        """Compute a step that copies the nearest input, as `PIL.Image.NEAREST` does."""
        steps = torch.full((new_length,), length / new_length, dtype=torch.float64)
        steps[0] /= 2
        place = steps.cumsum(0)  # as PIL rounds: the middle of a pixel may lie on an edge
        return cls(place.long().clamp(max=length - 1)[:, None], torch.ones(new_length, 1))

    def compose(self, following: "Axis") -> "Axis":
        """Compose two steps; the second may read only a part of the first's outputs."""
        inputs = self.inputs[following.inputs].flatten(1)
        first = self.weights[following.inputs].double()
        return Axis(inputs, (first * following.weights[..., None].double()).flatten(1).float())

    def windows(self, outputs: Int[Tensor, "n o"]) -> Windows:
        """Return the input windows of blocks of outputs."""
        count, length = outputs.shape
        inputs = self.inputs[outputs].flatten(1)
        weights = self.weights[outputs].flatten(1)
        is_used = weights > 0
        last = inputs.where(is_used, 0).amax(1)
        starts = inputs.where(is_used, last[:, None]).amin(1)
        width = int((last - starts).max()) + 1
        starts = starts.clamp(max=int(last.max()) + 1 - width)
        places = (inputs - starts[:, None]).clamp(0, width - 1).view(count, length, -1)
        table = weights.new_zeros(count, length, width)
        return Windows(starts, table.scatter_add_(2, places, weights.view(places.shape)))


class Resizer(NamedTuple):
    """Linear interpolation of maps along rows and columns."""

    rows: Axis
    columns: Axis

    @classmethod
    def linear(cls, size: Size, new_size: Size) -> "Resizer":
        """Return a single resizing step."""
        rows, columns = (Axis.linear(*axis) for axis in zip(size, new_size, strict=True))
        return cls(rows, columns)

    @classmethod
    def nearest(cls, size: Size, new_size: Size) -> "Resizer":
        """Return a single step that copies the nearest inputs."""
        rows, columns = (Axis.nearest(*axis) for axis in zip(size, new_size, strict=True))
        return cls(rows, columns)

    @classmethod
    def between(
        cls, logits: Size, padded: Size, cropped: Size, original: Size, *, nearest: bool = False
    ) -> "Resizer":
        """Compose both steps for the given sizes (height, width).

        Args:
            logits: Size of the mask logits.
            padded: Size of the network's input.
            cropped: Size of the image within the input.
            original: Size of the result.
            nearest: Whether the second step copies the nearest values instead of interpolating.
        """
        step = cls.nearest if nearest else cls.linear
        first, second = cls.linear(logits, padded), step(cropped, original)
        return cls(first.rows.compose(second.rows), first.columns.compose(second.columns))

    @property
    def size(self) -> Size:
        """Height and width of the result."""
        return len(self.rows.inputs), len(self.columns.inputs)
