"""Colours that stay the same for a class in every image."""

import numpy as np
from jaxtyping import Float, UInt8

from unimask.labels import Colour

GOLDEN_ANGLE = 137.50776
LIGHTNESS_CYCLE = (0.74, 0.64, 0.82)

MAX_HUE_SHIFT, MAX_LIGHTNESS_SHIFT = 70.0, 0.14
"""Maximum hue (degrees) and lightness difference within a class, for palette colours."""

DATASET_HUE_SHIFT, DATASET_LIGHTNESS_SHIFT = 36.0, 0.2
"""The same limits for colours that a dataset defines, whose hue must stay recognisable."""

OKLAB_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
CONES_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
"""Matrices from Oklab to cube roots of cone responses, and from cone responses to linear sRGB
(Ottosson 2020).
"""


def class_colour(label_id: int, dataset_colour: Colour | None = None) -> Colour:
    """Return the dataset's colour of a class, or one whose hue differs from those of close ids."""
    return object_colour(label_id, 0, dataset_colour)


def object_colour(label_id: int, number: int, dataset_colour: Colour | None = None) -> Colour:
    """Return the colour of one object: close to that of its class, but unlike its neighbours'.

    Args:
        label_id: Label id of the class.
        number: Number of the object within its class, from 1; 0 returns the colour of the class.
        dataset_colour: Colour that the dataset defines for the class, if any.
    """
    if dataset_colour is not None and not number:
        return dataset_colour
    if dataset_colour is None:
        hue = (40 + GOLDEN_ANGLE * label_id) % 360
        lightness, chroma = LIGHTNESS_CYCLE[label_id % len(LIGHTNESS_CYCLE)], 0.15
        hue_shift, lightness_shift = MAX_HUE_SHIFT, MAX_LIGHTNESS_SHIFT
    else:
        lightness, chroma, hue = to_oklch(np.array(dataset_colour, np.uint8)).tolist()
        hue_shift, lightness_shift = DATASET_HUE_SHIFT, DATASET_LIGHTNESS_SHIFT
    if number:
        hue = (hue + hue_shift * ((number * 0.61803) % 1 - 0.5)) % 360
        lightness += lightness_shift * ((number * 0.38197) % 1 - 0.5)
    red, green, blue = from_oklch(np.array([lightness, chroma, hue])).tolist()
    return red, green, blue


def from_oklch(colour: Float[np.ndarray, " 3"]) -> UInt8[np.ndarray, " 3"]:
    """Convert lightness, chroma and hue (degrees) of Oklch to sRGB, clipped to its gamut."""
    lightness, chroma, hue = colour
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    linear = np.clip(CONES_TO_LINEAR @ (OKLAB_TO_CONES @ np.array([lightness, a, b])) ** 3, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(curved * 255).astype(np.uint8)


def to_oklch(colour: UInt8[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Convert sRGB to lightness, chroma and hue (degrees) of Oklch."""
    curved = colour / 255
    linear = np.where(curved <= 0.04045, curved / 12.92, ((curved + 0.055) / 1.055) ** 2.4)
    lightness, a, b = np.linalg.solve(
        OKLAB_TO_CONES, np.cbrt(np.linalg.solve(CONES_TO_LINEAR, linear))
    )
    return np.array([lightness, np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360])
