"""Any window of a town equals the same part of the whole, with exact ground truth."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from unimask.datasets.rendered_town import TOWN_LABELS, TownScene, Window
from unimask.datasets.rendered_town.classes import BUILDING_LABEL, CAR_LABEL
from unimask.errors import SettingsError

WHOLE = Window(-60, 1000, 300, 340)
SCENE = TownScene(seed=3, size=(20_000, 20_000), scale=0.3)
TIME = 2.5


@pytest.fixture(scope="module")
def whole():
    return SCENE.render(WHOLE, TIME)


@pytest.fixture(scope="module")
def scenes():
    return [TownScene(seed=seed, size=(300, 300), scale=0.35).render() for seed in range(8)]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_window_equals_the_same_part_of_the_whole(whole, data):
    top, left = data.draw(st.integers(0, 299)), data.draw(st.integers(0, 339))
    height = data.draw(st.integers(1, 300 - top))
    width = data.draw(st.integers(1, 340 - left))
    window = Window(WHOLE.row + top, WHOLE.column + left, height, width)
    for part, all_pixels in zip(SCENE.render(window, TIME), whole, strict=True):
        assert (part == all_pixels[top : top + height, left : left + width]).all()


def test_large_windows_are_rendered_in_tiles(whole, monkeypatch):
    monkeypatch.setattr("unimask.datasets.rendered_town.scene.TILE", 170)
    for tiled, at_once in zip(SCENE.render(WHOLE, TIME), whole, strict=True):
        assert (tiled == at_once).all()


def test_seed_and_time_determine_every_pixel(whole):
    again = TownScene(seed=3, scale=0.3).render(WHOLE, TIME)
    assert all((a == b).all() for a, b in zip(again, whole, strict=True))
    assert (TownScene(seed=4, scale=0.3).render(WHOLE).image != whole.image).any()


def test_types_and_sizes(whole):
    assert whole.image.shape == (300, 340, 3) and whole.image.dtype == np.uint8
    assert whole.ids.dtype == np.int32 and whole.label_ids.dtype == np.uint8
    small = TownScene(seed=1, size=(1, 2)).render()
    assert small.image.shape == (1, 2, 3) and small.ids.shape == (1, 2)


def test_every_class_occurs(scenes):
    shares = sum(np.bincount(s.label_ids.ravel(), minlength=len(TOWN_LABELS)) for s in scenes)
    shares = shares / shares.sum()
    assert len(shares) == len(TOWN_LABELS)
    assert (shares > 0.008).all(), dict(zip(TOWN_LABELS.names, shares, strict=True))


def test_things_have_one_class_and_stuff_has_no_id(scenes):
    for scene in scenes:
        is_thing = np.isin(scene.label_ids, TOWN_LABELS.things)
        assert ((scene.ids > 0) == is_thing).all() and scene.ids.min() >= 0
        pairs = np.unique(np.stack([scene.ids[is_thing], scene.label_ids[is_thing]]), axis=1)
        assert len(np.unique(pairs[0])) == pairs.shape[1]


def test_objects_are_connected_unless_trees_hide_a_part(scenes):
    areas, shares = [], []
    for scene in scenes:
        for id in np.unique(scene.ids[scene.ids > 0]).tolist():
            parts, _ = ndimage.label(scene.ids == id, np.ones((3, 3)))
            sizes = np.bincount(parts.ravel())[1:]
            areas.append(sizes.sum())
            shares.append(sizes.max() / sizes.sum())
    assert len(areas) > 80
    assert np.mean(np.array(shares) == 1) > 0.97 and min(shares) > 0.4
    assert np.mean(np.array(areas) >= 30) > 0.93


def test_objects_of_a_large_scene_have_different_ids():
    ids = {}
    for i in range(4):
        window = Window(7_000 + 900 * i, 4_000 + 1_300 * i, 200, 200)
        part = SCENE.render(window)
        for id in np.unique(part.ids[part.ids > 0]).tolist():
            rows, columns = np.nonzero(part.ids == id)
            ids.setdefault(id, []).append((rows[0] + window.row, columns[0] + window.column))
    for places in ids.values():
        assert np.ptp(np.array(places), axis=0).max() < 200


def test_classes_differ_in_colour(scenes):
    colours = [
        [s.image[s.label_ids == k].mean(axis=0) for s in scenes if (s.label_ids == k).any()]
        for k in range(len(TOWN_LABELS))
    ]
    means = np.array([np.mean(values, axis=0) for values in colours])
    distance = np.linalg.norm(means[:, None] - means[None], axis=-1)
    assert distance[~np.eye(len(means), dtype=bool)].min() > 10


def test_memory_does_not_depend_on_the_scene():
    tracemalloc.start()
    SCENE.render(Window(19_800, 19_800, 120, 120))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 8e6 and peak < 16e6


def test_equal_pixels_at_another_time_unless_cars_move():
    window = Window(-60, 1000, 200, 200)
    first, second = SCENE.render(window, 0.0), SCENE.render(window, 0.4)
    moved = (first.ids != second.ids) | (first.label_ids != second.label_ids)
    assert 0 < moved.mean() < 0.05
    assert np.isin(first.label_ids[moved], CAR_LABEL).any()
    buildings = first.label_ids == BUILDING_LABEL
    assert (first.ids[buildings] == second.ids[buildings]).all()


@pytest.mark.parametrize(
    ("arguments", "window", "time"),
    [
        ({"seed": -1}, None, 0),
        ({"size": (0, 5)}, None, 0),
        ({"scale": 0.01}, None, 0),
        ({}, Window(2_000_000, 0, 8, 8), 0),
        ({}, None, 1e6),
        ({}, None, float("nan")),
    ],
)
def test_values_out_of_range_are_errors_of_one_line(arguments, window, time):
    with pytest.raises(SettingsError) as error:
        TownScene(**arguments).render(window, time)
    assert "\n" not in str(error.value)
