"""COCO panoptic images, which encode segment ids as colours."""

import numpy as np
from jaxtyping import Int, Integer, UInt8
from PIL import Image

from unimask.errors import OutputError

MAX_ID = 256**3 - 1

STRIP_PIXELS = 2**20
"""Number of pixels that are encoded at a time."""


def encode_ids(ids: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Encode ids as R + 256 G + 65536 B, as panopticapi does.

    Raises:
        OutputError: An id is negative or exceeds three bytes.
    """
    if ids.size and (ids.min() < 0 or ids.max() > MAX_ID):
        raise OutputError(f"segment ids must lie between 0 and {MAX_ID}; renumber them")
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def ids_to_image(transposed: Integer[np.ndarray, "w h"]) -> Image.Image:
    """Convert ids to an RGB image by the same rule, in strips of rows.

    Args:
        transposed: Id map, with its columns as rows.
    """
    width, height = transposed.shape
    image = Image.new("RGB", (width, height))
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = transposed[:, top : top + rows].T.astype(np.int32)
        image.paste(Image.fromarray(encode_ids(strip)), (0, top))
    return image


def decode_ids(colours: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """Decode ids that `encode_ids` wrote, as int32."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return red | green << 8 | blue << 16
