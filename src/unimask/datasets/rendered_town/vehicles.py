"""Draw cars as seen from above."""

from math import pi

import numpy as np
from jaxtyping import Float, Float32

from unimask.datasets.rendered_town.canvas import Canvas, textured
from unimask.datasets.rendered_town.classes import CAR_LABEL
from unimask.datasets.rendered_town.layout import Car
from unimask.datasets.rendered_town.window import Patch, sweep_polygon

TONES = (
    (0.88, 0.88, 0.87),
    (0.90, 0.90, 0.90),
    (0.66, 0.67, 0.69),
    (0.40, 0.41, 0.43),
    (0.24, 0.25, 0.27),
    (0.10, 0.10, 0.11),
    (0.13, 0.13, 0.15),
    (0.15, 0.26, 0.52),
    (0.24, 0.40, 0.62),
    (0.62, 0.11, 0.11),
    (0.55, 0.16, 0.13),
    (0.20, 0.33, 0.24),
    (0.70, 0.62, 0.48),
    (0.85, 0.66, 0.16),
)
GLASS = (0.09, 0.11, 0.14)
OUTLINE_CORNERS = 28
"""Number of corners of the polygon of a car."""

HEIGHT = 1.1
"""Height in metres of the edges that cast the shadow of a car."""


def car_outline(car: Car) -> Float[np.ndarray, "n 2"]:
    """Return the outline of a car as a polygon in metres, between whose corners it bulges."""
    turn = np.linspace(0, 2 * pi, OUTLINE_CORNERS, endpoint=False)
    along, across = np.cos(turn), np.sin(turn)
    along = np.sign(along) * np.abs(along) ** (1 / 3)
    across = np.sign(across) * np.abs(across) ** (1 / 2)
    return car.body.points(np.stack([along, across], axis=1))


def cast_car_shadow(canvas: Canvas, car: Car) -> None:
    """Darken the ground beside a car; called before the car is drawn."""
    shift = HEIGHT * np.array(canvas.style.shadow)
    patch = canvas.fill(sweep_polygon(car.body.corners(-0.12), shift))
    if patch is not None:
        target = canvas.rgb[:, patch.rows, patch.columns]
        np.copyto(target, target * np.float32(0.5), where=patch.mask)


def draw_car(canvas: Canvas, car: Car) -> None:
    """Draw a car and its ground truth."""
    body = car.body
    slices = canvas.bounds(body.corners())
    if slices is None:
        return
    x, y = canvas.offsets(slices, (body.x, body.y))
    right, down = (np.float32(value) for value in body.direction)
    along = (x * right + y * down) / np.float32(body.half_length)
    across = (y * right - x * down) / np.float32(body.half_width)
    along_square, across_square = along * along, across * across
    mask = along_square**3 + across_square * across_square < 1
    if mask.any():
        colours = colour_car(canvas, car, along, across)
        canvas.paint(Patch(*slices, mask), colours, CAR_LABEL, car.id)


def colour_car(
    canvas: Canvas,
    car: Car,
    along: Float32[np.ndarray, "h w"],
    across: Float32[np.ndarray, "h w"],
) -> Float32[np.ndarray, "3 h w"]:
    """Return the colours of a car.

    Args:
        canvas: Canvas.
        car: Car.
        along: Position along it, from -1 at the back to 1 at the front.
        across: Position across it, from -1 at the left to 1 at the right.
    """
    side = np.abs(across)
    sun_right = (
        canvas.style.sun[1] * car.body.direction[0] - canvas.style.sun[0] * car.body.direction[1]
    )
    light = 1 + np.float32(0.16 * sun_right) * across - np.float32(0.10) * (side > 0.82)
    front, back = (0.62, -0.92) if car.is_van else (0.30, -0.62)
    cabin = (along < front - 0.08) & (along > back) & (side < 0.70)
    light += np.float32(0.07) * cabin
    colours = textured(TONES[car.colour % len(TONES)], light)
    bulge = 0.10 * across * across
    windscreen = (along > front - 0.12 - bulge) & (along < front + 0.14 - bulge) & (side < 0.78)
    rear = (along > back - 0.10 + bulge) & (along < back + 0.06 + bulge) & (side < 0.70)
    rear &= not car.is_van
    windows = (side > 0.70) & (side < 0.86) & (along < front - 0.12) & (along > back + 0.10)
    glass = windscreen | rear | windows
    np.copyto(colours, np.array(GLASS, np.float32)[:, None, None], where=glass)
    return colours
