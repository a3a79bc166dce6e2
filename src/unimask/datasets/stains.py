"""Random changes to the stains of bright-field microscopy images, as between laboratories."""

import numpy as np
from jaxtyping import Float, UInt8

STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Absorption of red, green and blue light by haematoxylin, eosin and DAB (Ruifrok and Johnston
2001)."""

UNIT_STAINS: Float[np.ndarray, "3 3"] = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
UNMIXING: Float[np.ndarray, "3 3"] = np.linalg.inv(UNIT_STAINS)

BACKGROUND_SHIFT = 0.1
"""Change of the stains' amounts everywhere, relative to the factor on the amounts."""


def change_stains(
    image: UInt8[np.ndarray, "h w 3"], amount: float, random: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Change the amount of each stain in an RGB image; grey images are returned unchanged.

    Args:
        image: RGB image of stained tissue.
        amount: Largest relative change of the amount of a stain, 0 to 1.
        random: Generator of the random numbers.
    """
    if (image == image[..., :1]).all():
        return image
    factors = random.uniform(1 - amount, 1 + amount, 3)
    shifts = random.uniform(-amount, amount, 3) * BACKGROUND_SHIFT
    mixing = (UNMIXING * factors) @ UNIT_STAINS
    absorbance = -np.log((image.astype(np.float32) + 1) / 256)
    changed = absorbance @ mixing.astype(np.float32) + (shifts @ UNIT_STAINS).astype(np.float32)
    return np.clip(np.rint(np.exp(-changed) * 256 - 1), 0, 255).astype(np.uint8)
