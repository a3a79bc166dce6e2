"""The look of a scene: scale, season, light, haze and traffic, drawn from its seed."""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, radians, sin, tan
from typing import NamedTuple

from unimask.datasets.rendered_town.hashing import Stream, uniform

Tone = tuple[float, float, float]
"""Red, green and blue from 0 to 1."""


class Season(NamedTuple):
    """Colours of the plants in a season."""

    grass: Tone
    dry_grass: Tone
    trees: tuple[Tone, ...]
    crops: tuple[Tone, ...]


GREEN_TREES = ((0.20, 0.31, 0.14), (0.17, 0.27, 0.13), (0.25, 0.34, 0.15), (0.15, 0.25, 0.16))
SOIL = (0.47, 0.37, 0.27)

SEASONS = (
    Season(  # spring
        (0.36, 0.46, 0.25),
        (0.48, 0.50, 0.32),
        (*GREEN_TREES, (0.31, 0.42, 0.17), *GREEN_TREES, *GREEN_TREES, (0.62, 0.52, 0.52)),
        ((0.40, 0.52, 0.26), (0.74, 0.70, 0.28), SOIL, (0.32, 0.44, 0.22)),
    ),
    Season(  # summer
        (0.38, 0.44, 0.27),
        (0.56, 0.52, 0.37),
        GREEN_TREES,
        ((0.76, 0.66, 0.40), (0.68, 0.60, 0.36), (0.27, 0.42, 0.18), (0.55, 0.50, 0.28)),
    ),
    Season(  # autumn
        (0.40, 0.42, 0.24),
        (0.52, 0.46, 0.30),
        (*GREEN_TREES[:2], (0.58, 0.36, 0.14), (0.50, 0.42, 0.16), (0.48, 0.26, 0.14)),
        (SOIL, (0.40, 0.31, 0.23), (0.66, 0.58, 0.42), (0.33, 0.44, 0.20)),
    ),
)


@dataclass(frozen=True, slots=True)
class Style:
    """Properties of a whole scene.

    Attributes:
        seed: Seed of the scene.
        scale: Ground sample distance in metres per pixel.
        rotation: Angle between the street grid and the image, in radians.
        pitch: Mean distance between neighbouring streets in metres.
        urban: Share of blocks with buildings, roughly.
        season: Colours of the plants.
        sun: Direction to the sun (right, down, up), of length 1.
        tint: Colour and strength of the light.
        haze: Share of the light that haze scatters.
        noise: Standard deviation of the sensor noise, roughly, as a share of white.
        traffic: Share of the places in moving traffic that a car takes.
        pace: Speed of moving cars in distances between neighbouring junctions per second.
        river_is_horizontal: Whether rivers run from left to right rather than from top to bottom.
        river_slope: Drift of the rivers.
    """

    seed: int
    scale: float
    rotation: float
    pitch: float
    urban: float
    season: Season
    sun: tuple[float, float, float]
    tint: Tone
    haze: float
    noise: float
    traffic: float
    pace: float
    river_is_horizontal: bool
    river_slope: float

    @property
    def shadow(self) -> tuple[float, float]:
        """Shift (right, down) of the shadow of a point one metre above the ground, in metres."""
        return -self.sun[0] / self.sun[2], -self.sun[1] / self.sun[2]

    def pixels(self, metres: float) -> int:
        """Return a length in whole pixels, at least one."""
        return max(1, round(metres / self.scale))


@lru_cache(maxsize=64)
def draw_style(seed: int, scale: float | None) -> Style:
    """Draw the style of a scene from its seed, with a given scale unless None."""

    def draw(number: int, low: float, high: float) -> float:
        return low + (high - low) * uniform(seed, Stream.STYLE, number)

    azimuth, elevation = draw(0, 0, 2 * pi), radians(draw(1, 36, 58))
    warmth, strength = draw(2, -0.05, 0.07), draw(15, 1.08, 1.24)
    pitch = draw(3, 72, 98)
    return Style(
        seed=seed,
        scale=draw(4, 0.18, 0.28) if scale is None else scale,
        rotation=draw(5, 0, pi / 2),
        pitch=pitch,
        urban=draw(6, 0.50, 0.92),
        season=SEASONS[int(draw(7, 0, len(SEASONS)))],
        sun=(cos(azimuth) * cos(elevation), sin(azimuth) * cos(elevation), sin(elevation)),
        tint=(strength * (1 + warmth), strength, strength * (1 - warmth)),
        haze=draw(8, 0.0, 0.16) * draw(9, 0.3, 1),
        noise=draw(10, 0.006, 0.020),
        traffic=draw(11, 0.35, 0.7),
        pace=draw(12, 8, 13) / pitch,
        river_is_horizontal=uniform(seed, Stream.STYLE, 13) < 0.5,
        river_slope=tan(draw(14, -0.4, 0.4)),
    )
