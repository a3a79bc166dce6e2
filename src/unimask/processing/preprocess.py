"""Conversion of images to tensors as in detectron2 (ResizeShortestEdge, then padding)."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from unimask.config import PreprocessingConfig

Size = tuple[int, int]

USUAL_IMAGE = (480, 640)
"""Height and width of the image whose network input is the default size of exported graphs."""

STRIP_PIXELS = 2**21
"""Number of pixels of a large image converted at a time."""

ROWS_PER_STEP = 64
"""Number of rows normalised at a time."""


class Preprocessed(NamedTuple):
    """Input of the network, and the sizes (height, width) to map results back to the image.

    `pixel_values` has `padded_size`; its top left `input_size` holds the image, whose original
    size is `original_size`. Channels are last in memory (channels_last), as the network needs them.
    """

    pixel_values: Float[Tensor, "c h w"]
    padded_size: Size
    input_size: Size
    original_size: Size


def input_size(original: Size, config: PreprocessingConfig) -> Size:
    """Compute the resized size: by the edges' lengths or `squash`, limited by `fixed_size`."""
    if config.square is not None and config.fixed_size is not None and config.squash is None:
        return square_size(original, config.fixed_size[0], fill=config.square == "windows")
    size = config.squash or scaled_size(original, config)
    return size if config.fixed_size is None else fitting_size(size, config.fixed_size)


def square_size(original: Size, side: int, *, fill: bool) -> Size:
    """Scale a size to fit into a square, or to fill it (EoMT, `training/lightning_module.py`)."""
    scales = [side / length for length in original]
    scale = max(scales) if fill else min(scales)
    height, width = (max(1, round(length * scale)) for length in original)
    return height, width


def fitting_size(size: Size, limit: Size) -> Size:
    """Scale a size down until it fits into a limit, with its aspect ratio; never enlarge it."""
    scale = min(1.0, limit[0] / size[0], limit[1] / size[1])
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return min(height, limit[0]), min(width, limit[1])


def scaled_size(original: Size, config: PreprocessingConfig) -> Size:
    """Scale a size to the fixed shorter side, unless its longer side would exceed its limit."""
    height, width = original
    edge = float(config.shortest_edge)
    scale = edge / min(original)
    new_height, new_width = (edge, scale * width) if height < width else (scale * height, edge)
    if max(new_height, new_width) > config.longest_edge:
        # Two successive factors, as in detectron2: their product would round differently.
        scale = config.longest_edge / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def padded_size(size: Size, divisor: int) -> Size:
    """Round both sides up to multiples of `divisor`; 0 and 1 leave them unchanged."""
    step = max(divisor, 1)
    return -(-size[0] // step) * step, -(-size[1] // step) * step


def preprocess(image: UInt8[np.ndarray, "h w c"], config: PreprocessingConfig) -> Preprocessed:
    """Resize (bilinear, antialiased when shrinking), normalise, and pad with zeros.

    Padding is added after normalisation at the bottom and right, so that it has the mean colour;
    that of squares (`PreprocessingConfig.square`) is black.
    """
    resized, sizes = resize_by_rule(image, config)
    return Preprocessed(normalise(resized, config, sizes[0]), *sizes)


def preprocess_unnormalised(
    image: UInt8[np.ndarray, "h w c"], config: PreprocessingConfig, dtype: torch.dtype
) -> Preprocessed:
    """Resize, and pad with the mean colour or black, for graphs that normalise their input.

    Args:
        image: Image to convert.
        config: Rules of resizing and padding.
        dtype: Dtype of the values from 0 to 255; the mean colour is rounded if it is uint8.
    """
    resized, sizes = resize_by_rule(image, config)
    mean = torch.tensor(config.mean)
    if config.square is not None:
        mean = torch.zeros_like(mean)
    colour = mean if dtype.is_floating_point else mean.round().to(dtype)
    pixel_values = colour.expand(*sizes[0], -1).contiguous()
    pixel_values.numpy()[: sizes[1][0], : sizes[1][1]] = resized
    return Preprocessed(pixel_values.permute(2, 0, 1), *sizes)


def resize_by_rule(
    image: UInt8[np.ndarray, "h w c"], config: PreprocessingConfig
) -> tuple[UInt8[np.ndarray, "i j c"], tuple[Size, Size, Size]]:
    """Return the resized image, and its padded, resized and original size."""
    original = (image.shape[0], image.shape[1])
    table = intensity_table(image) if config.stretch else None
    size = input_size(original, config)
    if size == original:
        image = image if table is None else table[image]
    else:
        image = resize_image(image, size, table=table)
    padded = config.fixed_size or padded_size(size, config.size_divisor)
    if config.square == "windows" and config.squash is None:
        padded = size
    return image, (padded, size, original)


def resize_image(
    image: UInt8[np.ndarray, "h w c"],
    size: Size,
    box: tuple[float, float, float, float] | None = None,
    table: UInt8[np.ndarray, "256"] | None = None,
) -> UInt8[np.ndarray, "i j c"]:
    """Resize an image, or a box of it.

    Images that are not RGB are resized channel by channel, since PIL would take the second or
    fourth channel for alpha.

    Args:
        image: Image to resize.
        size: New height and width.
        box: Part of the image (x0, y0, x1, y1 in pixels), or None for all of it.
        table: Lookup table applied to the values before resizing, or None.
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
    """Convert RGB or one channel to a PIL image in strips, through the lookup table `table`."""
    height, width = layer.shape[:2]
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        changed = layer if table is None else table[layer]
        return Image.fromarray(np.ascontiguousarray(changed))
    image = Image.new("RGB" if layer.ndim == 3 else "L", (width, height))
    for top in range(0, height, rows):
        image.paste(to_pil(layer[top : top + rows], table), (0, top))
    return image


def stretch_intensities(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Map the 0.1 and 99.9 percentiles of an image to 0 and 255, equally for all channels."""
    table = intensity_table(image)
    return image if table is None else table[image]


def intensity_table(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "256"] | None:
    """Compute the lookup table of `stretch_intensities`; None if no value changes."""
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
    """Subtract the channels' means, divide by their deviations, and pad to `padded`.

    Channels are last in memory. A few rows at a time stay in the CPU's cache between the steps.
    """
    height, width, channels = image.shape
    pixel_values = torch.zeros(*padded, channels)
    if config.square is not None:
        pixel_values -= torch.tensor(config.mean) / torch.tensor(config.std)  # black
    target = pixel_values[:height, :width].numpy()
    mean, std = (
        np.tile(np.array(values, np.float32), (width, 1)) for values in (config.mean, config.std)
    )
    for top in range(0, height, ROWS_PER_STEP):
        rows = target[top : top + ROWS_PER_STEP]
        np.subtract(image[top : top + ROWS_PER_STEP], mean, out=rows)
        rows /= std
    return pixel_values.permute(2, 0, 1)
