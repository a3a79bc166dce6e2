"""Outlines of buildings and cars agree with their pixels, and each is listed once."""

import numpy as np
import pytest

from unimask.datasets.rendered_town import TOWN_LABELS, TownScene, Window
from unimask.datasets.rendered_town.classes import BUILDING_LABEL, TREE_LABEL
from unimask.datasets.rendered_town.window import fill_polygon

SCENE = TownScene(seed=3, size=(420, 500), scale=0.25)
WINDOW = Window(40, 30, 420, 500)


@pytest.fixture(scope="module")
def rendered():
    return SCENE.render(WINDOW, 1.0)


@pytest.fixture(scope="module")
def things():
    return list(SCENE.things(WINDOW, 1.0))


def test_every_visible_object_is_listed_once(rendered, things):
    ids = [thing.id for thing in things]
    assert len(set(ids)) == len(ids)
    assert set(np.unique(rendered.ids)) - {0} <= set(ids)
    assert len(ids) - len(np.unique(rendered.ids)) < 0.1 * len(ids)  # below trees, or slivers


def test_outlines_are_filled_by_the_objects_except_below_trees(rendered, things):
    kinds = set()
    for thing in things:
        patch = fill_polygon(thing.outline / SCENE.scale, WINDOW)
        if patch is None:
            continue
        place = (patch.rows, patch.columns)
        mask = rendered.ids[place] == thing.id
        hidden = (rendered.label_ids[place] == TREE_LABEL) & patch.mask
        assert set(rendered.label_ids[place][mask].tolist()) <= {thing.label_id}
        kinds.add((thing.label_id, len(thing.outline)))
        if thing.label_id == BUILDING_LABEL:
            assert (mask == patch.mask & ~hidden).all()
        elif patch.mask.sum() > 60:
            assert (mask & ~patch.mask).sum() + (patch.mask & ~mask & ~hidden).sum() < 0.06 * (
                patch.mask.sum()
            )
    assert {(BUILDING_LABEL, 4), (BUILDING_LABEL, 6)} < kinds


def test_tiles_list_the_same_things(things, monkeypatch):
    monkeypatch.setattr("unimask.datasets.rendered_town.scene.TILE", 130)
    tiled = {thing.id: thing.outline for thing in SCENE.things(WINDOW, 1.0)}
    assert tiled.keys() == {thing.id for thing in things}
    assert TOWN_LABELS.things == (0, 1)
