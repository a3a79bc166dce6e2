"""Rendered traffic: cars that cross, hide each other, and leave, with their true ids."""

from collections.abc import Iterator
from math import cos, pi, sin

import numpy as np

from unimask.datasets.rendered_town import TownScene, Window
from unimask.datasets.rendered_town.canvas import Canvas
from unimask.datasets.rendered_town.crowns import cast_tree_shadow, draw_tree
from unimask.datasets.rendered_town.exposure import MARGIN, apply_shadows, expose
from unimask.datasets.rendered_town.layout import Car
from unimask.datasets.rendered_town.parking import draw_car
from unimask.datasets.rendered_town.roofs import cast_shadow, draw_building
from unimask.datasets.rendered_town.scene import (
    RenderedTown,
    draw_surfaces,
    find_blocks,
    find_cars,
)
from unimask.datasets.rendered_town.vehicles import cast_car_shadow
from unimask.datasets.rendered_town.vehicles import draw_car as paint_car

SIZE = (512, 768)
"""Height and width of the frames."""

CARS, FRAMES, RATE = 30, 100, 10
"""Number of crossing cars, number of frames, and frames per second."""

FIRST_ID = 2**30 + 2**29
"""Ids of the crossing cars start here; those of the town's cars are lower or have other bits."""


def town_traffic(seed: int) -> Iterator[RenderedTown]:
    """Render the traffic of a town, whose cars keep to their lanes, below a moving camera."""
    scene = TownScene(seed=seed, size=(20_000, 20_000))
    for frame in range(FRAMES):
        window = Window(4000 + 2 * frame, 4000 + 3 * frame, *SIZE)
        yield scene.render(window, frame / RATE)


def crossing_traffic(seed: int) -> Iterator[RenderedTown]:
    """Render cars that cross a window of a town in all directions, one over another.

    They pass below trees and roofs, as all cars do.
    """
    scene = TownScene(seed=seed)
    for frame in range(FRAMES):
        seconds = frame / RATE
        cars = crossing_cars(scene, seconds)
        yield render_with_cars(scene, Window(0, 0, *SIZE), seconds, cars)


def crossing_cars(scene: TownScene, seconds: float) -> list[Car]:
    """Return the crossing cars at a time: each has its own straight way, speed and moment."""
    random = np.random.default_rng(scene.seed)
    height, width = (side * scene.style.scale for side in SIZE)
    cars = []
    for number in range(CARS):
        angle, speed = 2 * pi * random.random(), 8 + 5 * random.random()
        middle = random.uniform(0.2, 0.8, 2) * (width, height)
        elapsed = seconds - random.uniform(0, FRAMES / RATE)
        direction = (cos(angle), sin(angle))
        velocity = (direction[0] * speed, direction[1] * speed)
        point = middle + elapsed * np.array(velocity)
        cars.append(draw_car(FIRST_ID + number, random.random(4), point, direction, velocity))
    return cars


def render_with_cars(
    scene: TownScene, window: Window, seconds: float, cars: list[Car]
) -> RenderedTown:
    """Render a window of a town with more cars, later ones over earlier ones."""
    canvas = Canvas(scene.style, window.expand(MARGIN))
    blocks = find_blocks(scene.style, canvas.window)
    draw_surfaces(canvas, blocks)
    for car in [*find_cars(scene.style, canvas.window, seconds), *cars]:
        cast_car_shadow(canvas, car)
        paint_car(canvas, car)
    for block in blocks:
        for building in block.buildings:
            cast_shadow(canvas, building)
        for tree in block.trees:
            cast_tree_shadow(canvas, tree)
    apply_shadows(canvas)
    for block in blocks:
        for building in block.buildings:
            draw_building(canvas, building)
        for tree in block.trees:
            draw_tree(canvas, tree)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    return RenderedTown(expose(canvas, seconds), canvas.label_ids[inner], canvas.ids[inner])
