"""Noise as a function of the absolute position of a pixel, equal in every window."""

import numpy as np
from jaxtyping import Float32, Int

from unimask.datasets.rendered_town.hashing import uniform_grid
from unimask.datasets.rendered_town.window import Window


def smooth_noise(window: Window, spacing: int, key: int) -> Float32[np.ndarray, "h w"]:
    """Return smooth noise from -1 to 1: random values on a lattice, interpolated.

    Args:
        window: Window of the scene.
        spacing: Distance of the lattice points in pixels; 1 is white noise.
        key: Integer that selects one of many independent fields.
    """
    if spacing <= 1:
        return uniform_grid(key, window.rows, window.columns)
    i, down = lattice_positions(window.rows, spacing)
    j, right = lattice_positions(window.columns, spacing)
    lattice = uniform_grid(key, np.arange(i[0], i[-1] + 2), np.arange(j[0], j[-1] + 2))
    i, j = i - i[0], j - j[0]
    upper = lattice[i]
    rows = upper + (lattice[i + 1] - upper) * down[:, None]
    left = np.take(rows, j, axis=1)
    slope = np.take(rows[:, 1:] - rows[:, :-1], j, axis=1)
    slope *= right
    left += slope
    return left


def lattice_positions(
    indices: Int[np.ndarray, " n"], spacing: int
) -> tuple[Int[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Return the lattice point before each pixel, and the weight of the one behind it."""
    before = indices // spacing
    share = ((indices - before * spacing + 0.5) / spacing).astype(np.float32)
    return before, share * share * (3 - 2 * share)


def fractal_noise(
    window: Window, spacings: tuple[int, ...], key: int, persistence: float = 0.6
) -> Float32[np.ndarray, "h w"]:
    """Return a sum of smooth noises, the coarsest first, each weaker than the one before.

    Args:
        window: Window of the scene.
        spacings: Distances of the lattice points in pixels.
        key: Integer that selects one of many independent fields.
        persistence: Factor from the amplitude of one noise to that of the next one.
    """
    total = smooth_noise(window, spacings[0], key)
    amplitude = 1.0
    for number, spacing in enumerate(spacings[1:], 1):
        amplitude *= persistence
        total += np.float32(amplitude) * smooth_noise(window, spacing, key + number)
    return total
