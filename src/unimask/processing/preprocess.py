"""Picture to tensor, by the authors' rule (detectron2's ResizeShortestEdge, then padding)."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from unimask.config import PreprocessingConfig

Size = tuple[int, int]

STRIP_PIXELS = 2**21
"""Pixels of larger pictures that are converted at a time."""

ROWS = 64
"""Rows that are normalised at a time."""


class Preprocessed(NamedTuple):
    """The network's input, and the sizes (height, width) that lead back to the picture.

    `pixel_values` has `padded_size`; its top left `input_size` shows the picture, whose own
    size was `original_size`. Its channels come last in memory, as the network wants them.
    """

    pixel_values: Float[Tensor, "c h w"]
    padded_size: Size
    input_size: Size
    original_size: Size


def input_size(original: Size, config: PreprocessingConfig) -> Size:
    """Give the size of the resized picture: shorter side fixed, longer capped, unless squashed."""
    if config.squash is not None:
        return config.squash
    height, width = original
    edge = float(config.shortest_edge)
    scale = edge / min(original)
    new_height, new_width = (edge, scale * width) if height < width else (scale * height, edge)
    if max(new_height, new_width) > config.longest_edge:
        # Two factors one after the other, as detectron2 does: their product rounds differently.
        scale = config.longest_edge / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def padded_size(size: Size, divisor: int) -> Size:
    """Round both sides up to multiples of `divisor`; 0 and 1 leave them."""
    step = max(divisor, 1)
    return -(-size[0] // step) * step, -(-size[1] // step) * step


def preprocess(image: UInt8[np.ndarray, "h w c"], config: PreprocessingConfig) -> Preprocessed:
    """Resize (bilinear, antialiased when shrinking), normalise, and pad with zeros.

    Padding comes after normalisation, at the bottom and right: padded pixels are of the mean
    colour.
    """
    original = (image.shape[0], image.shape[1])
    table = intensity_table(image) if config.stretch else None
    size = input_size(original, config)
    if size == original:
        image = image if table is None else table[image]
    else:
        image = resize_picture(image, size, table=table)
    padded = padded_size(size, config.size_divisor)
    return Preprocessed(normalise(image, config, padded), padded, size, original)


def resize_picture(
    image: UInt8[np.ndarray, "h w c"],
    size: Size,
    box: tuple[float, float, float, float] | None = None,
    table: UInt8[np.ndarray, "256"] | None = None,
) -> UInt8[np.ndarray, "i j c"]:
    """Resize a picture, or the part of it in a box (x0, y0, x1, y1 in pixels).

    Other channels than RGB are resized one by one: PIL would take the second or fourth for alpha.

    Args:
        image: The picture.
        size: The new height and width.
        box: The part.
        table: What each value becomes before; None leaves them.
    """
    layers = [image] if image.shape[2] == 3 else np.moveaxis(image, 2, 0)
    resized = [
        np.asarray(to_pil(layer, table).resize((size[1], size[0]), Image.Resampling.BILINEAR, box))
        for layer in layers
    ]
    return resized[0] if image.shape[2] == 3 else np.stack(resized, axis=2)


def to_pil(
    layer: UInt8[np.ndarray, "h w *c"], table: UInt8[np.ndarray, "256"] | None
) -> Image.Image:
    """Convert RGB or one channel to a PIL image, some rows at a time; `table` changes values."""
    height, width = layer.shape[:2]
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        changed = layer if table is None else table[layer]
        return Image.fromarray(np.ascontiguousarray(changed))
    picture = Image.new("RGB" if layer.ndim == 3 else "L", (width, height))
    for top in range(0, height, rows):
        picture.paste(to_pil(layer[top : top + rows], table), (0, top))
    return picture


def stretch_intensities(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Map the picture's 0.1 and 99.9 percentiles to 0 and 255, all channels alike."""
    table = intensity_table(image)
    return image if table is None else table[image]


def intensity_table(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "256"] | None:
    """Return what each value becomes by that rule; None where all stay as they are."""
    counts = np.zeros(256, np.int64)
    rows = max(1, STRIP_PIXELS // image.shape[1])
    for top in range(0, image.shape[0], rows):
        counts += np.bincount(image[top : top + rows].ravel(), minlength=256)
    share = np.cumsum(counts) / image.size
    low, high = np.searchsorted(share, (0.001, 0.999))
    if high <= low:
        return None
    table = (np.arange(256) - low) * (255 / (high - low))
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)


def normalise(
    image: UInt8[np.ndarray, "h w c"], config: PreprocessingConfig, padded: Size
) -> Float[Tensor, "c i j"]:
    """Give the picture minus its channels' mean, over their deviation, and zeros up to `padded`.

    Channels come last in memory. Some rows at a time stay in the cache from step to step.
    """
    height, width, channels = image.shape
    pixel_values = torch.zeros(*padded, channels)
    target = pixel_values[:height, :width].numpy()
    mean, std = (
        np.tile(np.array(values, np.float32), (width, 1)) for values in (config.mean, config.std)
    )
    for top in range(0, height, ROWS):
        rows = target[top : top + ROWS]
        np.subtract(image[top : top + ROWS], mean, out=rows)
        rows /= std
    return pixel_values.permute(2, 0, 1)
