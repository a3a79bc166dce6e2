"""Cars move as stated, keep their ids, and never overlap."""

import numpy as np
import pytest

from unimask.datasets.rendered_town import TownScene, Window
from unimask.datasets.rendered_town.classes import CAR_LABEL
from unimask.datasets.rendered_town.layout import MAX_BLOCK, fixed_id, moving_id

SCENE = TownScene(seed=5, size=(600, 600), scale=0.25)
STEP = 0.2


@pytest.fixture(scope="module")
def frames():
    return [SCENE.render(time=number * STEP) for number in range(4)]


def centres(ids):
    """Return the centre (x, y) of every object that lies inside of the image, in pixels."""
    inside = np.setdiff1d(
        np.unique(ids), np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1], [0]])
    )
    return {id: np.argwhere(ids == id).mean(axis=0)[::-1] + 0.5 for id in inside.tolist()}


def test_pixels_of_cars_move_at_their_velocity(frames):
    velocities = {car.id: np.array(car.velocity) / SCENE.scale for car in SCENE.cars()}
    first, last = centres(frames[0].ids), centres(frames[-1].ids)
    areas = [dict(zip(*np.unique(f.ids, return_counts=True), strict=True)) for f in frames]
    moving = 0
    for id in first.keys() & last.keys() & velocities.keys():
        if abs(areas[0][id] - areas[-1][id]) > 0.05 * areas[0][id]:
            continue  # behind a tree in one of the frames
        shift = last[id] - first[id]
        assert np.abs(shift - velocities[id] * 3 * STEP).max() < 2.0
        moving += bool(np.hypot(*velocities[id]) > 0)
    assert moving >= 3


def test_positions_are_those_of_the_pixels(frames):
    found = centres(frames[0].ids)
    cars = {car.id: car for car in SCENE.cars() if car.id in found}
    errors = [
        np.hypot(*(found[id] - np.array([car.body.x, car.body.y]) / SCENE.scale))
        for id, car in cars.items()
    ]
    assert len(errors) > 10 and np.median(errors) < 0.3


def test_ids_stay_and_parked_cars_do_not_move(frames):
    parked = {car.id: car.body for car in SCENE.cars() if car.velocity == (0.0, 0.0)}
    later = {car.id: car.body for car in SCENE.cars(time=100.0)}
    assert len(parked) > 5 and all(later[id] == body for id, body in parked.items())
    ids = [set(np.unique(frame.ids[frame.label_ids == CAR_LABEL]).tolist()) for frame in frames]
    assert len(ids[0] & ids[-1]) > 0.8 * len(ids[0])


def test_a_moving_window_shows_the_same_cars():
    first = SCENE.render(Window(0, 0, 300, 300), 1.0)
    second = SCENE.render(Window(60, 40, 300, 300), 1.0)
    assert (first.ids[60:, 40:] == second.ids[:-60, :-40]).all()


def test_cars_cross_junctions_without_meeting():
    reach = Window(0, 0, 1500, 1500)
    for time in np.linspace(0, 40, 9).tolist():
        cars = [car for car in SCENE.cars(reach, time) if car.velocity != (0.0, 0.0)]
        corners = np.stack([car.body.corners(-0.05) for car in cars])
        for number, car in enumerate(cars):
            other = np.arange(len(cars)) != number
            offset = corners[other] - np.array([car.body.x, car.body.y])
            right, down = car.body.direction
            along = offset[..., 0] * right + offset[..., 1] * down
            across = offset[..., 1] * right - offset[..., 0] * down
            is_inside = np.abs(along) < car.body.half_length
            assert not (is_inside & (np.abs(across) < car.body.half_width)).any()
        assert len(cars) > 20


def test_a_car_crosses_junctions_with_its_id():
    reach = Window(-1000, -1000, 3000, 3000)
    start = {c.id: c for c in SCENE.cars(reach, 0.0) if c.velocity != (0.0, 0.0)}
    end = {c.id: c for c in SCENE.cars(reach, 15.0)}
    distances = [
        np.hypot(end[id].body.x - car.body.x, end[id].body.y - car.body.y)
        for id, car in start.items()
        if id in end
    ]
    assert len(distances) > 20 and np.median(distances) > 80


def test_ids_are_unique():
    edges = (-MAX_BLOCK, -1, 0, MAX_BLOCK - 1)
    ids = [fixed_id(i, j, n) for i in edges for j in edges for n in (1, 63, 64, 255)]
    ids += [
        moving_id(axis, street, is_reverse, slot)
        for axis in (0, 1)
        for street in edges
        for is_reverse in (False, True)
        for slot in (-32768, -1, 0, 32767)
    ]
    assert len(set(ids)) == len(ids) and min(ids) > 0 and max(ids) < 2**31
