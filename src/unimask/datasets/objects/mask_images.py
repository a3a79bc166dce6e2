"""Decode masks that JSON files hold as images."""

import io

import numpy as np
from jaxtyping import Bool
from PIL import Image

from unimask.errors import DataError
from unimask.processing.images import pil_limit_disabled

ALPHA_MODES = ("LA", "PA", "RGBA")
"""Modes of images with an alpha channel."""


def decode_mask_image(
    data: bytes, size: tuple[int, int], *, uses_alpha: bool = False
) -> Bool[np.ndarray, "h w"]:
    """Decode a mask: the pixels that are not black.

    Args:
        data: Image file, such as a PNG.
        size: Height and width of the image in which the mask lies, which it must not exceed.
        uses_alpha: Whether the alpha channel is the mask where there is one.

    Raises:
        DataError: The mask is not an image, or is larger than its image; the message is the end of
            a sentence.
    """
    try:
        with pil_limit_disabled():
            image = Image.open(io.BytesIO(data))
        with image:
            shape = image.height, image.width
            if shape[0] <= size[0] and shape[1] <= size[1]:  # excludes decompression bombs
                if uses_alpha and (image.mode in ALPHA_MODES or "transparency" in image.info):
                    return np.asarray(image.convert("RGBA"))[..., 3] > 0
                return np.asarray(image.convert("L")) > 0
    except Exception as error:  # image decoders raise many types of exceptions
        raise DataError(f"has a mask that is not an image ({error}): draw it again") from None
    raise DataError(f"has a mask of {shape[1]} x {shape[0]}, larger than its image: draw it again")
