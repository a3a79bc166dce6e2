"""Views of an image, resized and mirrored, and what the network predicts for them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from unimask.processing.preprocess import Size, resize_image
from unimask.processing.resize import Axis, Resizer


class View(NamedTuple):
    """A view of an image: its height and width in pixels, and whether it is mirrored."""

    size: Size
    is_mirrored: bool


class ViewOutput(NamedTuple):
    """Logits of a view, and the sizes (height, width) that map them to the image.

    Attributes:
        class_logits: Class logits of each query; the last column is "no object".
        mask_logits: Mask logits of each query over the padded input.
        padded_size: Size of the network's input.
        input_size: Size of the view within the input, at its top left.
        is_mirrored: Whether the view is mirrored.
    """

    class_logits: Float[Tensor, "q k1"]
    mask_logits: Float[Tensor, "q h w"]
    padded_size: Size
    input_size: Size
    is_mirrored: bool

    def mask_resizer(self, size: Size) -> Resizer:
        """Return the resizing of mask logits to a size of the image, mirrored back."""
        height, width = self.mask_logits.shape[1:]
        resizer = Resizer.between((height, width), self.padded_size, self.input_size, size)
        return mirrored(resizer) if self.is_mirrored else resizer

    def score_resizers(self, size: Size) -> tuple[Resizer, Resizer]:
        """Return the resizing of mask logits to the view, and of scores to the image."""
        height, width = self.mask_logits.shape[1:]
        masks = Resizer.between((height, width), self.padded_size, self.input_size, self.input_size)
        scores = Resizer.linear(self.input_size, size)
        return masks, mirrored(scores) if self.is_mirrored else scores


def mirrored(resizer: Resizer) -> Resizer:
    """Return a resizing whose result is mirrored from left to right."""
    columns = resizer.columns
    return resizer._replace(columns=Axis(columns.inputs.flip(0), columns.weights.flip(0)))


def draw_view(image: UInt8[np.ndarray, "h w c"], view: View) -> UInt8[np.ndarray, "i j c"]:
    """Resize an image to the size of a view, and mirror it if the view is mirrored."""
    if view.size != image.shape[:2]:
        image = resize_image(image, view.size)
    return np.ascontiguousarray(image[:, ::-1]) if view.is_mirrored else image
