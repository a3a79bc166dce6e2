"""Rivers: bands that meander through the scene at irregular distances."""

from functools import lru_cache
from math import floor, pi
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from unimask.datasets.rendered_town.hashing import Stream, uniform
from unimask.datasets.rendered_town.style import Style

RIVER_PITCH = 300.0
"""Mean distance between rivers in metres."""

RIVER_SHARE = 0.85
"""Share of the places for rivers that have one."""

WAVES = ((310.0, 34.0), (173.0, 17.0), (71.0, 5.0))
"""Wavelengths and amplitudes of the meanders in metres."""

FAR = 20.0
"""Distance in metres above which distances are not computed."""

CORRIDOR = 0.2 * RIVER_PITCH + sum(amplitude for _, amplitude in WAVES) + 2.5 * (FAR + 15.0)
"""Offset from the mean course of a river in metres, above which points are `FAR` or farther."""


class River(NamedTuple):
    """Course of a river: its offset in metres, phases of its meanders from 0 to 1, and width."""

    offset: float
    phases: tuple[float, float, float]
    half_width: float
    width_phase: float


@lru_cache(maxsize=256)
def draw_river(seed: int, number: int) -> River | None:
    """Return the course of a river; None if its place has none."""
    exists, shift, first, second, third, width, phase = (
        uniform(seed, Stream.RIVER, number, which) for which in range(7)
    )
    if exists >= RIVER_SHARE:
        return None
    offset = (number + 0.5 + 0.4 * (shift - 0.5)) * RIVER_PITCH
    return River(offset, (first, second, third), 6.0 + 6.0 * width, phase)


def river_distance(
    style: Style, x: Float[np.ndarray, "..."], y: Float[np.ndarray, "..."]
) -> Float32[np.ndarray, "..."]:
    """Return the distance from the nearest bank in metres, negative in the water, at most `FAR`.

    Args:
        style: Style of the scene.
        x: Metres from the left edge of the scene.
        y: Metres from the top edge; `x` and `y` are broadcast.
    """
    along, across = (x, y) if style.river_is_horizontal else (y, x)
    offset = across - style.river_slope * along
    low, high = float(offset.min()), float(offset.max())
    distance = np.full(offset.shape, FAR, np.float32)
    first = floor((low - CORRIDOR) / RIVER_PITCH - 0.5) + 1
    last = floor((high + CORRIDOR) / RIVER_PITCH - 0.5)
    for number in range(first, last + 1):
        river = draw_river(style.seed, number)
        if river is not None:
            middle, slope, half_width = trace_river(river, along)
            steepness = np.sqrt(1 + (slope + style.river_slope) ** 2)
            to_middle = np.abs(offset - middle) / steepness
            np.minimum(distance, (to_middle - half_width).astype(np.float32), out=distance)
    return distance


def trace_river(
    river: River, along: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Return the middle of a river without its drift, its slope, and half its width, in metres."""
    middle, slope = np.full_like(along, river.offset), np.zeros_like(along)
    for (wavelength, amplitude), phase in zip(WAVES, river.phases, strict=True):
        angle = 2 * pi * (along / wavelength + phase)
        middle += amplitude * np.sin(angle)
        slope += amplitude * 2 * pi / wavelength * np.cos(angle)
    half_width = 1 + 0.22 * np.sin(2 * pi * (along / 97.0 + river.width_phase))
    return middle, slope, river.half_width * half_width
