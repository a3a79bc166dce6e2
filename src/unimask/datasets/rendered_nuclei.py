"""A fluorescence field of nuclei, rendered: its truth is known to the pixel."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.ndimage import gaussian_filter


class Field(NamedTuple):
    """A rendered picture (grey, as RGB) and its nuclei, numbered from 1."""

    image: UInt8[np.ndarray, "h w 3"]
    ids: Int[np.ndarray, "h w"]


def render_nuclei(*, seed: int = 0, size: tuple[int, int] = (512, 640), count: int = 70) -> Field:
    """Render touching, dim and cut-off nuclei with texture, blur, uneven light and noise.

    Args:
        seed: Equal seeds give equal fields.
        size: Height and width.
        count: Nuclei to place; a little fewer fit.
    """
    random = np.random.default_rng(seed)
    light = np.zeros(size, np.float32)
    ids = np.zeros(size, np.int32)
    texture = gaussian_filter(random.standard_normal(size).astype(np.float32), 2.2)
    texture /= texture.std()
    centres: list[np.ndarray] = []
    for _ in range(count):
        centre = next_centre(random, size, centres)
        distance = ellipse(random, size, centre)
        inside = (distance < 1) & (ids == 0)
        # What another nucleus already covers belongs to that one; slivers are not drawn.
        if inside.sum() < 0.6 * (distance < 1).sum() or not inside.any():
            continue
        centres.append(centre)
        ids[inside] = len(centres)
        brightness = random.choice(
            [random.uniform(0.1, 0.2), random.uniform(0.3, 0.9)], p=[0.2, 0.8]
        )
        body = np.clip(1.25 - distance, 0, 1) ** 0.35 * (1 + 0.16 * texture)
        light = np.maximum(light, np.where(inside, brightness * body, 0))
    rows, columns = np.mgrid[: size[0], : size[1]]
    shade = 1 - 0.35 * ((rows / size[0] - 0.4) ** 2 + (columns / size[1] - 0.55) ** 2)
    haze = 0.05 * gaussian_filter(light, 18) / max(light.max(), 1e-6) + 0.035
    optics = gaussian_filter(light, 1.1) * shade + haze
    photons = random.poisson(np.clip(optics, 0, None) * 420) / 420
    signal = photons + random.normal(0, 0.008, size)
    grey = np.clip(signal * 200 + 6, 0, 255).astype(np.uint8)
    return Field(np.repeat(grey[..., None], 3, axis=2), ids)


def next_centre(
    random: np.random.Generator, size: tuple[int, int], centres: list[np.ndarray]
) -> np.ndarray:
    """Choose a place: anywhere, past the border too, or beside a nucleus that is there."""
    if centres and random.random() < 0.3:
        angle = random.uniform(0, 2 * np.pi)
        away = random.uniform(20, 27) * np.array([np.sin(angle), np.cos(angle)])
        return centres[random.integers(len(centres))] + away
    return random.uniform((-4, -4), (size[0] + 4, size[1] + 4))


def ellipse(
    random: np.random.Generator, size: tuple[int, int], centre: np.ndarray
) -> Float[np.ndarray, "h w"]:
    """Give the distance from the centre of a wobbly ellipse, 1 on its outline."""
    long, short = random.uniform(12, 19), random.uniform(9, 13)
    angle = random.uniform(0, np.pi)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    down, right = rows - centre[0], columns - centre[1]
    along = (down * np.sin(angle) + right * np.cos(angle)) / long
    across = (down * np.cos(angle) - right * np.sin(angle)) / short
    turn = np.arctan2(across, along)
    phases = random.uniform(0, 2 * np.pi, 2)
    wobble = 1 + 0.06 * np.sin(2 * turn + phases[0]) + 0.04 * np.sin(3 * turn + phases[1])
    return np.hypot(along, across) / wobble
