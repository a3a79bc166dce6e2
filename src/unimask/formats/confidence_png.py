"""Confidence as a 16-bit greyscale image: 0 to 65535 stand for 0 to 1."""

import numpy as np
from jaxtyping import Float
from PIL import Image

MAX_VALUE = 65535

ROWS = 256
"""Number of rows converted at a time."""


def confidence_image(confidence: Float[np.ndarray, "h w"]) -> Image.Image:
    """Convert a map of values from 0 to 1 to an image, rounded to the nearest level."""
    levels = np.empty(confidence.shape, np.uint16)
    for top in range(0, len(levels), ROWS):
        levels[top : top + ROWS] = np.rint(MAX_VALUE * confidence[top : top + ROWS])
    return Image.fromarray(levels)
