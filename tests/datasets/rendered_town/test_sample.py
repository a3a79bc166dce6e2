"""Rendered windows become samples with one object per thing and per stuff class."""

from pathlib import Path

import numpy as np

from unimask.datasets.rendered_town import RenderedTown, TownScene, build_sample
from unimask.datasets.rendered_town.classes import CAR_LABEL, GROUND_LABEL, ROAD_LABEL


def test_objects_are_those_of_the_scene():
    rendered = TownScene(seed=3, size=(200, 240)).render()
    sample = build_sample(rendered, Path("a.png"), min_visible=0)
    assert sample.ignored is None and sample.size == (200, 240)
    (id_map,) = sample.id_maps
    assert (sample.label_ids[id_map - 1] == rendered.label_ids).all()
    things = rendered.ids > 0
    pairs = np.unique(np.stack([id_map[things], rendered.ids[things]]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))
    stuff = np.unique(rendered.label_ids[~things])
    assert len(sample.label_ids) == pairs.shape[1] + len(stuff)


def test_slivers_of_things_are_ignored():
    label_ids = np.full((8, 8), GROUND_LABEL, np.uint8)
    label_ids[0], label_ids[2:4] = ROAD_LABEL, CAR_LABEL
    ids = np.where(label_ids == CAR_LABEL, 7, 0).astype(np.int32)
    ids[2, :3] = 9
    sample = build_sample(RenderedTown(np.zeros((8, 8, 3), np.uint8), label_ids, ids), Path("a"))
    assert sorted(sample.label_ids) == sorted([GROUND_LABEL, ROAD_LABEL])
    assert sample.ignored is not None and (sample.ignored == (ids > 0)).all()
    sample_with_parts = build_sample(
        RenderedTown(np.zeros((8, 8, 3), np.uint8), label_ids, ids), Path("a"), min_visible=5
    )
    assert sample_with_parts.label_ids.tolist().count(CAR_LABEL) == 1
    assert sample_with_parts.ignored is not None and (sample_with_parts.ignored == (ids == 9)).all()
