"""The rendered field contains the difficulties of nuclei, with matching ground truth."""

import numpy as np
import pytest
from scipy import ndimage

from unimask.datasets.rendered_nuclei import render_nuclei


@pytest.fixture(scope="module")
def field():
    return render_nuclei(seed=7)


def test_equal_seeds_give_equal_fields(field):
    again, other = render_nuclei(seed=7), render_nuclei(seed=8)
    assert (again.image == field.image).all() and (again.ids == field.ids).all()
    assert (other.image != field.image).any()


def test_ids_count_from_one_without_gaps(field):
    assert field.image.shape == (512, 640, 3) and field.image.dtype == np.uint8
    assert field.ids.shape == (512, 640) and field.ids.dtype == np.int32
    assert np.unique(field.ids).tolist() == list(range(field.ids.max() + 1))
    assert field.ids.max() >= 50


def test_every_nucleus_is_brighter_than_the_background(field):
    grey = field.image[..., 0].astype(float)
    means = ndimage.mean(grey, field.ids, range(1, field.ids.max() + 1))
    background = grey[field.ids == 0]
    assert means.min() > background.mean() + background.std()


def test_some_touch_some_are_dim_some_are_cut_off(field):
    grey, count = field.image[..., 0].astype(float), field.ids.max()
    grown = ndimage.grey_dilation(field.ids, size=(3, 3))
    touching = np.unique(field.ids[(field.ids > 0) & (grown != field.ids)])
    assert len(touching) >= 10
    means = ndimage.mean(grey, field.ids, range(1, count + 1))
    assert (means < 0.4 * np.median(means)).sum() >= 5
    border = np.concatenate([field.ids[0], field.ids[-1], field.ids[:, 0], field.ids[:, -1]])
    assert len(np.unique(border[border > 0])) >= 3


def test_the_background_is_uneven_and_noisy(field):
    grey = np.where(field.ids == 0, field.image[..., 0], np.nan).astype(float)
    tiles = np.nanmean(grey[:512, :640].reshape(8, 64, 10, 64), axis=(1, 3))
    assert tiles.max() > 1.3 * tiles.min()
    assert np.nanstd(grey[:32, 300:340]) > 1


@pytest.mark.parametrize("size", [(1, 1), (40, 300)])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_any_size_and_any_count(size, count):
    field = render_nuclei(seed=1, size=size, count=count)
    assert field.ids.shape == size and field.image.shape == (*size, 3)
    assert field.ids.max() <= count
