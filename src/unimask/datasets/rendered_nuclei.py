"""Render a fluorescence image of nuclei whose ground truth is exact to the pixel."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter

__all__ = ["RenderedImage", "render_nuclei"]

MAX_RADIUS = 26
"""Maximum radius of a nucleus in pixels."""

MAX_PHOTONS = 320
"""Number of photons counted at full brightness; fewer make the image noisier."""


class RenderedImage(NamedTuple):
    """Rendered image (grey, as RGB) and its nuclei, numbered from 1."""

    image: UInt8[np.ndarray, "h w 3"]
    ids: Int[np.ndarray, "h w"]


def render_nuclei(
    *, seed: int = 0, size: tuple[int, int] = (512, 640), count: int = 70
) -> RenderedImage:
    """Render touching, dim and clipped nuclei with texture, blur, uneven light and noise.

    Args:
        seed: Seed of all random numbers.
        size: Height and width in pixels.
        count: Number of nuclei to place; slightly fewer may fit.
    """
    random = np.random.default_rng(seed)
    # Render with a margin on all sides that is cropped at the end, so that nuclei at the border are
    # drawn like all others.
    padded_size = (size[0] + 2 * MAX_RADIUS, size[1] + 2 * MAX_RADIUS)
    ids = np.zeros(padded_size, np.int32)
    light = np.zeros(padded_size, np.float32)
    chromatin = smooth_noise(random, padded_size, 1.2) + smooth_noise(random, padded_size, 3.0)
    centres: list[np.ndarray] = []
    for _ in range(count):
        centre = draw_centre(random, size, centres)
        window = tuple(slice(int(c), int(c) + 2 * MAX_RADIUS + 1) for c in centre)
        outline, body = draw_nucleus(random, centre % 1, chromatin[window])
        inside = outline & (ids[window] == 0)
        # Pixels of an earlier nucleus stay its own; a nucleus of which too little would be left is
        # skipped.
        if inside.sum() < 0.75 * outline.sum():
            continue
        centres.append(centre)
        ids[window][inside] = len(centres)
        # The light of overlapping nuclei adds up.
        light[window] += np.where(outline, body, 0)
    inner = (slice(MAX_RADIUS, -MAX_RADIUS), slice(MAX_RADIUS, -MAX_RADIUS))
    return RenderedImage(simulate_exposure(random, light)[inner], renumber(ids[inner]))


def draw_centre(
    random: np.random.Generator, size: tuple[int, int], centres: list[np.ndarray]
) -> Float[np.ndarray, "2"]:
    """Draw the centre of a nucleus: anywhere in the image, or beside an existing nucleus."""
    if centres and random.random() < 0.4:
        angle = random.uniform(0, 2 * np.pi)
        offset = random.uniform(18, 25) * np.array([np.sin(angle), np.cos(angle)])
        centre = centres[random.integers(len(centres))] + offset
        return np.clip(centre, 0, np.array(size) - 1)
    return random.uniform((0, 0), np.array(size) - 1)


def draw_nucleus(
    random: np.random.Generator,
    offset: Float[np.ndarray, "2"],
    chromatin: Float[np.ndarray, "h w"],
) -> tuple[Bool[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Draw an irregular ellipse in the centre of a window: its mask and its brightness."""
    long, short = random.uniform(12, 19), random.uniform(9, 13)
    angle = random.uniform(0, np.pi)
    rows, columns = np.mgrid[-MAX_RADIUS : MAX_RADIUS + 1, -MAX_RADIUS : MAX_RADIUS + 1].astype(
        np.float32
    )
    down, right = rows - offset[0], columns - offset[1]
    along = (down * np.sin(angle) + right * np.cos(angle)) / long
    across = (down * np.cos(angle) - right * np.sin(angle)) / short
    turn = np.arctan2(across, along)
    phases = random.uniform(0, 2 * np.pi, 3)
    waves = zip((0.06, 0.04, 0.02), (2, 3, 5), phases, strict=True)
    wobble = 1 + sum(height * np.sin(number * turn + phase) for height, number, phase in waves)
    distance = np.hypot(along, across) / wobble
    is_dim = random.random() < 0.2
    brightness = random.uniform(0.10, 0.18) if is_dim else random.uniform(0.35, 0.85)
    body = np.clip(1.2 - distance, 0, 1) ** 0.4 * (1 + 0.11 * chromatin)
    for _ in range(random.integers(0, 4)):  # nucleoli: dark, round, away from the rim
        place = random.uniform(-0.5, 0.5, 2)
        distance_to_nucleolus = np.hypot((along - place[0]) * long, (across - place[1]) * short)
        body = body * (
            1 - 0.45 * np.exp(-((distance_to_nucleolus / random.uniform(1.6, 2.8)) ** 2))
        )
    return distance < 1, brightness * body


def smooth_noise(
    random: np.random.Generator, size: tuple[int, int], width: float
) -> Float[np.ndarray, "h w"]:
    """Return smooth noise of standard deviation 1 with spots about `width` pixels wide."""
    noise = gaussian_filter(random.standard_normal(size).astype(np.float32), width)
    return noise / noise.std()


def simulate_exposure(
    random: np.random.Generator, light: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Simulate the microscope: uneven illumination, stray light, blur, photon and sensor noise."""
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    lamp = random.uniform(0.3, 0.7, 2)
    away = (rows / light.shape[0] - lamp[0]) ** 2 + (columns / light.shape[1] - lamp[1]) ** 2
    shade = np.exp(-1.1 * away)
    stray_light = (
        0.035 + 0.25 * gaussian_filter(light, 22) + 0.005 * smooth_noise(random, light.shape, 40.0)
    )
    optics = gaussian_filter(light, 1.0) + np.clip(stray_light, 0, None)
    photons = random.poisson(optics * shade * MAX_PHOTONS) / MAX_PHOTONS
    sensor = photons + random.normal(0, 0.008, light.shape)
    grey = np.clip(sensor * 215 + 4, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def renumber(ids: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Renumber from 1 without gaps, since some nuclei lie in the cropped margin only."""
    values, numbers = np.unique(ids, return_inverse=True)
    numbers = numbers.reshape(ids.shape) + (0 if values[0] == 0 else 1)
    return numbers.astype(np.int32)
