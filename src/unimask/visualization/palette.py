"""Colours that stay the same for a class in every picture."""

import numpy as np
from jaxtyping import Float, UInt8

GOLDEN_ANGLE = 137.50776
LIGHTNESS = (0.74, 0.64, 0.82)

Colour = tuple[int, int, int]


def class_colour(label_id: int) -> Colour:
    """Give the colour of a class: hues far apart for neighbouring ids, even lightness."""
    return shade(label_id, 0)


def shade(label_id: int, number: int) -> Colour:
    """Give the colour of one object of a class: near its class's, unlike its neighbours'.

    Args:
        label_id: The class.
        number: Counts the objects of the class; 0 is the class's own colour.
    """
    hue = (40 + GOLDEN_ANGLE * label_id) % 360
    lightness = LIGHTNESS[label_id % len(LIGHTNESS)]
    if number:
        turn = (number * 0.61803) % 1 - 0.5
        hue = (hue + 70 * turn) % 360
        lightness += 0.14 * ((number * 0.38197) % 1 - 0.5)
    red, green, blue = from_oklch(np.array([lightness, 0.15, hue])).tolist()
    return red, green, blue


def from_oklch(colour: Float[np.ndarray, " 3"]) -> UInt8[np.ndarray, " 3"]:
    """Convert lightness, chroma and hue (degrees) of Oklch to sRGB, clipped to its gamut."""
    lightness, chroma, hue = colour
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    to_cones = np.array(
        [
            [1, 0.3963377774, 0.2158037573],
            [1, -0.1055613458, -0.0638541728],
            [1, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear @ (to_cones @ np.array([lightness, a, b])) ** 3, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(curved * 255).astype(np.uint8)
