"""Convert a rendered window to a labelled image, as datasets hold them."""

from pathlib import Path

import numpy as np

from unimask.datasets.rendered_town.classes import TOWN_LABELS
from unimask.datasets.rendered_town.scene import RenderedTown
from unimask.datasets.sample import Sample

MIN_VISIBLE = 16
"""Number of pixels below which the visible part of a building or car is ignored."""


def build_sample(rendered: RenderedTown, path: Path, *, min_visible: int = MIN_VISIBLE) -> Sample:
    """Return a rendered window as a sample: an object per thing and per stuff class.

    Args:
        rendered: Rendered window.
        path: Path that the image has or will have.
        min_visible: Number of pixels; smaller slivers of things, at the border or below trees, are
            ignored, so that they count neither for nor against a prediction.
    """
    # Stuff gets negative keys, so that one call numbers everything.
    keys = np.where(rendered.ids > 0, rendered.ids, -1 - rendered.label_ids.astype(np.int32))
    values, first, numbers, areas = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    is_large = (values < 0) | (areas >= min_visible)
    new_numbers = np.where(is_large, np.cumsum(is_large), 0).astype(np.int32)
    id_map = new_numbers[numbers].reshape(keys.shape)
    label_ids = rendered.label_ids.ravel()[first][is_large].astype(np.int64)
    ignored = id_map == 0
    assert label_ids.max() < len(TOWN_LABELS)
    return Sample(
        image=rendered.image,
        id_maps=id_map[None],
        label_ids=label_ids,
        crowds=np.zeros(len(label_ids), bool),
        ignored=ignored if ignored.any() else None,
        path=path,
    )
