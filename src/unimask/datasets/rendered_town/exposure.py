"""From the lit scene to the image: shadows on the ground, haze, optics and the sensor."""

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter

from unimask.datasets.rendered_town.canvas import Canvas
from unimask.datasets.rendered_town.hashing import Stream, hash_grid, hash_integers

SHADE = (0.40, 0.44, 0.53)
"""Brightness of the ground in a full shadow, which the blue sky lights."""

HAZE = (0.74, 0.79, 0.86)

SHADOW_RADIUS, OPTICS_RADIUS = 3, 2
MARGIN = SHADOW_RADIUS + OPTICS_RADIUS
"""Margin of a canvas in pixels that the filters need."""

OPTICS_SIGMA = 0.62
"""Blur by the optics in pixels."""


def apply_shadows(canvas: Canvas) -> None:
    """Darken the ground and the cars on it, before roofs and crowns are drawn."""
    if not canvas.shade.any():
        return
    sigma = min(0.25 / canvas.style.scale, 1.3)
    soft = gaussian_filter(canvas.shade, sigma, radius=SHADOW_RADIUS, mode="nearest")
    for plane, brightness in zip(canvas.rgb, SHADE, strict=True):
        plane *= 1 - np.float32(1 - brightness) * soft


def expose(canvas: Canvas, time: float) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image of a canvas without its margin.

    Args:
        canvas: Finished canvas.
        time: Time in seconds, which changes the noise of the sensor.
    """
    style, inner = canvas.style, slice(MARGIN, -MARGIN)
    key = hash_integers(style.seed, Stream.SENSOR, round(time * 1000))
    bits = hash_grid(key, canvas.window.rows[inner], canvas.window.columns[inner])
    grey = (bits >> 22).astype(np.float32) - 512
    image = np.empty((*bits.shape, 3), np.uint8)
    # One part of the noise is common to all colours. Both are sums of uniform numbers.
    scale = np.float32(style.noise * 255 / 300)
    for channel, plane in enumerate(canvas.rgb):
        blurred = gaussian_filter(plane, OPTICS_SIGMA, radius=OPTICS_RADIUS, mode="nearest")
        light = blurred[inner, inner] * np.float32((1 - style.haze) * style.tint[channel] * 255)
        light += np.float32(style.haze * HAZE[channel] * 255)
        colour = (bits >> np.uint32(channel * 7) & 127).astype(np.float32) - 64
        light += scale * (0.8 * grey + 3 * colour)
        image[..., channel] = np.clip(light + 0.5, 0, 255).astype(np.uint8)
    return image
